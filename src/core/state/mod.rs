//! The state that all connections share. There are no sockets, no clock and no randomness in here. Time and seeds come
//! in as arguments, and [effects] come out.

pub mod address;
pub mod bans;
pub mod bucket;
pub mod config;
pub mod counters;
pub mod directory;
pub mod effects;
pub mod key;
pub mod logins;
pub mod look_alikes;
pub mod mesh;
pub mod ordered;
pub mod passwords;
pub mod pbkdf2;
pub mod pressure;
pub mod process;
pub mod random;
pub mod routed;
pub mod turns;
pub mod unanswered;
pub mod users;
pub mod users_reader;

use std::net::SocketAddr;

use crate::core::time::Millis;
use crate::limits::{ERROR_WAIT_MS, ROUTED_ERROR_WAIT_MS};
use crate::wire::ServerId;
use bans::Bans;
use config::Config;
use counters::Counters;
use directory::Directory;
use effects::Effects;
use key::Key;
use logins::Logins;
use mesh::{Mesh, Permissions};
use passwords::PasswordChecks;
use pressure::Pressure;
use routed::Routed;
use unanswered::Unanswered;
use users::Users;

/// Everything that is not of one connection.
#[derive(Debug)]
pub struct Core {
    /// What the operator decided at start.
    pub config: Config,
    /// The clients that are logged in here.
    pub directory: Directory,
    /// The registered users.
    pub users: Users,
    /// Logins whose password is being looked at.
    pub password_checks: PasswordChecks,
    /// The operator's bans.
    pub bans: Bans,
    /// Wrong and right passwords so far, by address.
    pub logins: Logins,
    /// The servers that are merged with us.
    pub mesh: Mesh,
    /// Receivers whose queue is past its high-water mark, and the senders that wait for them.
    pub pressure: Pressure,
    /// Which packets of our clients another server may still answer with an ERROR.
    pub unanswered: Unanswered,
    /// What happened so far.
    pub counters: Counters,
}

impl Core {
    /// The state of a server that has just started.
    pub fn new(config: Config, users: Users) -> Core {
        let permissions = Permissions::new(config.allow_peers.clone());
        let mut mesh = Mesh::new(config.id, config.advertise, permissions, config.seed);
        if let Some((address, incarnation)) = config.advertise.zip(config.routed) {
            mesh.route(Routed::new(config.id, address, incarnation, config.seed));
        }
        let pressure = Pressure::new(config.max_queue_bytes);
        let is_routed = mesh.routed().is_some();
        Core {
            mesh,
            config,
            directory: Directory::default(),
            users,
            password_checks: PasswordChecks::default(),
            bans: Bans::default(),
            logins: Logins::default(),
            pressure,
            unanswered: Unanswered::new(if is_routed { ROUTED_ERROR_WAIT_MS } else { ERROR_WAIT_MS }),
            counters: Counters::default(),
        }
    }
}

/// What a handler is given: which connection it is called for, when, and what it may look at and change.
#[derive(Debug)]
pub struct Context<'a> {
    /// The connection.
    pub key: Key,
    /// The address of its other end, if there is one.
    pub remote: Option<SocketAddr>,
    /// Whether it came through a proxy (D47).
    pub is_proxied: bool,
    /// The server IDs in its certificate, if it has one of our network's CA (D44).
    pub certified_ids: Option<&'a [ServerId]>,
    /// The time of this turn of the loop.
    pub now: Millis,
    /// The packet has waited for a receiver's queue once; it does so no second time.
    pub has_waited: bool,
    /// The shared state.
    pub core: &'a mut Core,
    /// The handler's effects.
    pub effects: &'a mut Effects,
}
