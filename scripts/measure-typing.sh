#!/bin/sh
# Measures the client on a terminal: a flood of public messages while somebody types. Memory, the time from a key to its
# picture on the screen, and the time from the start to the prompt.
#
#     cargo build --release --features client --bin cfp-server --bin cfp-client
#     scripts/measure-typing.sh [MESSAGES]
#
# Needs python3. Everything stays on 127.0.0.1. This script ends what it starts.
set -eu
messages=${1:-100000}
bin=${BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}
for program in cfp-server cfp-client; do
    [ -x "$bin/$program" ] || { echo "build it first: cargo build --release --features client" >&2; exit 1; }
done
exec python3 - "$bin" "$messages" <<'PYTHON'
import fcntl, os, pty, re, select, socket, struct, subprocess, sys, tempfile, termios, threading, time

bin, messages = sys.argv[1], int(sys.argv[2])
state = tempfile.TemporaryDirectory()
running = []

class Terminal:
    """A client on a pseudo-terminal, whose output is read as fast as it comes."""
    def __init__(self, address, nickname):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        environment = dict(os.environ, TERM="xterm-256color", NO_COLOR="1", XDG_STATE_HOME=state.name)
        self.begun = time.monotonic()
        self.process = subprocess.Popen([bin + "/cfp-client", address, nickname, "--no-bell"], stdin=slave, stdout=slave,
                                        stderr=slave, env=environment, start_new_session=True)
        running.append(self.process)
        os.close(slave)
        self.tail, self.news, self.bytes, self.ended = b"", threading.Condition(), 0, None
        threading.Thread(target=self.read, daemon=True).start()
    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self.news:
                self.bytes += len(data)
                self.tail = (self.tail + data)[-16384:]
                # Noticed here: the tail may be forgotten before anybody else looks at it.
                if self.ended is None and b"the last one" in self.tail:
                    self.ended = time.monotonic()
                self.news.notify_all()
    def key(self, key):
        os.write(self.master, key)
    def wait(self, part, seconds=60):
        until = time.monotonic() + seconds
        with self.news:
            while part not in self.tail:
                left = until - time.monotonic()
                assert left > 0, f"no {part!r} in {self.tail[-500:]!r}"
                self.news.wait(left)
        return time.monotonic()
    def forget(self):
        with self.news:
            self.tail = b""
    def peak_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1])

def packet(code, text):
    return struct.pack(">BI", code, len(text)) + text

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]

try:
    server = subprocess.Popen([bin + "/cfp-server", "--id", "7", "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    running.append(server)
    address = next(filter(None, (re.search(r"listens on (127\.0\.0\.1:\d+)", line) for line in server.stderr)))[1]
    threading.Thread(target=server.stderr.read, daemon=True).start()
    starts = []
    for run in range(10):
        terminal = Terminal(address, f"start{run}")
        starts.append((terminal.wait(b"> ") - terminal.begun) * 1000)
        terminal.process.kill()
        terminal.process.wait()
    print(f"start to prompt: median {percentile(starts, .5):.1f} ms, max {max(starts):.1f} ms (10 starts)")
    ana = Terminal(address, "ana")
    ana.wait(b"> ")
    host, port = address.rsplit(":", 1)
    flooder = socket.create_connection((host, int(port)))
    flooder.sendall(packet(0, b"flooder"))
    threading.Thread(target=lambda: [None for _ in iter(lambda: flooder.recv(1 << 20), b"")], daemon=True).start()
    is_over = threading.Event()
    def flood():
        for first in range(0, messages, 1000):
            flooder.sendall(b"".join(packet(0x20, b"message number %d of the flood, as people write them" % number)
                                     for number in range(first, min(messages, first + 1000))))
        flooder.sendall(packet(0x20, b"the last one"))
        is_over.set()
    begun = time.monotonic()
    threading.Thread(target=flood, daemon=True).start()
    delays, typed = [], b""
    while ana.ended is None:
        if len(typed) == 60:
            ana.key(b"\x15")
            typed = b""
            time.sleep(0.02)
            ana.forget()
        key = b"abcdefghijklmnopqrstuvwxyz"[len(delays) % 26:][:1]
        typed += key
        at = time.monotonic()
        ana.key(key)
        delays.append((ana.wait(b"> " + typed) - at) * 1000)
        time.sleep(0.005)
    seconds = ana.ended - begun
    print(f"{messages} public messages in {seconds:.1f} s while somebody typed {len(delays)} keys: "
          f"p50 {percentile(delays, .5):.2f} ms, p99 {percentile(delays, .99):.2f} ms, max {max(delays):.2f} ms from key to screen; "
          f"most memory {ana.peak_kib()} KiB")
finally:
    for process in running:
        process.kill()
        process.wait()
PYTHON
