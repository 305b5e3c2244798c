#!/bin/sh
# Private messages, one to an unknown receiver and one to an unknown server.   Usage: private.sh [HOST PORT [ID]]
. "$(dirname "$0")/session.sh"
use_server "$@"
other_id=$(((id + 1000) % 4294967296))

for name in ana bob eve; do
    connect $name
    send    $name "00 $(str $name)"                                 # AUTHGST
    expect  $name "10 00"                                           # AUTHRSP: accepted
done

send    ana "21 $(u32 "$id") $(str bob) $(str psst)"                # MSGPRV
expect  bob "31 $(u32 "$id") 00000003 616e61 00000003 626f62 00000004 70737374"

send    ana "21 $(u32 "$id") $(str zoe) $(str 'anybody?')"          # MSGPRV to nobody
expect  ana "f0 00000003 616e61 01"                                 # ERROR: unknown receiver
send    ana "21 $(u32 "$other_id") $(str bob) $(str psst)"          # MSGPRV to a server that is not there
expect  ana "f0 00000003 616e61 00"                                 # ERROR: unknown server

leave   eve                                                         # nothing of it came to her
leave   ana
leave   bob
echo 'private: fine'
