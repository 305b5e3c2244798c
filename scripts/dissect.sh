#!/bin/sh
# Prints what a capture holds, packet by packet, with cfp.lua beside this file.
#
#   dissect.sh CAPTURE [PORTS [TSHARK'S OPTIONS…]]      dissect.sh talk.pcapng 7777,7778 -Y 'cfp.sender == "ana"'
#
# A capture comes from, say: tshark -i lo -f 'tcp port 7777' -w talk.pcapng
set -eu
if [ $# -eq 0 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
capture=$1 ports=${2:-7777}
shift
[ $# -eq 0 ] || shift
exec tshark -X "lua_script:$(dirname "$0")/cfp.lua" -o "chatfusion.ports:$ports" -r "$capture" "$@"
