//! A link to another server.

use super::Verdict;
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::mesh::Offer;
use crate::wire::{ErrorReason, Nickname, Packet, ServerId};

/// An established link. It carries forwarded packets and merge packets, nothing else (D19).
#[derive(Debug)]
pub struct Sibling {
    server: ServerId,
}

impl Sibling {
    pub(super) fn new(server: ServerId) -> Sibling {
        Sibling { server }
    }

    /// The server at the other end.
    pub fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match *packet {
            Packet::PckFwd { destination, content } if destination == context.core.config.id => {
                self.on_forwarded(content, context)
            }
            Packet::PckFwd { .. } => Verdict::Ignored(Ignored::Misaddressed),
            // An announcement of its present siblings (D23); an MRGRSP on an established link is read the same way.
            Packet::MrgReq { server, siblings } | Packet::MrgRsp { server, siblings } if server == self.server => {
                context.core.mesh.on_update(&Offer::read(server, siblings), context.now);
                Verdict::Handled
            }
            Packet::MrgReq { .. } | Packet::MrgRsp { .. } => Verdict::Ignored(Ignored::Misaddressed),
            // A peer that knows only the RFC says so to an announcement: it means nothing here.
            Packet::MrgDecl { .. } => Verdict::Handled,
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    pub(super) fn on_end(self, context: &mut Context<'_>) {
        context.core.mesh.on_link_lost(self.server, context.key, context.now);
    }

    /// One whole packet for a client of ours, or for all of them. It must come from a client of the other server: one
    /// server does not speak for another's users.
    fn on_forwarded(&self, content: &[u8], context: &mut Context<'_>) -> Verdict {
        let packet = match Packet::decode(content) {
            Ok(packet) => packet,
            Err(malformed) => return Verdict::Ignored(malformed.into()),
        };
        match packet {
            Packet::MsgPblInc { origin, sender, .. } => match self.check_sender(origin, sender) {
                Ok(()) => {
                    context.effects.publish_encoded(content);
                    Verdict::Handled
                }
                Err(reason) => Verdict::Ignored(reason),
            },
            Packet::MsgPrvInc { origin, sender, receiver, .. }
            | Packet::FileChnkInc { origin, sender, receiver, .. } => match self.check_sender(origin, sender) {
                Ok(()) => {
                    let can_wait = matches!(packet, Packet::FileChnkInc { .. });
                    self.deliver(sender, receiver, content, can_wait, context)
                }
                Err(reason) => Verdict::Ignored(reason),
            },
            Packet::Error { sender, .. } => {
                // For a client of ours whose packet failed over there; where it is gone, nobody needs it (D13).
                if let Some(client) = context.core.directory.find(sender) {
                    context.effects.send_encoded(client, content);
                }
                Verdict::Handled
            }
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    fn check_sender(&self, origin: ServerId, sender: &str) -> Result<(), Ignored> {
        if origin != self.server {
            Err(Ignored::Misaddressed)
        } else if Nickname::parse(sender).is_none() {
            Err(Ignored::Nickname)
        } else {
            Ok(())
        }
    }

    /// A file waits a little for a receiver that is behind, and the link with it; a message never does. Whoever stays
    /// behind is delivered to until it is over its limit and closed: nobody else behind this link is to stand still.
    fn deliver(
        &self,
        sender: &str,
        receiver: &str,
        content: &[u8],
        can_wait: bool,
        context: &mut Context<'_>,
    ) -> Verdict {
        match context.core.directory.find(receiver) {
            Some(receiver) if can_wait && context.core.pressure.holds_links(receiver, context.now) => {
                return Verdict::WaitFor(receiver);
            }
            Some(receiver) => context.effects.send_encoded(receiver, content),
            None => {
                let error = Packet::Error { sender, reason: ErrorReason::UnknownReceiver };
                context.effects.forward(context.key, self.server, &error);
            }
        }
        Verdict::Handled
    }
}
