//! The cases.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::console::ask;
use super::stage::{Session, Stage};
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::conform::peer::encoded;
use crate::wire::{AuthResponse, CHUNK_BYTES, Code, ErrorReason, FileChunk, Packet, chunks_of};

/// Every case of a client, in order.
pub const CASES: &[Case<Stage>] = &[
    Case {
        id: "C2.1",
        claim: "a packet that TCP delivers in pieces is put together",
        quote: "the CFP protocol is based on the TCP protocol",
        check: pieces,
    },
    Case {
        id: "C2.2",
        claim: "packets that TCP delivers together are all handled",
        quote: "the CFP protocol is based on the TCP protocol",
        check: together,
    },
    Case {
        id: "C3.1",
        claim: "a guest's first packet is AUTHGST with the nickname",
        quote: "A client authenticating as a guest must send an 'AUTHGST' packet",
        check: guest,
    },
    Case {
        id: "C3.2",
        claim: "a registered user's first packet is AUTHUSR with nickname and password",
        quote: "a client authenticating as a registered user must send a 'AUTHUSR' packet",
        check: user,
    },
    Case {
        id: "C3.3",
        claim: "after AUTHRSP 3, the client sends no messages: it is not logged in",
        quote: "If everything went good, at this point the client and the server has established a connection. The client \
                is now able to send messages",
        check: refused,
    },
    Case {
        id: "C4.1",
        claim: "a public message is sent as MSGPBL",
        quote: "they need to send a 'MSGPBL' packet",
        check: |stage| say(stage, "hello "),
    },
    Case {
        id: "C4.2",
        claim: "the size of a message is that of its UTF-8, in bytes",
        quote: "message must be encoded using the UTF-8 charset, therefore the message size is the size of the encoded \
                message",
        check: |stage| say(stage, "é€😀 "),
    },
    Case {
        id: "C4.3",
        claim: "a MSGPBLINC is shown: the sender's name and the message",
        quote: "Clients receiving this packet will process it to display the name of the sender and the message in their \
                console.",
        check: |stage| stage.with_client(|stage, client| client.deliver(stage, "good morning ")),
    },
    Case {
        id: "C5.1",
        claim: "a private message is sent as MSGPRV: the receiver's server, the receiver, the message",
        quote: "the client must give the destination server in addition of the client identity. To do so, the client must \
                send a 'MSGPRV' packet",
        check: tell,
    },
    Case {
        id: "C5.2",
        claim: "a MSGPRVINC is shown",
        quote: "it will extract the 'MSGPRVINC' and send it to the correct client",
        check: private,
    },
    Case {
        id: "C6.1",
        claim: "a file is sent as FILECHNKs of 1,024 bytes, each with the name and the number of chunks",
        quote: "Files are sent in byte chunks of a maximal size of one kilobyte (1,024 bytes).",
        check: send_file,
    },
    Case {
        id: "C6.2",
        claim: "two transfers have two transfer IDs",
        quote: "every transfer is identified by an integer",
        check: two_transfers,
    },
    Case {
        id: "C6.3",
        claim: "a received file is saved under its name, with its content",
        quote: "Client receiving these packets will rebuild the file using chunks content. The name is used to save the \
                file using its original name (Extension included).",
        check: receive_file,
    },
    Case {
        id: "C8.1",
        claim: "an ERROR does not end the client",
        quote: "If an error occurs on data transfer, an 'ERROR' packet is sent back to the client.",
        check: error,
    },
    Case {
        id: "CD1.1",
        claim: "a message that is not UTF-8 is skipped, and the next one is shown",
        quote: "",
        check: not_utf8,
    },
    Case { id: "CD10.1", claim: "a message of 65,536 bytes is shown to its end", quote: "", check: long_message },
    Case {
        id: "CD11.1",
        claim: "the last chunk of a file is padded with zero bytes to 1,024",
        quote: "",
        check: padding,
    },
    Case {
        id: "CD11.2",
        claim: "a received file whose name has slashes and dots is not saved elsewhere",
        quote: "",
        check: hostile_name,
    },
    Case { id: "CD22.1", claim: "a client that leaves closes its connection", quote: "", check: leave },
];

/// The first packet of a client must be this one.
fn first_packet(session: &mut Session, expected: &Packet<'_>) -> Check {
    session.peer.expect(expected)
}

fn guest(stage: &mut Stage) -> Check {
    let mut session = stage.start(None)?;
    let nickname = session.nickname.clone();
    first_packet(&mut session, &Packet::AuthGst { nickname: &nickname })
}

fn user(stage: &mut Stage) -> Check {
    let mut session = stage.start(Some("open sesame"))?;
    let nickname = session.nickname.clone();
    first_packet(&mut session, &Packet::AuthUsr { nickname: &nickname, password: "open sesame" })
}

fn refused(stage: &mut Stage) -> Check {
    let mut session = stage.start(None)?;
    if !matches!(session.peer.next(), Seen::Bytes(bytes) if bytes.first() == Some(&Code::AuthGst.byte())) {
        return Err(Stop::skipped("the client must log in as a guest; see case C3.1"));
    }
    session.peer.send(&Packet::AuthRsp { response: AuthResponse::InUse })?;
    // It may have left by then.
    let _ = session.console.say(&stage.setup.manner, "nobody must get this");
    let mut peer = session.peer.with_patience(stage.setup.patience.min(Duration::from_secs(2)));
    loop {
        match peer.next() {
            Seen::End | Seen::Nothing => return Ok(()),
            Seen::Bytes(bytes) if bytes.first().is_some_and(|&code| code <= Code::AuthUsr.byte()) => {
                peer.send(&Packet::AuthRsp { response: AuthResponse::InUse })?;
            }
            seen => return Err(peer.stop(Seen::Words("no message, but another login or the end".into()), seen)),
        }
    }
}

fn say(stage: &mut Stage, word: &str) -> Check {
    stage.with_client(|stage, client| {
        let text = stage.text(word);
        client.console.say(&stage.setup.manner, &text)?;
        client.expect(Some(&Packet::MsgPbl { message: &text }))
    })
}

fn pieces(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let (sender, message) = (stage.text("bob"), stage.text("in pieces "));
        let packet = Packet::MsgPblInc { origin: stage.setup.id, sender: &sender, message: &message };
        for byte in encoded(&packet) {
            client.peer.send_bytes(&[byte])?;
            // So that the kernel does not put them together.
            std::thread::sleep(Duration::from_millis(1));
        }
        let shown = client.console.shows(&[&sender, &message], stage.setup.patience);
        shown.map_err(|stop| stop.hint("it was sent byte by byte"))
    })
}

fn together(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let messages = [stage.text("one "), stage.text("two "), stage.text("three ")];
        let (id, mut bytes) = (stage.setup.id, Vec::new());
        messages.iter().for_each(|message| Packet::MsgPblInc { origin: id, sender: "bob", message }.encode(&mut bytes));
        client.peer.send_bytes(&bytes)?;
        let [one, two, three] = &messages;
        let shown = client.console.shows(&[one, two, three], stage.setup.patience);
        shown.map_err(|stop| stop.hint("they were sent in one write"))
    })
}

fn tell(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let (text, server) = (stage.text("psst "), crate::wire::ServerId(stage.setup.id.0.wrapping_add(1)));
        client.console.tell(&stage.setup.manner, "bob", server, &text)?;
        client.expect(Some(&Packet::MsgPrv { destination: server, receiver: "bob", message: &text }))
    })
}

fn private(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let (sender, message, receiver) = (stage.text("eve"), stage.text("psst "), client.nickname.clone());
        let packet =
            Packet::MsgPrvInc { origin: stage.setup.id, sender: &sender, receiver: &receiver, message: &message };
        client.peer.send(&packet)?;
        client.console.shows(&[&sender, &message], stage.setup.patience)
    })
}

/// Removes a file at the end.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u8).wrapping_mul(7) | 1).collect()
}

/// Lets the client send a file of this many bytes; returns its chunks' packets, and its name.
fn sent_file(stage: &mut Stage, client: &mut Session, size: usize) -> Result<(Vec<Vec<u8>>, String), Stop> {
    let name = format!("{}-{}.bin", stage.text("conform"), std::process::id());
    let file = Made(std::env::temp_dir().join(&name));
    let cannot = |error: std::io::Error| Stop::skipped(format!("cannot write {}: {error}", file.0.display()));
    std::fs::write(&file.0, content(size)).map_err(cannot)?;
    client.console.send(&stage.setup.manner, "bob", stage.setup.id, &file.0.display().to_string())?;
    let wanted = chunks_of(size as u64).unwrap_or(1) as usize;
    let mut chunks = Vec::new();
    while chunks.len() < wanted {
        match client.next() {
            Seen::Bytes(bytes) if bytes.first() == Some(&Code::FileChnk.byte()) => chunks.push(bytes),
            // It may tell the receiver of the file.
            Seen::Bytes(bytes) if bytes.first() == Some(&Code::MsgPrv.byte()) => {}
            seen => return Err(client.peer.stop(Seen::Words(format!("{wanted} FILECHNK")), seen)),
        }
    }
    Ok((chunks, name))
}

fn send_file(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let size = 2 * CHUNK_BYTES + 100;
        let (packets, name) = sent_file(stage, client, size)?;
        let content = content(size);
        let transfer_id = match packets.first().map(|bytes| Packet::decode(bytes)) {
            Some(Ok(Packet::FileChnk { chunk, .. })) => chunk.transfer_id,
            _ => 0,
        };
        for (bytes, part) in packets.iter().zip(content.chunks(CHUNK_BYTES)) {
            let mut padded = [0; CHUNK_BYTES];
            for (place, byte) in padded.iter_mut().zip(part) {
                *place = *byte;
            }
            let chunk = FileChunk { transfer_id, file_name: &name, chunks: 3, content: &padded };
            let expected = encoded(&Packet::FileChnk { destination: stage.setup.id, receiver: "bob", chunk });
            // What the last chunk is filled with is a decision (D11).
            let compared = expected.len() - (CHUNK_BYTES - part.len());
            if bytes.get(..compared) != expected.get(..compared) || bytes.len() != expected.len() {
                return Err(Stop::deviation(Seen::Bytes(expected), Seen::Bytes(bytes.clone())));
            }
        }
        Ok(())
    })
}

fn two_transfers(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let (packets, _) = sent_file(stage, client, 10)?;
            for bytes in &packets {
                if let Ok(Packet::FileChnk { chunk, .. }) = Packet::decode(bytes) {
                    ids.push(chunk.transfer_id);
                }
            }
        }
        match ids.as_slice() {
            [first, second] if first != second => Ok(()),
            _ => Err(Stop::words("two transfers with different IDs", format!("the IDs {ids:?}"))),
        }
    })
}

fn padding(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let (packets, _) = sent_file(stage, client, 100)?;
        let last = packets.last().cloned().unwrap_or_default();
        let padding = last.get(last.len().saturating_sub(CHUNK_BYTES - 100)..).unwrap_or_default();
        match padding.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(Stop::deviation(Seen::Words("924 zero bytes at its end".into()), Seen::Bytes(last))),
        }
    })
}

/// Sends the client a file of one chunk.
fn give_file(stage: &Stage, client: &mut Session, name: &str, content: &[u8; CHUNK_BYTES]) -> Check {
    let receiver = client.nickname.clone();
    let chunk = FileChunk { transfer_id: 77, file_name: name, chunks: 1, content };
    client.peer.send(&Packet::FileChnkInc { origin: stage.setup.id, sender: "bob", receiver: &receiver, chunk })
}

/// Waits until the folder, or one in it, has a file of this name that begins so.
fn has_file(folder: &Path, name: &str, content: &[u8], patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        if std::fs::read(folder.join(name)).is_ok_and(|file| file.starts_with(content)) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn receive_file(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let name = format!("{}-{}.txt", stage.text("conform"), std::process::id());
        let mut content = [b' '; CHUNK_BYTES];
        content.iter_mut().zip(b"the content of a file").for_each(|(place, byte)| *place = *byte);
        give_file(stage, client, &name, &content)?;
        let expected = format!("a file {name} that begins with: the content of a file");
        let is_there = match (&stage.setup.download, &stage.setup.manner) {
            (Some(folder), _) => has_file(folder, &name, b"the content of a file", stage.patience()),
            (None, super::Manner::Person) => ask(&format!("Has your client saved {expected}?"))?,
            (None, super::Manner::Program { .. }) => {
                return Err(Stop::skipped("needs --download DIR: the folder in which the client puts files"));
            }
        };
        if is_there { Ok(()) } else { Err(Stop::words(expected, "no such file")) }
    })
}

fn hostile_name(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let Some(folder) = stage.setup.download.clone() else {
            return Err(Stop::skipped("needs --download DIR: the folder in which the client puts files"));
        };
        let name = format!("../{}-{}.txt", stage.text("conform-elsewhere"), std::process::id());
        give_file(stage, client, &name, &[b'x'; CHUNK_BYTES])?;
        // Behind it, so that it has been handled.
        client.deliver(stage, "after a file ")?;
        let elsewhere = Made(folder.join(&name));
        match elsewhere.0.exists() {
            false => Ok(()),
            true => Err(Stop::words("no file outside the folder", format!("the file {}", elsewhere.0.display()))),
        }
    })
}

fn error(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let sender = client.nickname.clone();
        for reason in [ErrorReason::UnknownServer, ErrorReason::UnknownReceiver] {
            client.peer.send(&Packet::Error { sender: &sender, reason })?;
        }
        client.deliver(stage, "after an error ")
    })
}

fn not_utf8(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let id = stage.setup.id.0.to_be_bytes();
        client.peer.send_bytes(&[&[0x30], &id[..], b"\0\0\0\x03bob\0\0\0\x02\xC3\x28"].concat())?;
        client.deliver(stage, "after bad bytes ")
    })
}

fn long_message(stage: &mut Stage) -> Check {
    stage.with_client(|stage, client| {
        let end = stage.text(" the end ");
        let message = format!("{}{end}", "x".repeat(65_536 - end.len()));
        let packet = Packet::MsgPblInc { origin: stage.setup.id, sender: "bob", message: &message };
        client.peer.send(&packet)?;
        client.console.shows(&[&end], stage.setup.patience)
    })
}

fn leave(stage: &mut Stage) -> Check {
    let mut session = stage.logged_in()?;
    session.console.leave(&stage.setup.manner)?;
    session.expect(None)
}
