//! A logged-in client.

use std::rc::Rc;

use super::Verdict;
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::wire::{ErrorReason, Packet, ServerId};

/// A client, guest or registered.
#[derive(Debug)]
pub struct Client {
    nickname: Rc<str>,
    is_registered: bool,
}

impl Client {
    pub(super) fn new(nickname: Rc<str>, is_registered: bool) -> Client {
        Client { nickname, is_registered }
    }

    /// Its nickname.
    pub fn nickname(&self) -> &str {
        &self.nickname
    }

    /// Whether it logged in with a password.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        let (origin, sender) = (context.core.config.id, &*self.nickname);
        match *packet {
            Packet::MsgPbl { message } => {
                context.effects.publish(&Packet::MsgPblInc { origin, sender, message });
                Verdict::Handled
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

    pub(super) fn on_end(self, context: &mut Context<'_>) {
        context.core.directory.leave(&self.nickname);
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
            Some(receiver) if context.core.pressure.is_past_high_water(receiver) => Verdict::WaitFor(receiver),
            Some(receiver) => {
                context.effects.send(receiver, packet);
                Verdict::Handled
            }
            None => self.fail(ErrorReason::UnknownReceiver, context),
        }
    }

    fn forward(&self, destination: ServerId, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        let Some(link) = context.core.mesh.link_to(destination) else {
            return self.fail(ErrorReason::UnknownServer, context);
        };
        if context.core.pressure.is_past_high_water(link) {
            return Verdict::WaitFor(link);
        }
        context.effects.forward(link, destination, packet);
        Verdict::Handled
    }

    fn fail(&self, reason: ErrorReason, context: &mut Context<'_>) -> Verdict {
        context.effects.send(context.key, &Packet::Error { sender: &self.nickname, reason });
        Verdict::Handled
    }
}
