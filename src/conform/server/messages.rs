//! Sections 4 and 5, and 9.

use super::bench::Bench;
use crate::conform::case::{Case, Check};
use crate::conform::peer::encoded;
use crate::wire::{Packet, ServerId};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "4.1",
        claim: "a MSGPBL reaches another client as a MSGPBLINC: the server's ID, the sender, the message",
        quote: "it will send a 'MSGPBLINC' to all its connected clients, consisting of the sender's identity followed by \
                the message. The packet also contains the origin server id",
        check: public,
    },
    Case {
        id: "4.2",
        claim: "a MSGPBL reaches every client of the server, each once",
        quote: "it will send a 'MSGPBLINC' to all its connected clients",
        check: public_to_all,
    },
    Case {
        id: "4.3",
        claim: "a MSGPBL is sent on to a merged server in a PCKFWD with that server's ID",
        quote: "the server will send a 'PCKFWD' to every server it is connected to over the Chat Fusion network. […] \
                prefixed with the 'PCKFWD' code and the destination server ID",
        check: public_to_link,
    },
    Case {
        id: "4.4",
        claim: "a MSGPBLINC that comes from a merged server in a PCKFWD reaches the clients as it is",
        quote: "the original packet of size n, prefixed with the 'PCKFWD' code and the destination server ID",
        check: public_from_link,
    },
    Case {
        id: "4.5",
        claim: "a MSGPBL reaches the clients of the other given servers, once, and comes back from them",
        quote: "If a client wants to send a message to everyone over the Chat Fusion network, they need to send a 'MSGPBL'",
        check: public_between_servers,
    },
    Case {
        id: "5.1",
        claim: "a MSGPRV to a client of the same server arrives as a MSGPRVINC: origin, sender, receiver, message",
        quote: "it will build a 'MSGPRVINC' packet consisting of the origin server ID, the sender nickname, the receiver \
                nickname and the message",
        check: private,
    },
    Case {
        id: "5.2",
        claim: "a MSGPRV reaches nobody but its receiver",
        quote: "A client can also directly send a message to another client",
        check: private_to_one,
    },
    Case {
        id: "5.3",
        claim: "a MSGPRV to a client of a merged server is sent there in a PCKFWD",
        quote: "Once the server has built this packet, it sends it to the correct server using a 'PCKFWD' packet",
        check: private_to_link,
    },
    Case {
        id: "5.4",
        claim: "a MSGPRVINC that comes in a PCKFWD reaches its receiver, and nobody else",
        quote: "When the destination server has received the 'PCKFWD' packet, it will extract the 'MSGPRVINC' and send it \
                to the correct client.",
        check: private_from_link,
    },
    Case {
        id: "5.5",
        claim: "a MSGPRV reaches a client of the other given server, and an answer comes back",
        quote: "it will process it to determine the destination server",
        check: private_between_servers,
    },
    Case {
        id: "9.1",
        claim: "a client cannot send packets that only servers send",
        quote: "Every packet marked as 'outgoing' is traveling FROM a client TO a server, whereas an 'incoming' packet is \
                traveling FROM a server TO a client.",
        check: direction,
    },
];

fn public(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let message = bench.text("hi ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })
}

fn public_to_all(bench: &mut Bench) -> Check {
    let mut ana = bench.guest("ana")?;
    let mut others = [bench.guest("bob")?, bench.guest("eve")?, bench.guest("zoe")?];
    let messages = [bench.text("one "), bench.text("two ")];
    for message in &messages {
        ana.send(&Packet::MsgPbl { message })?;
    }
    for other in &mut others {
        for message in &messages {
            other.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message })?;
        }
    }
    others.iter_mut().take(1).try_for_each(|other| bench.settle(other))
}

fn public_to_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let message = bench.text("hi ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    link.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })
}

fn public_from_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana, mut bob) = (bench.link()?, bench.guest("ana")?, bench.guest("bob")?);
    let (sender, message) = (bench.text("eve"), bench.text("hi "));
    let packet = Packet::MsgPblInc { origin: link.id, sender: &sender, message: &message };
    link.forward(&packet)?;
    ana.expect(&packet)?;
    bob.expect(&packet)
}

fn public_between_servers(bench: &mut Bench) -> Check {
    bench.other()?;
    let mut ana = bench.guest("ana")?;
    let mut far = Vec::new();
    for other in bench.setup.others.clone() {
        let bob = bench.guest_of(&other, "bob")?;
        far.push((other, bob));
    }
    let message = bench.text("to everyone ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    let merged = "are the given servers merged with each other?";
    for (_, bob) in &mut far {
        let packet = Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message };
        bob.expect(&packet).map_err(|stop| stop.hint(merged))?;
    }
    // Nothing comes back from there.
    bench.settle(&mut ana)?;
    for (other, mut bob) in far {
        let message = bench.text("back ");
        bob.send(&Packet::MsgPbl { message: &message })?;
        ana.expect(&Packet::MsgPblInc { origin: other.id, sender: bob.nickname(), message: &message })?;
    }
    Ok(())
}

fn private(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let message = bench.text("psst ");
    ana.send(&Packet::MsgPrv { destination: bench.id(), receiver: bob.nickname(), message: &message })?;
    let receiver = bob.nickname().to_owned();
    let (origin, sender) = (bench.id(), ana.nickname());
    bob.expect(&Packet::MsgPrvInc { origin, sender, receiver: &receiver, message: &message })
}

fn private_to_one(bench: &mut Bench) -> Check {
    let (mut ana, bob, mut eve) = (bench.guest("ana")?, bench.guest("bob")?, bench.guest("eve")?);
    let message = bench.text("psst ");
    ana.send(&Packet::MsgPrv { destination: bench.id(), receiver: bob.nickname(), message: &message })?;
    bench.settle(&mut ana)?;
    bench.settle(&mut eve)
}

fn private_to_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let (receiver, message) = (bench.text("eve"), bench.text("psst "));
    ana.send(&Packet::MsgPrv { destination: link.id, receiver: &receiver, message: &message })?;
    let (origin, sender) = (bench.id(), ana.nickname());
    link.expect(&Packet::MsgPrvInc { origin, sender, receiver: &receiver, message: &message })
}

fn private_from_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana, mut bob) = (bench.link()?, bench.guest("ana")?, bench.guest("bob")?);
    let message = bench.text("psst ");
    let receiver = bob.nickname().to_owned();
    let packet = Packet::MsgPrvInc { origin: link.id, sender: "eve", receiver: &receiver, message: &message };
    link.forward(&packet)?;
    bob.expect(&packet)?;
    bench.settle(&mut ana)
}

fn private_between_servers(bench: &mut Bench) -> Check {
    let other = bench.other()?;
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest_of(&other, "bob")?);
    let message = bench.text("psst ");
    let names = (ana.nickname().to_owned(), bob.nickname().to_owned());
    ana.send(&Packet::MsgPrv { destination: other.id, receiver: &names.1, message: &message })?;
    bob.expect(&Packet::MsgPrvInc { origin: bench.id(), sender: &names.0, receiver: &names.1, message: &message })?;
    bob.send(&Packet::MsgPrv { destination: bench.id(), receiver: &names.0, message: &message })?;
    ana.expect(&Packet::MsgPrvInc { origin: other.id, sender: &names.1, receiver: &names.0, message: &message })
}

fn direction(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (message, later) = (bench.text("forged "), bench.text("good "));
    let receiver = bob.nickname().to_owned();
    let forged = Packet::MsgPblInc { origin: ServerId(1), sender: "eve", message: &message };
    let private = Packet::MsgPrvInc { origin: ServerId(1), sender: "eve", receiver: &receiver, message: &message };
    let forward = Packet::PckFwd { destination: bench.id(), content: &encoded(&forged) };
    // A server that closes her connection keeps the sentence, too.
    [forged, private, forward].iter().for_each(|packet| ana.send_if_open(&encoded(packet)));
    let mut eve = match bench.settle(&mut ana) {
        Ok(()) => ana,
        Err(_) => bench.guest("eve")?,
    };
    eve.send(&Packet::MsgPrv { destination: bench.id(), receiver: &receiver, message: &later })?;
    let (origin, sender) = (bench.id(), eve.nickname().to_owned());
    bob.expect(&Packet::MsgPrvInc { origin, sender: &sender, receiver: &receiver, message: &later })
}
