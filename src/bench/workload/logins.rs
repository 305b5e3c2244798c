//! A flood of logins with a wrong password, while two clients write to each other. Each login costs the server a tenth
//! of a second.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::paced::Pace;
use super::streams::Streams;
use crate::bench::connections::Connections;
use crate::bench::protocol::{Protocol, encode};
use crate::bench::report::{Latencies, latencies};
use crate::bench::server::ServerUnderTest;
use crate::bench::{Fault, Result};
use crate::wire::Packet;

/// Between two private messages.
const INTERVAL: Duration = Duration::from_millis(10);
/// Latencies without logins, to compare with.
const QUIET_MESSAGES: u64 = 200;
/// Messages before it is looked whether all logins are answered.
const MESSAGES_PER_PART: u64 = 10;
/// The server gets so long for all answers.
const ANSWERS_MAX: Duration = Duration::from_secs(120);

/// How many.
#[derive(Debug, Clone, Copy)]
pub struct LoginsPlan {
    /// Guests online, two of which write.
    pub online: usize,
    /// Wrong passwords.
    pub logins: usize,
}

/// What it gave.
pub struct LoginsSample {
    /// Latencies of the pair's messages without the flood.
    pub quiet: Latencies,
    /// Latencies during the flood.
    pub flood: Latencies,
    /// From the first login to the last answer.
    pub seconds: f64,
}

/// Logs `nickname` in with a wrong password, on as many connections as the plan says. Each must be answered with "wrong
/// combination of nickname and password".
pub fn logins_flood(server: &ServerUnderTest, nickname: &str, plan: LoginsPlan) -> Result<LoginsSample> {
    let protocol = Protocol::open(server)?;
    let mut connections = Connections::to(server)?;
    connections.join(server.address, plan.online, |member| protocol.hello(member, false))?;
    let mut streams = Streams::default();
    let pair = streams.add(protocol.private(0, 1), 0, 1..2, true);

    let mut quiet_paces = [(pair, Pace::new(INTERVAL, QUIET_MESSAGES))];
    let answered = Cell::new(0);
    let mut on_answer = |_: &mut Streams, member: usize, bytes: &mut &[u8]| -> Result<bool> {
        if member < plan.online {
            return Ok(false);
        }
        match *bytes {
            [0x10] => {}
            [0x10, 2] => {
                answered.set(answered.get() + 1);
                *bytes = &[];
            }
            other => return Err(Fault::Wrong(format!("login: {}", super::describe(other)))),
        }
        Ok(true)
    };
    streams.drive(&mut connections, &mut quiet_paces, &[], &mut on_answer)?;
    let quiet = streams.stream(pair).map_or_else(latencies, |stream| stream.latencies.clone());
    streams.reset();

    let since = Instant::now();
    let login = encode(&Packet::AuthUsr { nickname, password: "wrong" });
    for _ in 0..plan.logins {
        let member = connections.connect(None, server.address)?;
        connections.members().send(member, &login)?;
    }
    // In small parts, until all are answered.
    while answered.get() < plan.logins {
        let mut paces = [(pair, Pace::new(INTERVAL, MESSAGES_PER_PART))];
        streams.drive(&mut connections, &mut paces, &[], &mut on_answer)?;
        if since.elapsed() > ANSWERS_MAX {
            return Err(Fault::Wrong(format!("{} of {} logins answered", answered.get(), plan.logins)));
        }
    }
    let flood = streams.stream(pair).map_or_else(latencies, |stream| stream.latencies.clone());
    Ok(LoginsSample { quiet, flood, seconds: since.elapsed().as_secs_f64() })
}
