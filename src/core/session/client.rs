//! A logged-in client.

use std::rc::Rc;

use super::{Pause, PauseReason, Verdict};
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::directory::Directory;
use crate::core::state::key::Key;
use crate::core::state::pressure::Admission;
use crate::limits;
use crate::wire::{ErrorReason, Packet, ServerId};

/// The most bytes of a delivered packet besides its text or its content: codes, server IDs, counts, two nicknames, a
/// file name.
const HEADS_MAX_BYTES: usize =
    5 + 1 + 4 + 2 * (4 + limits::NICKNAME_MAX_BYTES) + 4 + (4 + limits::FILE_NAME_MAX_BYTES) + 4;

/// Bytes of a MSGPBLINC besides nickname and text.
const PUBLIC_HEAD_BYTES: usize = 1 + 4 + 4 + 4;

/// A client, guest or registered.
#[derive(Debug)]
pub struct Client {
    nickname: Rc<str>,
    is_registered: bool,
    /// The nickname is not its own any more: it has closed, and not all that it has sent is handled yet.
    has_left: bool,
}

impl Client {
    pub(super) fn new(nickname: Rc<str>, is_registered: bool) -> Client {
        Client { nickname, is_registered, has_left: false }
    }

    /// Its nickname.
    pub fn nickname(&self) -> &str {
        &self.nickname
    }

    /// Whether it logged in with a password.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// Whether another client may take its nickname, although the rest of its input is still handled.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        let (origin, sender) = (context.core.config.id, &*self.nickname);
        match *packet {
            Packet::MsgPbl { message } => {
                let (bytes, clients) = (PUBLIC_HEAD_BYTES + sender.len() + message.len(), context.core.directory.len());
                match context.core.pressure.admit_public(context.key, bytes, clients, context.now) {
                    Admission::WaitUntil(until) => {
                        Verdict::Pause(Pause { reason: PauseReason::Public, receiver: None, until })
                    }
                    Admission::Pass | Admission::WaitForWrite | Admission::Refuse => {
                        context.effects.publish(&Packet::MsgPblInc { origin, sender, message });
                        Verdict::Handled
                    }
                }
            }
            Packet::MsgPrv { destination, receiver, message } => {
                let packet = Packet::MsgPrvInc { origin, sender, receiver, message };
                self.deliver(destination, receiver, &packet, context)
            }
            Packet::FileChnk { destination, receiver, chunk } => {
                let packet = Packet::FileChnkInc { origin, sender, receiver, chunk };
                self.deliver(destination, receiver, &packet, context)
            }
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    pub(super) fn on_end(mut self, context: &mut Context<'_>) {
        self.free_nickname(&mut context.core.directory);
        context.core.unanswered.forget_client(context.key);
    }

    pub(super) fn free_nickname(&mut self, directory: &mut Directory) {
        if !std::mem::replace(&mut self.has_left, true) {
            directory.leave(&self.nickname);
        }
    }

    /// Sends `packet` to a client of any server, or an ERROR back (D13).
    fn deliver(
        &self,
        destination: ServerId,
        receiver: &str,
        packet: &Packet<'_>,
        context: &mut Context<'_>,
    ) -> Verdict {
        if destination != context.core.config.id {
            return self.forward(destination, packet, context);
        }
        match context.core.directory.find(receiver) {
            Some(receiver) => match admit(receiver, packet, context) {
                Ok(()) => {
                    context.effects.send(receiver, packet);
                    Verdict::Handled
                }
                Err(Some(pause)) => Verdict::Pause(pause),
                Err(None) => self.refuse(ErrorReason::UnknownReceiver, context),
            },
            None => self.fail(ErrorReason::UnknownReceiver, context),
        }
    }

    fn forward(&self, destination: ServerId, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        let Some(link) = context.core.mesh.next_hop(destination, context.now) else {
            return self.fail(ErrorReason::UnknownServer, context);
        };
        // A neighbour in a routed network may hold back what goes to that server (D35).
        let is_free = admit(Key::of_server(destination), packet, context);
        match is_free.and_then(|()| admit(link, packet, context)) {
            Ok(()) => {
                context.core.unanswered.add(context.key, link, context.now);
                let envelope = context.core.mesh.envelope(destination, context.effects);
                context.effects.forward(link, &envelope, packet);
                Verdict::Handled
            }
            Err(Some(pause)) => Verdict::Pause(pause),
            Err(None) => self.refuse(ErrorReason::UnknownServer, context),
        }
    }

    /// The queue on the way to the receiver is full (D49).
    fn refuse(&self, reason: ErrorReason, context: &mut Context<'_>) -> Verdict {
        context.core.counters.refused += 1;
        self.fail(reason, context)
    }

    fn fail(&self, reason: ErrorReason, context: &mut Context<'_>) -> Verdict {
        context.effects.send(context.key, &Packet::Error { sender: &self.nickname, reason });
        Verdict::Handled
    }
}

/// Whether a private message or a file chunk may go to a client or a link now; else the pause before it, or none if it
/// never may.
fn admit(receiver: Key, packet: &Packet<'_>, context: &mut Context<'_>) -> Result<(), Option<Pause>> {
    let (pressure, now) = (&mut context.core.pressure, context.now);
    let (reason, admission) = match packet {
        Packet::FileChnkInc { .. } => {
            let wait_ms = (!context.has_waited).then_some(limits::CHUNK_PAUSE_MS);
            let bytes = HEADS_MAX_BYTES + limits::CHUNK_BYTES;
            (PauseReason::Chunk, pressure.admit_chunk(receiver, bytes, wait_ms, now))
        }
        Packet::MsgPrvInc { message, .. } => {
            let bytes = HEADS_MAX_BYTES + message.len();
            (PauseReason::Private, pressure.admit_private(context.key, receiver, bytes, true, now))
        }
        _ => return Ok(()),
    };
    match admission {
        Admission::Pass => Ok(()),
        Admission::WaitForWrite => Err(Some(Pause::for_write(receiver, now))),
        Admission::WaitUntil(until) => Err(Some(Pause { reason, receiver: Some(receiver), until })),
        Admission::Refuse => Err(None),
    }
}
