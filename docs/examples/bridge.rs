//! A bridge between two servers that do not merge: `bridge HOST:PORT HOST:PORT`. It repeats each public message of one
//! server on the other, behind the sender's name.

use std::time::Duration;

use cfp::blocking::{Connection, Event, Login, Next};

/// The bridge's nickname on both sides. It passes over its own messages.
const NICKNAME: &str = "bridge";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let servers: Vec<String> = std::env::args().skip(1).collect();
    let [left, right] = servers.as_slice() else { return Err("usage: bridge HOST:PORT HOST:PORT".into()) };
    let mut left = Connection::connect(left, Login::Guest(NICKNAME))?;
    let mut right = Connection::connect(right, Login::Guest(NICKNAME))?;
    while pass_on(&mut left, &mut right)? && pass_on(&mut right, &mut left)? {}
    Ok(())
}

/// Passes on what has come within a moment. Returns whether the connection is still there.
fn pass_on(from: &mut Connection, to: &mut Connection) -> std::io::Result<bool> {
    loop {
        match from.next_event_within(Duration::from_millis(20))? {
            Next::Event(Event::Public { from: person, text }) if person.nickname != NICKNAME => {
                to.say(&shortened(&format!("<{person}> {text}")))?;
            }
            Next::Event(_) => {}
            Next::Nothing => return Ok(true),
            Next::Closed => return Ok(false),
        }
    }
}

/// The text, cut to what a message may have.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(65_536);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
