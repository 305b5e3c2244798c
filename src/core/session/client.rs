//! A logged-in client.

use std::rc::Rc;

use super::Verdict;
use crate::core::state::Turn;
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

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Verdict {
        let (origin, sender) = (turn.core.config.id, &*self.nickname);
        match *packet {
            Packet::MsgPbl { message } => {
                turn.effects.publish(&Packet::MsgPblInc { origin, sender, message });
                Verdict::Handled
            }
            Packet::MsgPrv { destination, receiver, message } => {
                let packet = Packet::MsgPrvInc { origin, sender, receiver, message };
                self.deliver(destination, receiver, &packet, turn)
            }
            Packet::FileChnk { destination, receiver, chunk } => {
                let packet = Packet::FileChnkInc { origin, sender, receiver, chunk };
                self.deliver(destination, receiver, &packet, turn)
            }
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    pub(super) fn on_end(self, turn: &mut Turn<'_>) {
        turn.core.directory.leave(&self.nickname);
    }

    /// Sends `packet` to a client of any server, or an ERROR back (D13).
    fn deliver(&self, destination: ServerId, receiver: &str, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Verdict {
        if destination != turn.core.config.id {
            return self.forward(destination, packet, turn);
        }
        match turn.core.directory.find(receiver) {
            Some(receiver) if turn.core.pressure.is_past_high_water(receiver) => Verdict::WaitFor(receiver),
            Some(receiver) => {
                turn.effects.send(receiver, packet);
                Verdict::Handled
            }
            None => self.fail(ErrorReason::UnknownReceiver, turn),
        }
    }

    fn forward(&self, destination: ServerId, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Verdict {
        let Some(link) = turn.core.mesh.link_to(destination) else {
            return self.fail(ErrorReason::UnknownServer, turn);
        };
        if turn.core.pressure.is_past_high_water(link) {
            return Verdict::WaitFor(link);
        }
        turn.effects.forward(link, destination, packet);
        Verdict::Handled
    }

    fn fail(&self, reason: ErrorReason, turn: &mut Turn<'_>) -> Verdict {
        turn.effects.send(turn.key, &Packet::Error { sender: &self.nickname, reason });
        Verdict::Handled
    }
}
