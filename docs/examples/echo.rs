//! A bot that repeats its private messages in public.

use cfp::blocking::{Connection, Event, Login};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let mut connection = Connection::connect(server, Login::Guest("echo"))?;
    connection.say("tell me something, and I say it again")?;
    while let Some(event) = connection.next_event()? {
        if let Event::Private { from, text } = event {
            connection.tell(&from, &text)?;
        }
    }
    Ok(())
}
