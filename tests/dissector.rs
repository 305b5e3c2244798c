//! The Wireshark dissector in scripts/, on captures made by hand and on one of the real servers.
//!
//! Needs tshark (and, for the real servers, the right to capture). Without it, the test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "dissector/capture.rs"]
mod capture;
#[path = "dissector/pcap.rs"]
mod pcap;
mod support;

use std::path::PathBuf;
use std::process::Command;

use capture::Capture;
use cfp::limits::CHUNK_BYTES;
use cfp::wire::{
    AuthResponse, Code, DeclineReason, Descriptions, ErrorReason, FileChunk, FrameLimits, Neighbours, Packet,
    RelayHeader, Scan, ServerId, scan,
};
use pcap::{CaptureFile, Pcap};
use support::Server;
use support::client::encoded;
use support::server::BINARY;

/// The port of the server in captures made by hand, and of its peer.
const SERVER: u16 = 7777;
const PEER: u16 = 40_000;
/// The servers of a capture are routed.
const ROUTED: [&str; 2] = ["-o", "chatfusion.routed:TRUE"];
const CONTENT: [u8; CHUNK_BYTES] = [b'z'; CHUNK_BYTES];

/// What the script prints, with more options for tshark.
fn dissect(capture: &CaptureFile, ports: &str, options: &[&str]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dissect.sh");
    let mut command = Command::new("sh");
    // An empty home, so that no personal preferences count.
    command.arg(script).arg(capture.path()).arg(ports).args(options).env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("Lua"), "{stderr}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The packets' summaries in the Info column.
fn summaries(capture: &CaptureFile, ports: &str, options: &[&str]) -> Vec<String> {
    let columns = ["-Y", "chatfusion", "-T", "fields", "-e", "_ws.col.Info"];
    let lines = dissect(capture, ports, &[&columns, options].concat());
    lines.iter().flat_map(|line| line.split(" | ")).map(|summary| summary.trim().to_owned()).collect()
}

/// The values of fields, a line for each frame that the filter selects.
fn values(capture: &CaptureFile, filter: &str, fields: &[&str]) -> Vec<String> {
    values_with(capture, filter, fields, &[])
}

fn values_with(capture: &CaptureFile, filter: &str, fields: &[&str], options: &[&str]) -> Vec<String> {
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let options: Vec<&str> =
        ["-Y", filter, "-T", "fields"].into_iter().chain(fields).chain(options.iter().copied()).collect();
    dissect(capture, "7777", &options)
}

fn chunk() -> FileChunk<'static> {
    FileChunk { transfer_id: 5, file_name: "cat.png", chunks: 3, content: &CONTENT }
}

/// One of each code, with what its line says.
fn every_packet() -> Vec<(Vec<u8>, &'static str)> {
    let siblings = Descriptions::new(b"\0\0\0\x08\x7f\0\0\x01\0\0\x1e\x62").unwrap();
    let (server, destination, origin) = (ServerId(8), ServerId(8), ServerId(7));
    let (sender, receiver, message) = ("ana", "bob", "hi");
    let content = encoded(&Packet::MsgPrvInc { origin, sender, receiver, message });
    let header = RelayHeader { destination, origin, incarnation: 1000, number: 3 };
    let description = siblings.iter().next().unwrap();
    let neighbours = Neighbours::new(b"\0\0\0\x09\0\0\0\x01\0\0\0\x0a\0\0\0\x05").unwrap();
    [
        (Packet::AuthGst { nickname: "ana" }, "AUTHGST ana"),
        (Packet::AuthUsr { nickname: "maria", password: "secret" }, "AUTHUSR maria"),
        (Packet::AuthRsp { response: AuthResponse::InUse }, "AUTHRSP: nickname in use"),
        (Packet::MsgPbl { message }, "MSGPBL: hi"),
        (Packet::MsgPrv { destination, receiver, message }, "MSGPRV to bob@8: hi"),
        (Packet::MsgPblInc { origin, sender, message }, "MSGPBLINC ana@7: hi"),
        (Packet::MsgPrvInc { origin, sender, receiver, message }, "MSGPRVINC ana@7 to bob: hi"),
        (
            Packet::FileChnk { destination, receiver, chunk: chunk() },
            "FILECHNK to bob@8: cat.png, transfer 5, 3 chunks in all",
        ),
        (
            Packet::FileChnkInc { origin, sender, receiver, chunk: chunk() },
            "FILECHNKINC ana@7 to bob: cat.png, transfer 5, 3 chunks in all",
        ),
        (Packet::PckFwd { destination, content: &content }, "PCKFWD to 8: MSGPRVINC ana@7 to bob: hi"),
        (Packet::Relay { header, content: &content }, "RELAY to 8 from 7, number 1000.3: MSGPRVINC ana@7 to bob: hi"),
        (
            Packet::Links { server: description, incarnation: 1000, version: 2, neighbours },
            "LINKS 8=127.0.0.1:7778, version 1000.2: 9/1, 10/5",
        ),
        (Packet::Hold { server: ServerId(9), is_held: true }, "HOLD 9: wait"),
        (Packet::Hello { stamp: 5 }, "HELLO 5"),
        (Packet::MrgReq { server, siblings }, "MRGREQ from 8: 8=127.0.0.1:7778"),
        (Packet::MrgRsp { server, siblings: Descriptions::default() }, "MRGRSP from 8:"),
        (Packet::MrgDecl { reason: DeclineReason::ServerLimit }, "MRGDECL: server limit"),
        (
            Packet::Error { sender, reason: ErrorReason::UnknownReceiver },
            "ERROR ana: receiver unknown or not connected",
        ),
    ]
    .map(|(packet, says)| (encoded(&packet), says))
    .to_vec()
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn every_packet_has_a_line_however_it_is_cut_into_segments() {
    let (packets, lines): (Vec<_>, Vec<_>) = every_packet().into_iter().unzip();
    assert_eq!(lines.len(), Code::ALL.len());
    let stream = packets.concat();
    for size in [1, 7, 1400, stream.len()] {
        let mut pcap = Pcap::new();
        pcap.segments(PEER, SERVER, &stream, size);
        // The Info column of one frame has its bound; the packets' own items have none.
        let file = pcap.file();
        let items: Vec<String> = dissect(&file, "7777", &[&ROUTED[..], &["-V"]].concat())
            .into_iter()
            .filter_map(|line| line.strip_prefix("Chat Fusion Protocol, ").map(|says| says.trim().to_owned()))
            .collect();
        assert_eq!(items, lines, "segments of {size} bytes");
        if size != stream.len() {
            let together = |lines: &[String]| lines.concat().replace(' ', "");
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            let once = summaries(&file, "7777", &ROUTED);
            assert_eq!(together(&once), together(&lines), "segments of {size} bytes");
            assert_eq!(summaries(&file, "7777", &[&ROUTED[..], &["-2"]].concat()), once, "with two passes");
        }
    }
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn fields_can_be_filtered_by() {
    let mut pcap = Pcap::new();
    for (packet, _) in every_packet() {
        pcap.segment(PEER, SERVER, &packet);
    }
    let file = pcap.file();
    let values = |filter: &str, fields: &[&str]| values_with(&file, filter, fields, &ROUTED);
    for (filter, fields, expected) in [
        ("cfp.nickname == \"maria\"", &["cfp.code", "cfp.password"][..], &["0x01\tsecret"][..]),
        ("cfp.response == 3", &["cfp.code"], &["0x10"]),
        ("cfp.message contains \"h\" && cfp.destination == 8 && cfp.code == 0x21", &["cfp.receiver"], &["bob"]),
        ("cfp.code == 0x40", &["cfp.transfer", "cfp.file_name", "cfp.chunks"], &["5\tcat.png\t3"]),
        ("cfp.code == 0x41", &["cfp.origin", "cfp.sender", "cfp.receiver"], &["7\tana\tbob"]),
        ("cfp.code == 0x50", &["cfp.code", "cfp.origin", "cfp.message.len"], &["0x50,0x31\t7\t2"]),
        ("cfp.number == 3", &["cfp.code", "cfp.incarnation"], &["0x51,0x31\t1000"]),
        ("cfp.link.server == 10", &["cfp.version", "cfp.link.stamp"], &["2\t1,5"]),
        ("cfp.held == 9 && cfp.hold == 1 || cfp.stamp == 5", &["cfp.code"], &["0x53", "0x54"]),
        ("cfp.code == 0xa0", &["cfp.server", "cfp.siblings"], &["8\t1"]),
        (
            "cfp.sibling.server == 8 && cfp.code == 0xa0",
            &["cfp.sibling.address", "cfp.sibling.port"],
            &["127.0.0.1\t7778"],
        ),
        ("cfp.decline == 1 || cfp.error == 1", &["cfp.code"], &["0xa2", "0xf0"]),
        ("cfp.refused", &["cfp.code"], &["0x10", "0xa2", "0xf0"]),
    ] {
        // Hexadecimal digits are printed as the version of tshark likes.
        let found: Vec<String> = values(filter, fields);
        assert_eq!(found, expected, "{filter}");
    }
    assert_eq!(values("cfp.code == 0x40", &["cfp.content"]), ["7a".repeat(CHUNK_BYTES)]);
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn an_overlong_length_is_skipped_without_losing_step_or_waiting_for_it() {
    let long_name = [&b"\x01\0\x01\x11\x70"[..], &[b'n'; 70_000], b"\0\0\0\x03pwd"].concat();
    let never_ends = b"\x50\0\0\0\x07\x30\0\0\0\x08\0\0\0\x03bob\xff\xff\xff\xff".to_vec();
    let stream = [long_name, encoded(&Packet::MsgPbl { message: "after" }), never_ends, vec![b' '; 5000]].concat();
    for options in [&[][..], &["-2"], &["-o", "tcp.desegment_tcp_streams:FALSE"]] {
        let mut pcap = Pcap::new();
        pcap.segments(PEER, SERVER, &stream, 1400);
        let said = summaries(&pcap.file(), "7777", options);
        let said: Vec<&String> = said.iter().filter(|line| !line.ends_with("bytes skipped)")).collect();
        assert_eq!(
            said,
            ["AUTHUSR (ignored)", "MSGPBL: after", "PCKFWD to 7: MSGPBLINC bob@8 (ignored)"],
            "{options:?}"
        );
    }
    // A field that is longer than the servers' default is legal if the servers allow it.
    let mut pcap = Pcap::new();
    pcap.segments(PEER, SERVER, &encoded(&Packet::MsgPbl { message: &"x".repeat(70_000) }), 1400);
    let file = pcap.file();
    assert!(summaries(&file, "7777", &[])[0].contains("ignored"));
    let said = summaries(&file, "7777", &["-o", "chatfusion.max_message:100000"]);
    assert_eq!(said, [format!("MSGPBL: {}…", "x".repeat(80))]);
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn what_servers_ignore_has_expert_information_and_the_stream_goes_on() {
    for (bytes, expert) in [
        (&b"\x99\x98"[..], "unknown_code"),
        (b"\x50\0\0\0\x07\x99", "unknown_code"),
        (b"\x50\0\0\0\x07\x50\0\0\0\x07\x10\0", "not_forwardable"),
        (b"\x50\0\0\0\x07\x20\0\0\0\x02hi", "not_forwardable"),
        (b"\x32\0\0\0\x07\xf0\0\0\0\x03ana\x01", "old_code"),
        (b"\x20\0\0\0\x02\xff\xfe", "not_utf8"),
        (b"\x20\0\0\0\x03\xed\xa0\x80", "not_utf8"),
        (b"\0\0\0\0\x04 ana", "bad_nickname"),
        (b"\0\0\0\0\x00", "bad_nickname"),
        (b"\0\0\0\0\x05\xe3\x80\x80hi", "bad_nickname"),
        (b"\0\0\0\0\x41", "overlong"),
        (b"\x10\x04", "bad_value"),
        (b"\xa2\x03", "bad_value"),
        (b"\xa0\0\0\0\x08\0\0\0\x01\0\0\0\x09\xe0\0\0\x01\0\0\x1e\x61", "bad_description"),
        (b"\xa0\0\0\0\x08\0\0\0\x0b", "overlong"),
    ] {
        let mut stream = bytes.to_vec();
        match bytes {
            [0, .., 0x41] => stream.extend([b'n'; 65]),
            [.., 0x0b] => stream.extend([0; 11 * 12]),
            _ => {}
        }
        stream.extend(encoded(&Packet::MsgPbl { message: "after" }));
        let mut pcap = Pcap::new();
        pcap.segment(PEER, SERVER, &stream);
        let found = values(&pcap.file(), &format!("cfp.{expert}"), &["cfp.message"]);
        assert!(found.len() == 1 && found[0].ends_with("after"), "{bytes:x?}: {found:?}");
    }
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn a_capture_that_was_cut_off_is_shown_as_far_as_it_goes() {
    let mut pcap = Pcap::new();
    pcap.segment_cut_off(PEER, SERVER, &encoded(&Packet::MsgPbl { message: &"x".repeat(500) }), 100);
    pcap.segment(PEER, SERVER, &encoded(&Packet::MsgPbl { message: "after" }));
    assert_eq!(summaries(&pcap.file(), "7777", &[]), ["MSGPBL (incomplete)", "MSGPBL: after"]);
}

#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn any_port_is_recognized_only_where_asked_for() {
    let mut pcap = Pcap::new();
    pcap.segment(PEER, SERVER, &encoded(&Packet::AuthGst { nickname: "ana" }));
    pcap.segment(PEER, SERVER, &encoded(&Packet::MsgPbl { message: "hi" }));
    pcap.segment(PEER + 1, SERVER, b"\0\0\0\0\x03a");
    let file = pcap.file();
    assert_eq!(summaries(&file, "1", &[]), [""; 0]);
    let said = summaries(&file, "1", &["-o", "chatfusion.heuristic:TRUE"]);
    assert_eq!(said, ["AUTHGST ana", "MSGPBL: hi"]);
}

/// The dissector finds the same packets as the server's own framing, in streams of good and bad bytes.
#[test]
#[ignore = "needs tshark: .ci/run runs it"]
fn the_dissector_keeps_step_with_the_servers_framing() {
    let packets = every_packet();
    let (mut pcap, mut expected) = (Pcap::new(), Vec::new());
    let mut state = 1_u32;
    // A plain linear congruential generator: the streams are the same each time.
    let mut choose = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for port in PEER..PEER + 20 {
        let mut stream = Vec::new();
        while stream.len() < 8000 {
            match choose(4) {
                0 => stream.push(0x60 + choose(0x40) as u8),
                _ => stream.extend(&packets[choose(packets.len())].0),
            }
        }
        expected.extend(codes(&stream).into_iter().map(|code| (port, code)));
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (segment, after) = rest.split_at(rest.len().min(1 + choose(1400)));
            pcap.segment(port, SERVER, segment);
            rest = after;
        }
    }
    let found: Vec<(u16, String)> = values_with(&pcap.file(), "chatfusion", &["tcp.srcport", "cfp.code"], &ROUTED)
        .iter()
        .flat_map(|line| {
            let (port, codes) = line.split_once('\t').unwrap();
            let port = port.parse().unwrap();
            // A segment in which no packet begins has none.
            let codes = codes.split(',').filter(|code| !code.is_empty());
            codes.map(move |code| (port, code.to_owned())).collect::<Vec<_>>()
        })
        // A run of unknown codes is one item.
        .filter(|(_, code)| Code::from_byte(u8::from_str_radix(&code[2..], 16).unwrap()).is_some())
        .collect();
    assert!(found == expected, "{} codes found, {} expected", found.len(), expected.len());
}

/// The codes in a stream, as tshark prints them, with those of forwarded packets.
fn codes(mut stream: &[u8]) -> Vec<String> {
    let mut codes = Vec::new();
    while !stream.is_empty() {
        match scan(stream, &FrameLimits { descriptions_max: 65, has_routed_codes: true, ..FrameLimits::DEFAULT }) {
            Scan::Packet { len } => {
                codes.push(format!("0x{:02x}", stream[0]));
                match Code::from_byte(stream[0]) {
                    Some(Code::PckFwd) => codes.push(format!("0x{:02x}", stream[5])),
                    Some(Code::Relay) => codes.push(format!("0x{:02x}", stream[17])),
                    _ => {}
                }
                stream = &stream[len..];
            }
            Scan::Unknown { len } => stream = &stream[len..],
            other => panic!("{other:?}"),
        }
    }
    codes
}

fn ask(control: &str, command: &str) -> String {
    let output = Command::new(BINARY).args(["--control", control, "--ask", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A control socket's file, which a server that is killed leaves behind.
struct ControlPath(PathBuf);

impl Drop for ControlPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
#[ignore = "needs tshark, and the right to capture: .ci/run runs it where that is given"]
fn a_conversation_over_two_merged_servers_is_dissected() {
    let control = ControlPath(std::env::temp_dir().join(format!("cfp-dissector-{}", std::process::id())));
    let control = control.0.to_str().unwrap();
    let seven = Server::start(&["--control", control]);
    let mut command = Command::new(BINARY);
    command.args(["--id", "8", "--listen", "127.0.0.1:0"]);
    let eight = Server::spawn(command);
    let capture = Capture::start(&[seven.address(), eight.address()]).unwrap();
    ask(control, &format!("merge {}", eight.address()));
    let (mut ana, mut bob) = (seven.guest("ana"), eight.guest("bob"));
    let origin = ServerId(7);
    ana.say("hi");
    ana.expect_public("ana", "hi");
    bob.expect(&Packet::MsgPblInc { origin, sender: "ana", message: "hi" });
    ana.send(&Packet::MsgPrv { destination: ServerId(8), receiver: "bob", message: "psst" });
    bob.expect(&Packet::MsgPrvInc { origin, sender: "ana", receiver: "bob", message: "psst" });
    ana.send(&Packet::FileChnk { destination: ServerId(8), receiver: "bob", chunk: chunk() });
    bob.expect(&Packet::FileChnkInc { origin, sender: "ana", receiver: "bob", chunk: chunk() });
    for (destination, receiver, reason) in
        [(9, "bob", ErrorReason::UnknownServer), (8, "eve", ErrorReason::UnknownReceiver)]
    {
        ana.send(&Packet::MsgPrv { destination: ServerId(destination), receiver, message: "?" });
        ana.expect(&Packet::Error { sender: "ana", reason });
    }
    let last = Packet::MsgPblInc { origin: ServerId(8), sender: "bob", message: "this is the end" };
    bob.say("this is the end");
    ana.expect(&last);
    bob.expect(&last);
    // Seen on the link, by ana, and by bob.
    let file = capture.finish(&encoded(&last), 3);

    let ports = format!("{},{}", seven.address().port(), eight.address().port());
    let said = summaries(&file, &ports, &[]);
    let at = eight.address();
    for expected in [
        format!("MRGREQ from 7: 7={}", seven.address()).as_str(),
        &format!("MRGRSP from 8: 8={at}"),
        "AUTHGST ana",
        "AUTHRSP: accepted",
        "MSGPBL: hi",
        "MSGPBLINC ana@7: hi",
        "PCKFWD to 8: MSGPBLINC ana@7: hi",
        "MSGPRV to bob@8: psst",
        "PCKFWD to 8: MSGPRVINC ana@7 to bob: psst",
        "MSGPRVINC ana@7 to bob: psst",
        "FILECHNK to bob@8: cat.png, transfer 5, 3 chunks in all",
        "PCKFWD to 8: FILECHNKINC ana@7 to bob: cat.png, transfer 5, 3 chunks in all",
        "FILECHNKINC ana@7 to bob: cat.png, transfer 5, 3 chunks in all",
        "ERROR ana: destination server unknown or not connected",
        "PCKFWD to 7: ERROR ana: receiver unknown or not connected",
        "ERROR ana: receiver unknown or not connected",
        "PCKFWD to 7: MSGPBLINC bob@8: this is the end",
    ] {
        assert!(said.iter().any(|line| line == expected), "{expected:?} is not in {said:#?}");
    }
    let malformed = dissect(&file, &ports, &["-Y", "_ws.expert.group == \"Malformed\" || _ws.malformed"]);
    assert!(malformed.is_empty(), "{malformed:#?}");
}
