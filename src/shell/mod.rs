//! All that meets the kernel: the poll, sockets, files, signals, the clock, the command line, the log.

pub mod acceptor;
pub mod addresses;
pub mod control;
pub mod dns;
pub mod logging;
pub mod memory;
pub mod options;
pub mod process;
pub mod reactor;
pub mod regular_file;
pub mod reload;
pub mod socket;
pub mod start;
pub mod stdio;
pub mod systemd;
pub mod terminal;
pub mod transport;
mod users_edit;
pub mod users_file;
