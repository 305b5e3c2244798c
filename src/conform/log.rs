//! What the connections of a case have sent, and which of them the other side has closed.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use super::case::Sent;
use super::limits::{SENT_SHOWN, SENT_SHOWN_BYTES, WAITS_IN_VAIN_MAX};
use super::peer::{LIMITS, QUESTION};
use crate::wire::{Scan, scan};

/// The log that all connections of a run share. The kit has one thread.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Entries>>);

#[derive(Default)]
struct Entries {
    /// The connection, and what it has sent, the oldest first.
    sent: Vec<(usize, Sent)>,
    open: Vec<Open>,
    next: usize,
    waits_in_vain: u32,
}

struct Open {
    number: usize,
    name: String,
    stream: Option<TcpStream>,
}

impl Log {
    /// A case begins: what was sent before does not belong to it.
    pub fn begin(&self) {
        self.0.borrow_mut().sent.clear();
    }

    /// A connection is there. Returns its number.
    pub fn opened(&self, stream: &TcpStream) -> usize {
        let mut entries = self.0.borrow_mut();
        entries.next += 1;
        let number = entries.next;
        // Without a second descriptor, only a hint is missing.
        entries.open.push(Open { number, name: format!("connection {number}"), stream: stream.try_clone().ok() });
        number
    }

    /// It is gone.
    pub fn closed(&self, number: usize) {
        self.0.borrow_mut().open.retain(|open| open.number != number);
    }

    /// It is called so from now on.
    pub fn named(&self, number: usize, name: &str) {
        if let Some(open) = self.0.borrow_mut().open.iter_mut().find(|open| open.number == number) {
            name.clone_into(&mut open.name);
        }
    }

    /// What it is called.
    pub fn name(&self, number: usize) -> String {
        let entries = self.0.borrow();
        entries.open.iter().find(|open| open.number == number).map_or_else(String::new, |open| open.name.clone())
    }

    /// It has sent this. A packet that is sent in pieces is one entry, and questions of the kit itself are none.
    pub fn sent(&self, number: usize, bytes: &[u8]) {
        let by = self.name(number);
        if bytes.windows(QUESTION.len()).any(|window| window == QUESTION.as_bytes()) {
            return;
        }
        let shown = bytes.get(..bytes.len().min(SENT_SHOWN_BYTES)).unwrap_or_default();
        let mut entries = self.0.borrow_mut();
        if let Some((last, sent)) = entries.sent.last_mut()
            && *last == number
            && matches!(scan(&sent.bytes, &LIMITS), Scan::Incomplete { .. })
            && sent.bytes.len() < SENT_SHOWN_BYTES
        {
            sent.bytes.extend_from_slice(shown);
            return;
        }
        if entries.sent.len() == SENT_SHOWN {
            entries.sent.remove(0);
        }
        entries.sent.push((number, Sent { by, bytes: shown.to_vec() }));
    }

    /// The last of what was sent.
    pub fn last(&self) -> Vec<Sent> {
        self.0.borrow().sent.iter().map(|(_, sent)| sent.clone()).collect()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.0.borrow().open.len()
    }

    /// A wait was in vain.
    pub fn waited_in_vain(&self) {
        self.0.borrow_mut().waits_in_vain += 1;
    }

    /// How long to wait: less than `patience` if there were many waits in vain.
    pub fn patience(&self, patience: Duration) -> Duration {
        match self.0.borrow().waits_in_vain {
            0..WAITS_IN_VAIN_MAX => patience,
            _ => patience / 5,
        }
    }

    /// The names of the connections that the other side has closed, but for this one.
    pub fn closed_by_other(&self, but: usize) -> Vec<String> {
        let entries = self.0.borrow();
        let others = entries.open.iter().filter(|open| open.number != but);
        others.filter(|open| open.stream.as_ref().is_some_and(is_closed)).map(|open| open.name.clone()).collect()
    }
}

fn is_closed(stream: &TcpStream) -> bool {
    // Both descriptors are one socket, so it is set back at once.
    let _ = stream.set_nonblocking(true);
    let is_closed = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    let _ = stream.set_nonblocking(false);
    is_closed
}
