//! A link to another server.

use super::{Pause, PauseReason, Verdict, relay};
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::mesh::Offer;
use crate::core::state::pressure::Admission;
use crate::core::time::Millis;
use crate::limits::{LINK_PAUSE_MS, LINK_RELIEF_BYTES};
use crate::wire::{Envelope, ErrorReason, Nickname, Packet, ServerId, forward_header};

/// An established link. It carries forwarded packets and merge packets, nothing else (D19).
#[derive(Debug)]
pub struct Sibling {
    server: ServerId,
    /// It is paused again only after this much of its input is handled, because every user behind it has waited.
    owed_bytes: u64,
    /// What is known of whether it lives.
    pub liveness: Liveness,
}

/// What shows whether the server at the other end of a link lives (D57).
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// When something was last heard of it.
    pub heard_at: Millis,
    /// When it was last asked.
    pub asked_at: Option<Millis>,
    /// It has answered such a question before, so its silence counts.
    pub has_answered: bool,
}

impl Sibling {
    pub(super) fn new(server: ServerId, now: Millis) -> Box<Sibling> {
        let liveness = Liveness { heard_at: now, asked_at: None, has_answered: false };
        Box::new(Sibling { server, owed_bytes: 0, liveness })
    }

    /// The server at the other end.
    pub fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match *packet {
            // A peer that knows only the RFC says so to an announcement: it means nothing here.
            Packet::MrgDecl { .. } => Verdict::Handled,
            _ if context.core.mesh.routed().is_some() => relay::on_packet(self, packet, context),
            Packet::PckFwd { destination, content } if destination == context.core.config.id => {
                let verdict = match Packet::decode(content) {
                    Ok(packet) => self.on_forwarded(self.server, &packet, content, context),
                    Err(malformed) => Verdict::Ignored(malformed.into()),
                };
                if !matches!(verdict, Verdict::Pause(_)) {
                    self.on_handled(forward_header(destination).len() + content.len());
                }
                verdict
            }
            Packet::PckFwd { .. } => Verdict::Ignored(Ignored::Misaddressed),
            // An announcement of its present siblings (D23). An MRGRSP on an established link is read as one.
            Packet::MrgReq { server, siblings } | Packet::MrgRsp { server, siblings } if server == self.server => {
                context.core.mesh.on_update(&Offer::read(server, siblings), context.now);
                Verdict::Handled
            }
            Packet::MrgReq { .. } | Packet::MrgRsp { .. } => Verdict::Ignored(Ignored::Misaddressed),
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// So much of its input was handled.
    pub(super) fn on_handled(&mut self, bytes: usize) {
        self.owed_bytes = self.owed_bytes.saturating_sub(bytes as u64);
    }

    /// It was not read from for so long.
    pub(super) fn on_paused(&mut self, ms: u64) {
        self.owed_bytes += ms * LINK_RELIEF_BYTES / LINK_PAUSE_MS;
    }

    pub(super) fn on_end(self, context: &mut Context<'_>) {
        context.core.unanswered.forget_link(context.key);
        context.core.mesh.on_link_lost(self.server, context.key, context.now);
        if let Some(routed) = context.core.mesh.routed_mut() {
            routed.on_link_lost(self.server, context.key, context.effects);
        }
    }

    /// One whole packet, whose bytes are `content`, for a client of ours, or for all of them. It must come from a client of
    /// the server `from`, which is the other end, or in a routed network behind it: no other server speaks for another's
    /// users.
    pub(super) fn on_forwarded(
        &self,
        from: ServerId,
        packet: &Packet<'_>,
        content: &[u8],
        context: &mut Context<'_>,
    ) -> Verdict {
        match *packet {
            Packet::MsgPblInc { .. } => {
                let verdict = self.admit_public(from, packet, content, context);
                if matches!(verdict, Verdict::Handled) {
                    context.effects.publish_encoded(content);
                }
                verdict
            }
            Packet::MsgPrvInc { origin, sender, receiver, .. }
            | Packet::FileChnkInc { origin, sender, receiver, .. } => match check_sender(from, origin, sender) {
                Ok(()) => {
                    let is_chunk = matches!(packet, Packet::FileChnkInc { .. });
                    self.deliver((from, sender), receiver, content, is_chunk, context)
                }
                Err(reason) => Verdict::Ignored(reason),
            },
            // For a client of ours whose packet failed over there. If the client is gone, the ERROR is dropped (D13).
            Packet::Error { sender, .. } => match context.core.directory.find(sender) {
                // It failed nowhere, as far as that server can know.
                Some(client) if !context.core.unanswered.take(client, context.key, context.now) => {
                    Verdict::Ignored(Ignored::Misaddressed)
                }
                Some(client) => {
                    context.effects.send_encoded(client, content);
                    Verdict::Handled
                }
                None => Verdict::Handled,
            },
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// Whether a public message from the server `from` goes out now. If `Handled`, the caller publishes it.
    pub(super) fn admit_public(
        &self,
        from: ServerId,
        packet: &Packet<'_>,
        content: &[u8],
        context: &mut Context<'_>,
    ) -> Verdict {
        let Packet::MsgPblInc { origin, sender, .. } = *packet else { return Verdict::Ignored(Ignored::State) };
        if let Err(reason) = check_sender(from, origin, sender) {
            return Verdict::Ignored(reason);
        }
        match context.core.pressure.admit_public_of_link(content.len(), self.owed_bytes == 0, context.now) {
            Admission::WaitUntil(until) => {
                let until = until.min(context.now + LINK_PAUSE_MS);
                Verdict::Pause(Pause { reason: PauseReason::Public, receiver: None, until })
            }
            Admission::Pass | Admission::WaitForWrite | Admission::Refuse => Verdict::Handled,
        }
    }

    /// A packet for a receiver that is behind pauses the link, as far as other users behind the link are not kept
    /// waiting for too long (D49). Else the packet is queued, or refused if the queue is full.
    fn deliver(
        &self,
        sender: (ServerId, &str),
        receiver: &str,
        content: &[u8],
        is_chunk: bool,
        context: &mut Context<'_>,
    ) -> Verdict {
        let Some(receiver) = context.core.directory.find(receiver) else {
            return self.fail(sender, context);
        };
        let (pressure, now, may_wait) = (&mut context.core.pressure, context.now, self.owed_bytes == 0);
        let (reason, admission) = if is_chunk {
            (PauseReason::Chunk, pressure.admit_chunk(receiver, content.len(), may_wait.then_some(LINK_PAUSE_MS), now))
        } else {
            (PauseReason::Private, pressure.admit_private(context.key, receiver, content.len(), may_wait, now))
        };
        match admission {
            Admission::Pass => {
                context.effects.send_encoded(receiver, content);
                Verdict::Handled
            }
            Admission::WaitForWrite => Verdict::Pause(Pause::for_write(receiver, now)),
            Admission::WaitUntil(until) => {
                let until = until.min(now + LINK_PAUSE_MS);
                Verdict::Pause(Pause { reason, receiver: Some(receiver), until })
            }
            Admission::Refuse => {
                if is_chunk && pressure.is_dead(receiver, now) {
                    context.effects.close(receiver, CloseReason::SlowReader, CloseMode::Now);
                }
                context.core.counters.refused += 1;
                self.fail(sender, context)
            }
        }
    }

    /// The receiver is not here, or its queue is full.
    fn fail(&self, (from, sender): (ServerId, &str), context: &mut Context<'_>) -> Verdict {
        let reason = ErrorReason::UnknownReceiver;
        if context.core.mesh.routed().is_some() {
            relay::answer(from, sender, reason, context);
        } else {
            context.effects.forward(context.key, &Envelope::Forward(from), &Packet::Error { sender, reason });
        }
        Verdict::Handled
    }
}

fn check_sender(from: ServerId, origin: ServerId, sender: &str) -> Result<(), Ignored> {
    if origin != from {
        Err(Ignored::Misaddressed)
    } else if Nickname::parse(sender).is_none() {
        Err(Ignored::Nickname)
    } else {
        Ok(())
    }
}
