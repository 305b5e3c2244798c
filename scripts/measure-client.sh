#!/bin/sh
# Measures the client: a large file between two clients of one server on loopback, beside nc with the same file; chat's
# delay meanwhile; and the memory of both clients.
#
#     cargo build --release --features client --bin cfp-server --bin cfp-client
#     scripts/measure-client.sh [MEBIBYTES]
#
# Needs OpenBSD nc and python3. Everything stays on 127.0.0.1. This script ends what it starts.
set -eu
mebibytes=${1:-100}
bin=$(cd "$(dirname "$0")/.." && pwd)/target/release
for program in cfp-server cfp-client; do
    [ -x "$bin/$program" ] || { echo "build it first: cargo build --release --features client" >&2; exit 1; }
done
exec python3 - "$bin" "$mebibytes" <<'PYTHON'
import hashlib, os, re, socket, struct, subprocess, sys, tempfile, threading, time

bin, mebibytes = sys.argv[1], int(sys.argv[2])
size = mebibytes << 20
scratch = tempfile.TemporaryDirectory()
path = os.path.join(scratch.name, "file.bin")
with open(path, "wb") as file:
    for _ in range(mebibytes):
        file.write(os.urandom(1 << 20))
sha256 = hashlib.sha256(open(path, "rb").read()).hexdigest()

running = []
def start(command, **options):
    process = subprocess.Popen(command, **options)
    running.append(process)
    return process

def nc_seconds():
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    copy = os.path.join(scratch.name, "copy.bin")
    with open(copy, "wb") as out, open(path, "rb") as source:
        server = start(["nc", "-l", "127.0.0.1", str(port)], stdin=subprocess.DEVNULL, stdout=out)
        time.sleep(0.2)
        begun = time.monotonic()
        start(["nc", "-N", "127.0.0.1", str(port)], stdin=source, stdout=subprocess.DEVNULL)
        server.wait(60)
        seconds = time.monotonic() - begun
    assert os.path.getsize(copy) == size
    return seconds

class Client:
    def __init__(self, address, nickname, *arguments):
        self.process = start([bin + "/cfp-client", address, nickname, *arguments], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.process.stderr.readline()
        self.seen, self.news = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.seen.append((time.monotonic(), line.rstrip("\n")))
                self.news.notify_all()
    def type(self, line):
        self.process.stdin.write(line + "\n")
    def wait(self, part, since=0):
        with self.news:
            while True:
                for at, line in self.seen:
                    if part in line and at >= since:
                        return at, line
                assert self.news.wait(60), f"no {part!r}"
    def peak_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1])

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]

def chat(talker, listener, to, is_over, delays):
    while not is_over.is_set():
        mark = f"{to} number {len(delays)}."
        begun = time.monotonic()
        talker.type(f"/msg {to}@7 {mark}")
        delays.append((listener.wait(mark)[0] - begun) * 1000)
        time.sleep(0.002)

try:
    server = start([bin + "/cfp-server", "--id", "7", "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    address = next(filter(None, (re.search(r"listens on (127\.0\.0\.1:\d+)", line) for line in server.stderr)))[1]
    threading.Thread(target=server.stderr.read, daemon=True).start()
    into = os.path.join(scratch.name, "in")
    os.mkdir(into)
    ana, ben = Client(address, "ana"), Client(address, "ben", "--accept-all", "--max-download", str(size * 10), "--download", into)
    carl, dora = Client(address, "carl"), Client(address, "dora")
    print(f"{mebibytes} MiB on {os.cpu_count()} processors; three runs each")
    nc, cfp = [], []
    for run in range(3):
        nc.append(nc_seconds())
        begun = time.monotonic()
        ana.type(f"/file ben@7 {path}")
        at, line = ben.wait("* received", begun)
        assert "SHA-256 correct" in line, line
        cfp.append(at - begun)
        saved = line.split("saved as ")[1]
        assert hashlib.sha256(open(saved, "rb").read()).hexdigest() == sha256
        os.remove(saved)
    rate = lambda seconds: mebibytes / seconds
    print("nc         MiB/s: " + " ".join(f"{rate(s):.0f}" for s in nc))
    print("cfp-client MiB/s: " + " ".join(f"{rate(s):.0f}" for s in cfp) + "  (from /file to the checked file, SHA-256 before and after included)")
    share = rate(min(cfp)) / rate(min(nc))
    print(f"best against best: {share:.2f} of nc")
    same, others = [], []
    for run in range(4):
        is_over = threading.Event()
        threads = [threading.Thread(target=chat, args=(ana, ben, "ben", is_over, same)),
                   threading.Thread(target=chat, args=(carl, dora, "dora", is_over, others))]
        begun = time.monotonic()
        ana.type(f"/file ben@7 {path}")
        ben.wait("* receiving", begun)
        for thread in threads:
            thread.start()
        os.remove(ben.wait("* received", begun)[1].split("saved as ")[1])
        is_over.set()
        for thread in threads:
            thread.join()
    for name, delays in (("between the same two", same), ("between two others", others)):
        print(f"chat meanwhile, {name}: p50 {percentile(delays, .5):.1f} ms, p99 {percentile(delays, .99):.1f} ms, "
              f"max {max(delays):.1f} ms ({len(delays)} messages)")
    print(f"most memory: sender {ana.peak_kib()} KiB, receiver {ben.peak_kib()} KiB")
finally:
    for process in running:
        process.kill()
        process.wait()
PYTHON
