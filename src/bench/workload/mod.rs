//! The workloads, one a file. Each opens connections of its own to a server under test, warms up, measures, and checks every
//! delivery.

pub mod cross;
pub mod direct;
pub mod fairness;
pub mod files;
pub mod handshakes;
pub mod idle;
pub mod logins;
pub mod paced;
pub mod relay;
pub mod room;
pub mod slow;
pub mod start;
pub mod storm;
pub mod streams;

pub use direct::{DirectPlan, direct};
pub use idle::idle;
pub use paced::{PacedPlan, paced};
pub use room::{RoomPlan, room};
pub use storm::storm;

use std::time::{Duration, Instant};

use super::connections::{Members, Receiver};
use super::message::describe;
use super::{Fault, Result};

/// After the last expected delivery: how long to look for one too many.
const SURPLUS: Duration = Duration::from_millis(30);

/// For connections that must get nothing.
struct Silence;

impl Receiver for Silence {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], _at: Instant, members: &mut Members) -> Result<()> {
        if members.answer_ping(member, bytes)? {
            return Ok(());
        }
        Err(Fault::Wrong(format!("nobody spoke, and it got {}", describe(bytes))))
    }
}
