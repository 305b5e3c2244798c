#!/usr/bin/env python3
"""Plays docs/vectors.json against a server; docs/vectors.md says what that has to be.
Usage: play-vectors.py HOST PORT [--without user|merging|dense|routed]..."""
import json, pathlib, socket, sys

def encode(packet):
    layout = vectors["layouts"][packet["name"]]
    return bytes.fromhex(layout["code"]) + fields(layout["fields"], packet["fields"])

def fields(kinds, values):
    return b"".join(field(kind, values[name]) for name, kind in kinds.items())

def field(kind, value):
    if kind == "byte": return bytes([value])
    if kind == "number": return value.to_bytes(4, "big")
    if kind == "text": return field("number", len(value.encode())) + value.encode()
    if kind == "address": return socket.inet_aton(value)
    if kind == "chunk": return bytes.fromhex(value)
    if kind == "packet": return encode(value)
    return field("number", len(value)) + b"".join(fields(kind, each) for each in value)  # A list.

def play(steps):
    peers = {}
    for step in steps:
        if step["on"] not in peers: peers[step["on"]] = socket.create_connection((host, port), 10)
        peer, expected, seen = peers[step["on"]], step.get("receive", ""), ""
        if "send" in step: peer.sendall(bytes.fromhex(step["send"]))
        if "shut" in step: peer.shutdown(socket.SHUT_WR)
        while (len(seen) < len(expected) or "end" in step) and (byte := peer.recv(1)): seen += byte.hex()
        is_same = len(seen) == len(expected) and all(e in (s, "?") for e, s in zip(expected, seen))
        assert is_same, f"{step['on']} expected {expected or 'the end'} and got {seen or 'the end'}"
    for peer in peers.values():  # Its nickname is free when the server has closed, too.
        try: peer.shutdown(socket.SHUT_WR)
        except OSError: pass
        while peer.recv(65536): pass

if len(sys.argv) < 3: sys.exit(__doc__)
host, port, without, failed = sys.argv[1], int(sys.argv[2]), sys.argv[4::2], 0
vectors = json.loads((pathlib.Path(__file__).parent.parent / "docs/vectors.json").read_text())
for part in "packets", "ignored", "sessions":
    good = 0
    for vector in vectors[part]:
        state = vectors["states"].get(vector.get("state"), {})
        if any(word in need for word in without for need in vector.get("needs", state.get("needs", []))): continue
        try:
            if part == "packets": assert encode(vector["packet"]).hex() == vector["bytes"], "encoded otherwise"
            elif part == "sessions": play(vector["steps"])
            else: play(state["before"] + [{"on": "it", "send": vector["bytes"]}] + state["probe"])
            good += 1
        except (AssertionError, OSError) as error:
            failed += 1; print(f"FAIL {part}: {vector.get('about') or vector['state'] + ': ' + vector['why']}: {error}")
    print(f"{part}: {good} ok")
sys.exit(failed > 0)
