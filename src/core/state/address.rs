//! Addresses, as limits for each address see them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The other end of a connection; on the control socket, it has no address. Smaller than a `SocketAddr`, since every
/// idle client has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    address: Option<(IpAddr, u16)>,
    is_proxied: bool,
}

impl Remote {
    /// The other end at this address.
    pub fn new(address: Option<SocketAddr>) -> Remote {
        Remote { address: address.map(|address| (address.ip(), address.port())), is_proxied: false }
    }

    /// The other end of a connection that came through a proxy (D46).
    pub fn through_proxy(address: Option<SocketAddr>) -> Remote {
        Remote { is_proxied: true, ..Remote::new(address) }
    }

    /// Whether it came through a proxy: its address then gives it no rights (D47).
    pub fn is_proxied(self) -> bool {
        self.is_proxied
    }

    /// Its address.
    pub fn address(self) -> Option<SocketAddr> {
        self.address.map(SocketAddr::from)
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("this machine"),
        }
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits (which one subscriber has whole).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup(IpAddr);

impl AddressGroup {
    /// The group that `address` is in. An IPv4 address that came in over an IPv6 socket is an IPv4 address.
    pub fn of(address: IpAddr) -> AddressGroup {
        AddressGroup(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            canonical => canonical,
        })
    }

    /// The networks that it is in, the widest first, and itself: /32 and /48 of IPv6, which providers and their
    /// customers have; /16 and /24 of IPv4.
    pub fn networks(self) -> [IpNet; 3] {
        let lengths = match self.0 {
            IpAddr::V4(_) => [16, 24, 32],
            IpAddr::V6(_) => [32, 48, 64],
        };
        lengths.map(|length| IpNet::new(self.0, length).map_or_else(|_| self.0.into(), |network| network.trunc()))
    }
}

impl std::fmt::Display for AddressGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(text: &str) -> AddressGroup {
        AddressGroup::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address_and_an_ipv4_address_is_one_however_it_came() {
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:0:0:1"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_eq!(group("::ffff:192.0.2.1"), group("192.0.2.1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
    }

    #[test]
    fn a_group_reads_as_the_network_that_it_is() {
        assert_eq!(group("2001:db8::1:2").to_string(), "2001:db8::/64");
        assert_eq!(group("192.0.2.1").to_string(), "192.0.2.1");
    }
}
