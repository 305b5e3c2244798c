#!/bin/sh
# A file of 2,500 bytes in three chunks, put together again by its receiver.   Usage: file.sh [HOST PORT [ID]]
. "$(dirname "$0")/session.sh"
use_server "$@"

awk 'BEGIN { for (i = 1; i <= 250; i++) printf "line %04d\n", i }' > "$work/sent.txt"

for name in ana bob; do
    connect $name
    send    $name "00 $(str $name)"                                 # AUTHGST
    expect  $name "10 00"                                           # AUTHRSP: accepted
done

# Before the content: code, server, nicknames, transfer, file name, number of chunks.
header_bytes=$((1 + 4 + 7 + 7 + 4 + 12 + 4))
seen_before=2
for chunk in 0 1 2; do
    # Every chunk has 1,024 bytes; the last is padded with zero bytes.
    content=$(dd if="$work/sent.txt" bs=1024 skip=$chunk count=1 conv=sync 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
    about="$(u32 99) $(str note.txt) $(u32 3)"
    send   ana "40 $(u32 "$id") $(str bob) $about $content"                                    # FILECHNK
    expect bob "41 $(u32 "$id") 00000003 616e61 00000003 626f62 00000063 00000008 6e6f74652e747874 00000003 $content"
    dd if="$work/bob.out" bs=1 skip=$((seen_before + header_bytes)) count=1024 2>/dev/null >> "$work/padded.txt"
    seen_before=$((seen_before + header_bytes + 1024))
done
dd if="$work/padded.txt" bs=2500 count=1 2>/dev/null > "$work/received.txt"
cmp "$work/sent.txt" "$work/received.txt" || fail 'the file that came is another one'

leave ana
leave bob
echo 'file: fine'
