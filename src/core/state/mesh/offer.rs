//! What a merge packet says.

use std::net::SocketAddrV4;

use super::is_unicast;
use crate::wire::{Description, Descriptions, ServerId};

/// A server and its siblings, as it describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The server that announces.
    pub server: ServerId,
    /// The address at which it listens, if it describes itself (D14).
    pub address: Option<SocketAddrV4>,
    /// It is routed: its own description comes first twice (D25).
    pub is_routed: bool,
    /// Its siblings, each once.
    pub others: Vec<(ServerId, SocketAddrV4)>,
    /// Whether two entries contradict each other.
    pub is_contradictory: bool,
}

impl Offer {
    /// Reads the descriptions of a merge packet from `server`. Passes over entries whose address cannot be dialled.
    pub fn read(server: ServerId, descriptions: Descriptions<'_>) -> Offer {
        let mut first = descriptions.iter();
        let is_routed = matches!((first.next(), first.next()), (Some(a), Some(b)) if a == b && a.server == server);
        let mut offer = Offer { server, address: None, is_routed, others: Vec::new(), is_contradictory: false };
        for (id, address) in descriptions.iter().filter_map(dialable) {
            let known = if id == server {
                offer.address
            } else {
                offer.others.iter().find(|(other, _)| *other == id).map(|&(_, address)| address)
            };
            match known {
                Some(known) => offer.is_contradictory |= known != address,
                None if id == server => offer.address = Some(address),
                None => offer.others.push((id, address)),
            }
        }
        offer
    }
}

/// The server that a description stands for, if its address can be dialled.
pub fn dialable(description: Description) -> Option<(ServerId, SocketAddrV4)> {
    let port = u16::try_from(description.port).ok().filter(|&port| port != 0)?;
    is_unicast(description.address).then_some((description.server, SocketAddrV4::new(description.address, port)))
}
