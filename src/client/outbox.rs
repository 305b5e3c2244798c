//! What waits to be sent: messages first, then files in turns.
//!
//! A message may overtake chunks that were sent before it (D12), and does so here. The files themselves stay on the
//! disk: an upload packs its next few chunks when it is its turn.

use std::collections::VecDeque;

use super::limits::{CHAT_QUEUE_BYTES, UPLOADS_MAX};
use super::recipient::Recipient;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A public message.
    Public(String),
    /// For one.
    Private(Recipient, String),
    /// For ourselves, with a number: it comes back when all before it was handled.
    Fence(u64, Recipient),
    /// For nobody: the server answers it, if it is there. Under this nickname, to a server with this ID.
    Probe(String, u32),
}

impl Message {
    fn bytes(&self) -> usize {
        match self {
            Message::Public(text) => text.len(),
            Message::Private(to, text) => to.nickname.len() + text.len(),
            Message::Fence(..) | Message::Probe(..) => 0,
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Work<U> {
    /// Send these, in order.
    Messages(Vec<Message>),
    /// Send a turn of this file, then give it back.
    Upload(U),
    /// Everything was sent and nothing more comes: close the sending side.
    Finish,
    /// Nothing for now.
    Wait,
    /// The connection is gone.
    Stop,
}

/// What waits on one connection. `U` is a file being sent.
#[derive(Debug)]
pub struct Outbox<U> {
    messages: VecDeque<Message>,
    messages_bytes: usize,
    /// With their transfer IDs; the next turn is that of the first.
    uploads: VecDeque<(u32, U)>,
    /// Files that are read through for their SHA-256, or are taken out for a turn.
    reserved: usize,
    /// The transfer whose turn it is, unless it was cancelled meanwhile.
    in_turn: Option<u32>,
    is_finishing: bool,
    is_stopped: bool,
}

impl<U> Default for Outbox<U> {
    fn default() -> Self {
        Outbox {
            messages: VecDeque::new(),
            messages_bytes: 0,
            uploads: VecDeque::new(),
            reserved: 0,
            in_turn: None,
            is_finishing: false,
            is_stopped: false,
        }
    }
}

impl<U> Outbox<U> {
    /// Whether there is room for one more message.
    pub fn has_room(&self) -> bool {
        self.messages_bytes < CHAT_QUEUE_BYTES
    }

    /// Whether one more file may be sent.
    pub fn has_upload_room(&self) -> bool {
        self.uploads_len() < UPLOADS_MAX
    }

    /// Files under way.
    pub fn uploads_len(&self) -> usize {
        self.uploads.len() + self.reserved
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.uploads_len() == 0
    }

    /// Whether the connection is gone.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.messages_bytes += message.bytes();
        self.messages.push_back(message);
    }

    /// Takes a place for a file that is being prepared.
    pub fn reserve_upload(&mut self) {
        self.reserved += 1;
    }

    /// Gives the place back: the file can't be sent.
    pub fn release_upload(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Adds a file, which had a place.
    pub fn add_upload(&mut self, transfer_id: u32, upload: U) {
        self.release_upload();
        self.uploads.push_back((transfer_id, upload));
    }

    /// Takes the next thing to do. An upload is to be given back with [`Outbox::end_turn`].
    pub fn next_work(&mut self) -> Work<U> {
        if self.is_stopped {
            return Work::Stop;
        }
        if !self.messages.is_empty() {
            self.messages_bytes = 0;
            return Work::Messages(self.messages.drain(..).collect());
        }
        if let Some((transfer_id, upload)) = self.uploads.pop_front() {
            self.in_turn = Some(transfer_id);
            self.reserved += 1;
            return Work::Upload(upload);
        }
        if self.is_finishing && self.reserved == 0 { Work::Finish } else { Work::Wait }
    }

    /// Ends an upload's turn: `Some` if it has more to send. Returns whether it goes on.
    pub fn end_turn(&mut self, upload: Option<U>) -> bool {
        self.release_upload();
        match (self.in_turn.take(), upload) {
            (Some(transfer_id), Some(upload)) => {
                self.uploads.push_back((transfer_id, upload));
                true
            }
            _ => false,
        }
    }

    /// Cancels a file. Returns whether there was something to cancel.
    pub fn cancel(&mut self, transfer_id: u32) -> bool {
        if self.in_turn == Some(transfer_id) {
            self.in_turn = None;
            return true;
        }
        let before = self.uploads.len();
        self.uploads.retain(|&(id, _)| id != transfer_id);
        self.uploads.len() < before
    }

    /// Nothing more comes: once everything was sent, the sending side is closed.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// The connection is gone.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.messages_bytes = 0;
        self.uploads.clear();
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> Message {
        Message::Public(text.to_owned())
    }

    /// Takes turns until there is nothing, and returns their order; each upload is a name and its turns.
    fn drain(outbox: &mut Outbox<(&'static str, u32)>) -> Vec<String> {
        let mut order = Vec::new();
        loop {
            match outbox.next_work() {
                Work::Messages(messages) => order.extend(messages.into_iter().map(|message| format!("{message:?}"))),
                Work::Upload((name, turns)) => {
                    order.push(name.to_owned());
                    outbox.end_turn((turns > 1).then(|| (name, turns - 1)));
                }
                Work::Finish => order.push("finish".to_owned()),
                Work::Wait | Work::Stop => return order,
            }
            if order.last().is_some_and(|last| last == "finish") {
                return order;
            }
        }
    }

    fn with_uploads(uploads: &[(u32, &'static str, u32)]) -> Outbox<(&'static str, u32)> {
        let mut outbox = Outbox::default();
        for &(transfer_id, name, turns) in uploads {
            outbox.reserve_upload();
            outbox.add_upload(transfer_id, (name, turns));
        }
        outbox
    }

    #[test]
    fn messages_go_before_files_and_files_take_turns() {
        let mut outbox = with_uploads(&[(1, "a", 3), (2, "b", 2)]);
        outbox.push(public("x"));
        assert_eq!(drain(&mut outbox), ["Public(\"x\")", "a", "b", "a", "b", "a"]);
    }

    #[test]
    fn it_finishes_only_when_every_file_is_through() {
        let mut outbox = with_uploads(&[(1, "a", 2)]);
        outbox.reserve_upload();
        outbox.finish();
        assert_eq!(drain(&mut outbox), ["a", "a"]);
        outbox.add_upload(2, ("b", 1));
        assert_eq!(drain(&mut outbox), ["b", "finish"]);
    }

    #[test]
    fn a_file_is_cancelled_in_its_turn_and_out_of_it() {
        let mut outbox = with_uploads(&[(1, "a", 9), (2, "b", 1)]);
        assert!(matches!(outbox.next_work(), Work::Upload(("a", 9))));
        assert!(outbox.cancel(1));
        assert!(!outbox.end_turn(Some(("a", 8))));
        assert!(outbox.cancel(2));
        assert!(!outbox.cancel(2));
        assert_eq!(outbox.uploads_len(), 0);
        assert_eq!(drain(&mut outbox), [""; 0]);
    }

    #[test]
    fn there_is_room_for_so_much_and_not_more() {
        let mut outbox: Outbox<()> = Outbox::default();
        for _ in 0..CHAT_QUEUE_BYTES / 1024 {
            assert!(outbox.has_room());
            outbox.push(public(&"x".repeat(1024)));
        }
        assert!(!outbox.has_room());
        for _ in 0..UPLOADS_MAX {
            assert!(outbox.has_upload_room());
            outbox.reserve_upload();
        }
        assert!(!outbox.has_upload_room());
    }
}
