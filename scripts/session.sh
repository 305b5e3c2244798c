# Read by the other scripts: a session of bytes with a server, through nc (netcat-openbsd).
#
#   connect NAME          opens a connection, called NAME in what follows
#   send NAME HEX         sends bytes; blanks between the digits mean nothing
#   expect NAME HEX       waits until that many bytes came, and compares them
#   leave NAME            shuts the sending side; the server must close, with nothing more to say
#   str TEXT              a text as packets have it, in hex: its count, then its bytes
#   u32 NUMBER            a number as packets have it, in hex
#
# A script takes HOST PORT [ID] of a running server. Without them, it starts one of its own.

set -eu
trap '' PIPE

scripts=$(dirname "$0")
work=$(mktemp -d)
pids=''
next_fd=3
# Tenths of a second that a wait may take.
patience=300

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

clean_up() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

nc -h 2>&1 | grep -q OpenBSD || fail 'needs OpenBSD nc (apt-get install netcat-openbsd)'

pause() {
    sleep 0.1 2>/dev/null || sleep 1
}

# Finds the server to talk to, or starts one; sets host, port and id.
#   use_server [HOST PORT [ID]]
use_server() {
    if [ $# -ge 2 ]; then
        host=$1 port=$2 id=${3:-7}
        return
    fi
    host=127.0.0.1 id=7
    program=${CFP_SERVER:-}
    for built in release debug; do
        [ -n "$program" ] || [ ! -x "$scripts/../target/$built/cfp-server" ] || program=$scripts/../target/$built/cfp-server
    done
    [ -n "$program" ] || fail 'no server is built: cargo build --release, or give HOST PORT of one that runs'
    RUST_LOG=info "$program" --id "$id" --listen "$host:0" --users "$scripts/users" 2> "$work/log" &
    pids="$pids $!"
    tries=0
    until port=$(sed -n 's/.*listens on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/log") && [ -n "$port" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt "$patience" ] || fail "the server does not start: $(cat "$work/log")"
        pause
    done
}

u32() {
    printf '%08x' "$1"
}

str() {
    u32 "$(printf '%s' "$1" | wc -c)"
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'
}

# Hex digits on standard input become bytes.
unhex() {
    printf '%b' "$(tr -d ' \n' | fold -w 2 | awk '
        BEGIN { for (i = 0; i < 256; i++) octal[sprintf("%02x", i)] = sprintf("\\0%03o", i) }
        NF { printf "%s", octal[tolower($1)] }')"
}

connect() {
    mkfifo "$work/$1.in"
    : > "$work/$1.out"
    # Descriptors 3 to 9 are the sending sides of the connections: no child may keep them open.
    nc -N "$host" "$port" < "$work/$1.in" > "$work/$1.out" 2> "$work/$1.err" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    pids="$pids $!"
    eval "pid_$1=$! fd_$1=$next_fd seen_$1=0; exec $next_fd> \"\$work/$1.in\""
    next_fd=$((next_fd + 1))
}

send() {
    eval "fd=\$fd_$1"
    # Through a file, so that one write sends all of it.
    printf '%s' "$2" | unhex > "$work/bytes"
    cat "$work/bytes" >&"$fd" || fail "$1 cannot send: the connection has ended"
}

size_of() {
    wc -c < "$work/$1.out" | tr -d ' '
}

expect() {
    eval "seen=\$seen_$1"
    wanted=$(printf '%s' "$2" | tr -d ' \n' | tr A-F a-f)
    count=$((${#wanted} / 2))
    tries=0
    while [ "$(size_of "$1")" -lt $((seen + count)) ]; do
        tries=$((tries + 1))
        if [ "$tries" -ge "$patience" ] || ! kill -0 "$(eval "echo \$pid_$1")" 2>/dev/null; then
            # What came before the end may have been written meanwhile.
            [ "$(size_of "$1")" -lt $((seen + count)) ] || break
            differs "$1" "$(od -An -v -tx1 -j "$seen" "$work/$1.out" 2>/dev/null | tr -d ' \n')"
        fi
        pause
    done
    came=$(od -An -v -tx1 -j "$seen" -N "$count" "$work/$1.out" | tr -d ' \n')
    [ "$came" = "$wanted" ] || differs "$1" "$came"
    eval "seen_$1=$((seen + count))"
    echo "  $1 got $(printf '%s' "$2" | cut -c 1-100)"
}

differs() {
    fail "what came back to $1 differs
  expected: $wanted
  came:     $2$(sed 's/^/ (nc: /; s/$/)/' "$work/$1.err")"
}

leave() {
    eval "fd=\$fd_$1 pid=\$pid_$1 seen=\$seen_$1; exec $(eval "echo \$fd_$1")>&-"
    wait "$pid" || true
    [ "$(size_of "$1")" -eq "$seen" ] || fail "more came to $1 than was expected: $(od -An -v -tx1 -j "$seen" "$work/$1.out" | tr -d ' \n')"
}
