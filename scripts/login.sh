#!/bin/sh
# A registered user logs in, after some mistakes.   Usage: login.sh [HOST PORT [ID]]
# A server that is given must have been started with --users scripts/users.
. "$(dirname "$0")/session.sh"
use_server "$@"

connect maria
send    maria "00 $(str maria)"                                     # AUTHGST with a registered nickname
expect  maria "10 01"                                               # AUTHRSP: it belongs to a registered user
send    maria "01 $(str maria) $(str 'open says me')"               # AUTHUSR with a wrong password
expect  maria "10 02"                                               # AUTHRSP: wrong combination
send    maria "01 $(str mario) $(str 'open sesame')"                # AUTHUSR with a nickname that nobody registered
expect  maria "10 02"                                               # AUTHRSP: wrong combination
send    maria "01 $(str maria) $(str 'open sesame')"                # AUTHUSR
expect  maria "10 00"                                               # AUTHRSP: accepted

connect twin
send    twin  "01 $(str maria) $(str 'open sesame')"                # AUTHUSR while she is connected
expect  twin  "10 03"                                               # AUTHRSP: in use right now
leave   twin

send    maria "20 $(str "I'm in")"                                  # MSGPBL
expect  maria "30 $(u32 "$id") 00000005 6d61726961 00000006 49276d20696e"
leave   maria
echo 'login: fine'
