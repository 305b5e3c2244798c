#!/bin/sh
# Three servers merge into one network, and a client of each talks with the others.   Usage: merge-three.sh
# It starts its servers itself, with IDs 1 to 3.
. "$(dirname "$0")/session.sh"

host=127.0.0.1
program=${CFP_SERVER:-}
for built in release debug; do
    [ -n "$program" ] || [ ! -x "$scripts/../target/$built/cfp-server" ] || program=$scripts/../target/$built/cfp-server
done
[ -n "$program" ] || fail 'no server is built: cargo build --release'

# Waits until a command succeeds.
#   await WHAT COMMAND…
await() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt "$patience" ] || fail "$what $(cat "$work"/log.* 2>/dev/null)"
        pause
    done
}

port_of() {
    sed -n 's/.*listens on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/log.$1"
}

listens() {
    [ -n "$(port_of "$1")" ]
}

# An operator's command.   ask SERVER COMMAND
ask() {
    "$program" --control "$work/control.$1" --ask "$2"
}

has_two_siblings() {
    [ "$(ask "$1" siblings | grep -c "$(printf '\tlinked\t')")" -eq 2 ]
}

for server in 1 2 3; do
    RUST_LOG=info "$program" --id $server --listen $host:0 --control "$work/control.$server" 2> "$work/log.$server" &
    pids="$pids $!"
    await "server $server does not start:" listens $server
done

# 2 and 3 merge with 1; it tells 2 of 3, which then dials it.
for server in 2 3; do
    answer=$(ask $server "merge $host:$(port_of 1)") || fail "server $server cannot merge: $answer"
    echo "  server $server merged with server 1: $answer"
done
for server in 1 2 3; do
    await "server $server does not have two siblings:" has_two_siblings $server
done

set -- ana bob eve
for server in 1 2 3; do
    port=$(port_of $server)
    connect "$1"
    send    "$1" "00 $(str "$1")"                                   # AUTHGST
    expect  "$1" "10 00"                                            # AUTHRSP: accepted
    shift
done

send    ana "20 $(str hi)"                                          # MSGPBL
for name in ana bob eve; do
    expect $name "30 00000001 00000003 616e61 00000002 6869"        # MSGPBLINC from server 1, on every server
done

send    bob "21 $(u32 3) $(str eve) $(str psst)"                    # MSGPRV to a client of server 3
expect  eve "31 00000002 00000003 626f62 00000003 657665 00000004 70737374"
send    eve "21 $(u32 1) $(str zoe) $(str 'anybody?')"              # MSGPRV to nobody on server 1
expect  eve "f0 00000003 657665 01"                                 # ERROR: unknown receiver
send    eve "21 $(u32 4) $(str zoe) $(str 'anybody?')"              # MSGPRV to a server that is not there
expect  eve "f0 00000003 657665 00"                                 # ERROR: unknown server

content=$(printf 'a file, %1016s' '' | od -An -v -tx1 | tr -d ' \n')
send    eve "40 $(u32 1) $(str ana) $(u32 99) $(str note.txt) $(u32 1) $content"                   # FILECHNK
expect  ana "41 00000003 00000003 657665 00000003 616e61 00000063 00000008 6e6f74652e747874 00000001 $content"

leave   ana
leave   bob
leave   eve
echo 'merge-three: fine'
