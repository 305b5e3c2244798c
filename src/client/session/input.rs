//! What a script types: its standard input, line by line.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::event::PollFlags;

use super::Event;
use crate::client::limits::{LINE_MAX_BYTES, OBJECT_MAX_BYTES};
use crate::client::output;

/// Holds the reader of the input up while there is no connection.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn open(&self) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.changed.notify_all();
    }

    pub(super) fn close(&self) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    pub(super) fn wait(&self) {
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        while *is_closed {
            is_closed = self.changed.wait(is_closed).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Hands over line after line, until the end of the input or until the receiver has gone.
pub(super) fn read_lines(mut input: impl BufRead, has_objects: bool, mut hand_over: impl FnMut(Event) -> bool) {
    let line_max_bytes = if has_objects { OBJECT_MAX_BYTES } else { LINE_MAX_BYTES };
    loop {
        let event = match read_line(&mut input, line_max_bytes) {
            Ok(Some(event)) => event,
            Ok(None) => {
                hand_over(Event::InputEnd);
                return;
            }
            Err(error) => {
                let _ = hand_over(Event::Unusable(format!("standard input: {error}"))) && hand_over(Event::InputEnd);
                return;
            }
        };
        if !hand_over(event) {
            return;
        }
    }
}

/// The next line; nothing at the end.
fn read_line(input: &mut impl BufRead, line_max_bytes: usize) -> io::Result<Option<Event>> {
    let mut line = Vec::new();
    loop {
        let left = (line_max_bytes + 1 - line.len()) as u64;
        match input.by_ref().take(left).read_until(b'\n', &mut line) {
            // What was read of the line before stays in it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => output::wait_for(io::stdin(), PollFlags::IN)?,
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() > line_max_bytes {
        skip_line(input)?;
        return Ok(Some(Event::Unusable("not sent: the line is too long".to_owned())));
    }
    let end = line.strip_suffix(b"\n").unwrap_or(&line);
    let end = end.strip_suffix(b"\r").unwrap_or(end);
    Ok(Some(match std::str::from_utf8(end) {
        Ok(text) => Event::Typed(text.to_owned()),
        Err(_) => Event::Unusable("not sent: the line is not UTF-8".to_owned()),
    }))
}

/// Drops input up to and with the next line break.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                output::wait_for(io::stdin(), PollFlags::IN)?;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let end = buffer.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let (len, is_done) = (end.unwrap_or(buffer.len()), end.is_some() || buffer.is_empty());
        input.consume(len);
        if is_done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(input: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        read_lines(input, false, |event| {
            events.push(match event {
                Event::Typed(line) => line,
                Event::Unusable(why) => why,
                Event::InputEnd => "END".to_owned(),
                Event::Command(_) | Event::Opened(..) | Event::Ended(..) => "?".to_owned(),
            });
            true
        });
        events
    }

    #[test]
    fn lines_are_read_with_either_ending_and_without_one_at_the_end() {
        assert_eq!(events(b"a\nb\r\n\nc"), ["a", "b", "", "c", "END"]);
        assert_eq!(events(b""), ["END"]);
    }

    #[test]
    fn a_line_that_can_t_be_used_costs_only_itself() {
        let mut input = vec![b'x'; 3 * LINE_MAX_BYTES];
        input.extend_from_slice(b"\nnext\n\xff\nlast\n");
        assert_eq!(
            events(&input),
            ["not sent: the line is too long", "next", "not sent: the line is not UTF-8", "last", "END"]
        );
        assert_eq!(events(&vec![b'x'; LINE_MAX_BYTES]).first().map(String::len), Some(LINE_MAX_BYTES));
        assert_eq!(events(&vec![b'x'; LINE_MAX_BYTES + 1]), ["not sent: the line is too long", "END"]);
    }
}
