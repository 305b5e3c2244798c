#!/usr/bin/env python3
"""Plays docs/vectors.json against a server.   Usage: play-vectors.py HOST PORT [--without NEED]...

The server is number 7, has the registered user maria with the password "open sesame", and permits merging from here.
--without user, --without merging: leaves out the sessions that need that."""
import json, pathlib, socket, struct, sys

TEXT, NUMBER, BYTE = "text", "number", "byte"
CHUNK = dict(transfer_id=NUMBER, file_name=TEXT, chunks=NUMBER, content="content")
LAYOUTS = {  # code, fields
    "AUTHGST": (0x00, dict(nickname=TEXT)), "AUTHUSR": (0x01, dict(nickname=TEXT, password=TEXT)),
    "AUTHRSP": (0x10, dict(response=BYTE)), "MSGPBL": (0x20, dict(message=TEXT)),
    "MSGPRV": (0x21, dict(destination=NUMBER, receiver=TEXT, message=TEXT)),
    "MSGPBLINC": (0x30, dict(origin=NUMBER, sender=TEXT, message=TEXT)),
    "MSGPRVINC": (0x31, dict(origin=NUMBER, sender=TEXT, receiver=TEXT, message=TEXT)),
    "FILECHNK": (0x40, dict(destination=NUMBER, receiver=TEXT, **CHUNK)),
    "FILECHNKINC": (0x41, dict(origin=NUMBER, sender=TEXT, receiver=TEXT, **CHUNK)),
    "PCKFWD": (0x50, dict(destination=NUMBER, content="packet")), "MRGREQ": (0xA0, dict(server=NUMBER, siblings="list")),
    "MRGRSP": (0xA1, dict(server=NUMBER, siblings="list")), "MRGDECL": (0xA2, dict(reason=BYTE)),
    "ERROR": (0xF0, dict(sender=TEXT, reason=BYTE))}
WRITE = {BYTE: lambda v: bytes([v]), NUMBER: lambda v: struct.pack(">I", v), "content": bytes.fromhex,
         TEXT: lambda v: struct.pack(">I", len(v.encode())) + v.encode(), "packet": lambda v: encode(v),
         "list": lambda v: struct.pack(">I", len(v)) + b"".join(
             struct.pack(">I4sI", s["server"], socket.inet_aton(s["address"]), s["port"]) for s in v)}

def encode(packet):
    code, fields = LAYOUTS[packet["name"]]
    return bytes([code]) + b"".join(WRITE[kind](packet["fields"][name]) for name, kind in fields.items())

def play(steps):
    connections = {}
    for step in steps:
        peer = connections.setdefault(step["on"], None) or socket.create_connection((host, port), 10)
        connections[step["on"]] = peer
        if "send" in step: peer.sendall(bytes.fromhex(step["send"]))
        if "shut" in step: peer.shutdown(socket.SHUT_WR)
        expected = bytes.fromhex(step.get("receive", ""))
        seen = b"".join(iter(lambda: peer.recv(65536), b"")) if "end" in step else receive(peer, len(expected))
        assert seen == expected, f"{step['on']} expected {expected.hex() or 'the end'} and got {seen.hex() or 'the end'}"
    for peer in connections.values():  # Its nickname is free when the server has closed, too.
        try: peer.shutdown(socket.SHUT_WR)
        except OSError: pass
        while peer.recv(65536): pass

def receive(peer, count):
    seen = b""
    while len(seen) < count and (more := peer.recv(count - len(seen))): seen += more
    return seen

def check(part, vector):
    if part == "packets": assert encode(vector["packet"]).hex() == vector["bytes"], "encoded otherwise"
    elif part == "sessions": play(vector["steps"])
    else:
        state = vectors["states"][vector["state"]]
        play(state["before"] + [{"on": "it", "send": vector["bytes"]}] + state["probe"])

if len(sys.argv) < 3: sys.exit(__doc__)
host, port, without, failed = sys.argv[1], int(sys.argv[2]), sys.argv[4::2], 0
vectors = json.loads((pathlib.Path(__file__).parent.parent / "docs/vectors.json").read_text())
for part in "packets", "ignored", "sessions":
    good = 0
    for vector in vectors[part]:
        is_link = "merging" in without and vector.get("state") == "link"
        if is_link or any(word in need for word in without for need in vector.get("needs", [])): continue
        try: check(part, vector); good += 1
        except (AssertionError, OSError) as error:
            failed += 1; print(f"FAIL {part}: {vector.get('about') or vector['state'] + ': ' + vector['why']}: {error}")
    print(f"{part}: {good} ok")
sys.exit(failed > 0)
