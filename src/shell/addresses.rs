//! The IPv4 address that other servers are told if no option names one.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The address of the interface with the default route. Without such a route, as in a network of containers that does
/// not lead outside, the only address of the machine. On a machine with only a loopback interface, 127.0.0.1.
///
/// # Errors
/// The addresses of which the operator has to choose one, or why they cannot be listed; part of a line.
pub fn own_ipv4() -> Result<Ipv4Addr, String> {
    if let Some(address) = of_default_route() {
        return Ok(address);
    }
    let interfaces = if_addrs::get_if_addrs().map_err(|error| format!("whose addresses can't be listed: {error}"))?;
    only_one(interfaces.iter().map(|interface| interface.ip()))
}

fn of_default_route() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Connecting a datagram socket sends nothing; it only makes the kernel choose a route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

fn only_one(addresses: impl Iterator<Item = IpAddr>) -> Result<Ipv4Addr, String> {
    let mut all: Vec<Ipv4Addr> = addresses
        .filter_map(|address| match address {
            IpAddr::V4(address) if !address.is_loopback() => Some(address),
            _ => None,
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [] => Ok(Ipv4Addr::LOCALHOST),
        [one] => Ok(*one),
        several => {
            let listed: Vec<String> = several.iter().take(4).map(Ipv4Addr::to_string).collect();
            let more = if several.len() > listed.len() { ", …" } else { "" };
            Err(format!("which has no default route and several addresses ({}{more})", listed.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(addresses: &[&str]) -> Result<Ipv4Addr, String> {
        only_one(addresses.iter().map(|address| address.parse().unwrap()))
    }

    #[test]
    fn the_only_address_is_taken_and_between_several_somebody_has_to_choose() {
        assert_eq!(only(&["127.0.0.1", "::1", "10.0.0.2", "fe80::1", "10.0.0.2"]), Ok(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(only(&["127.0.0.1", "127.0.0.2", "::1"]), Ok(Ipv4Addr::LOCALHOST));
        assert_eq!(only(&[]), Ok(Ipv4Addr::LOCALHOST));
        let error = only(&["10.0.0.3", "10.0.0.2"]).unwrap_err();
        assert!(error.contains("10.0.0.2, 10.0.0.3"), "{error}");
        assert!(only(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]).unwrap_err().contains('…'));
    }
}
