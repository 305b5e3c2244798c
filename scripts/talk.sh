#!/bin/sh
# Two guests talk in public.   Usage: talk.sh [HOST PORT [ID]]
. "$(dirname "$0")/session.sh"
use_server "$@"

connect ana
send    ana "00 $(str ana)"                                         # AUTHGST
expect  ana "10 00"                                                 # AUTHRSP: accepted

connect bob
send    bob "00 $(str ana)"                                         # AUTHGST
expect  bob "10 03"                                                 # AUTHRSP: that nickname is in use
send    bob "00 $(str bob)"                                         # AUTHGST
expect  bob "10 00"                                                 # AUTHRSP: accepted

send    ana "20 $(str hi)"                                          # MSGPBL
expect  ana "30 $(u32 "$id") 00000003 616e61 00000002 6869"         # MSGPBLINC: it comes back to its sender too
expect  bob "30 $(u32 "$id") 00000003 616e61 00000002 6869"         # MSGPBLINC

send    bob "20 $(str 'how are you?')"                              # MSGPBL
expect  ana "30 $(u32 "$id") 00000003 626f62 0000000c 686f772061726520796f753f"
expect  bob "30 $(u32 "$id") 00000003 626f62 0000000c 686f772061726520796f753f"

leave   ana
leave   bob
echo 'talk: fine'
