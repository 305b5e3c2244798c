//! What routed servers send to each other (D24 to D39).

use cfp::wire::{Description, Descriptions, ErrorReason, Neighbours, Packet, RelayHeader, ServerId};
use serde_json::{Value, json};

use crate::support::ID;
use crate::support::client::encoded;
use crate::written::{ADDRESS, DENSE, MERGING, Steps, descriptions, hex};

/// What a session needs.
const ROUTED: &str = "a routed server (--routed), started anew";

/// The server at the other end of a routed link.
const NINE: ServerId = ServerId(9);
const PLACE: Description = Description { server: NINE, address: ADDRESS, port: 7779 };
/// The stamp of a link is one more than the higher one of those in both HELLO.
const STAMP: u32 = 6;

fn relay<'a>(destination: ServerId, origin: ServerId, number: u32, content: &'a [u8]) -> Packet<'a> {
    Packet::Relay { header: RelayHeader { destination, origin, incarnation: 1, number }, content }
}

fn request(list: &[u8]) -> Packet<'_> {
    Packet::MrgReq { server: NINE, siblings: Descriptions::new(list).unwrap() }
}

/// The packets.
pub fn packets(add: &mut dyn FnMut(&str, &Packet<'_>)) {
    let public = encoded(&Packet::MsgPblInc { origin: NINE, sender: "eve", message: "hi" });
    let error = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let twice = descriptions(&[(9, ADDRESS, 7779), (9, ADDRESS, 7779)]);
    let marked = Descriptions::new(&twice).unwrap();
    let neighbours = [7, STAMP, 10, 2].map(u32::to_be_bytes).concat();
    let links = |bytes| Packet::Links { server: PLACE, incarnation: 1, version: 2, neighbours: bytes };
    add("a routed server asks: it describes itself twice", &Packet::MrgReq { server: NINE, siblings: marked });
    add("a new link: the highest stamp that its sender knows", &Packet::Hello { stamp: STAMP - 1 });
    add("a server without links", &links(Neighbours::default()));
    add("a server with two links, each with its stamp", &links(Neighbours::new(&neighbours).unwrap()));
    add("a public message is passed on", &relay(ID, NINE, 1, &public));
    add("an error is passed on", &relay(NINE, ID, 2, &error));
    add("what is for server 10 has to wait", &Packet::Hold { server: ServerId(10), is_held: true });
    add("what is for server 10 may go on", &Packet::Hold { server: ServerId(10), is_held: false });
}

/// The sessions.
pub fn sessions() -> Vec<Value> {
    let eve = |origin: u32, message| encoded(&Packet::MsgPblInc { origin: ServerId(origin), sender: "eve", message });
    let to = |receiver, message| encoded(&Packet::MsgPrvInc { origin: NINE, sender: "eve", receiver, message });
    let hi = encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" });
    let psst = encoded(&Packet::MsgPrvInc { origin: ID, sender: "ana", receiver: "eve", message: "psst" });
    let unknown = |sender, reason| encoded(&Packet::Error { sender, reason });
    let twice = descriptions(&[(9, ADDRESS, 7779), (9, ADDRESS, 7779)]);
    let both = descriptions(&[(7, ADDRESS, 0), (7, ADDRESS, 0)]);
    let of_nine = [7, STAMP].map(u32::to_be_bytes).concat();
    let of_seven = [9, STAMP].map(u32::to_be_bytes).concat();
    let relayed = |steps: Steps, number, content: &[u8]| steps.send("9", relay(ID, NINE, number, content));
    // Its place, its time of start and its counts are the server's own.
    let takes = |steps: Steps, content: &[u8]| steps.receive_but("9", relay(NINE, ID, 0, content), &[(9, 17)]);
    let itself = Description { server: ID, ..PLACE };
    let links =
        Packet::Links { server: itself, incarnation: 0, version: 0, neighbours: Neighbours::new(&of_seven).unwrap() };
    let answer = Packet::MrgRsp { server: ID, siblings: Descriptions::new(&both).unwrap() };
    let mut steps = Steps::default()
        .guest("ana")
        .send("9", request(&twice))
        .send("9", Packet::Hello { stamp: STAMP - 1 })
        .receive_but("9", answer, &[(13, 21), (25, 33)])
        .receive("9", Packet::Hello { stamp: 0 })
        .receive_but("9", links, &[(5, 21)])
        .send(
            "9",
            Packet::Links { server: PLACE, incarnation: 1, version: 1, neighbours: Neighbours::new(&of_nine).unwrap() },
        );
    steps = relayed(steps, 1, &eve(9, "one")).receive("ana", Packet::decode(&eve(9, "one")).unwrap());
    // Ignored: a number that was there, one that is late, and what is said in the name of others.
    steps = relayed(steps, 1, &eve(9, "again"));
    steps = relayed(steps, 3, &to("ana", "three")).gets_from("ana", 9, "eve", "three");
    steps = relayed(steps, 2, &eve(9, "late"));
    steps = relayed(steps, 4, &eve(10, "of another"));
    steps = steps.send("9", relay(ID, ServerId(10), 1, &eve(10, "of another")));
    steps = steps.send("9", relay(ID, ID, 1, &eve(7, "of yourself")));
    steps = relayed(steps, 5, &to("nobody", "?"));
    steps = takes(steps, &unknown("eve", ErrorReason::UnknownReceiver)).tells("ana", 9, "eve", "psst");
    steps = takes(steps, &psst).send("ana", Packet::MsgPbl { message: "hi" }).hears("ana", "ana", "hi");
    steps = takes(steps, &hi).tells("ana", 10, "eve", "x");
    steps = steps.receive("ana", Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    let decline = |list: &[u8]| {
        let reason = cfp::wire::DeclineReason::ServerLimit;
        Steps::default().send("9", request(list)).receive("9", Packet::MrgDecl { reason }).mark("9", "end")
    };
    [
        ("two routed servers merge, and their clients talk", ROUTED, steps),
        ("a routed server declines one that is not", ROUTED, decline(&twice[..12])),
        ("a dense server declines a routed one", DENSE, decline(&twice)),
    ]
    .map(|(about, needs, steps)| json!({"about": about, "needs": [MERGING, needs], "steps": steps.0}))
    .into()
}

/// Hexadecimal digits, with `??` for the bytes from here up to there.
pub fn hex_but(bytes: &[u8], unknown: &[(usize, usize)]) -> String {
    let mut digits = hex(bytes);
    for &(start, end) in unknown {
        digits.replace_range(2 * start..2 * end, &"??".repeat(end - start));
    }
    digits
}
