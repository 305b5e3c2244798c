//! The order of password checks, and which one is dropped.

use std::net::IpAddr;

use super::*;
use crate::core::state::users::Users;

/// A check of an easy password; `number` is its connection's.
fn check(number: u32, address: IpAddr, nickname: &str) -> PasswordCheck {
    let users =
        Users::parse("x:$pbkdf2-sha256$i=1,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
            .unwrap();
    let stored = users.find("x").unwrap().clone();
    let work = stored.begin_check("wrong");
    let address = AddressGroup::of(address);
    let key = Key { index: number, serial: number };
    PasswordCheck { key, address, is_known: false, nickname: nickname.into(), stored, work }
}

fn v6(network: u64) -> IpAddr {
    std::net::Ipv6Addr::from_bits(u128::from(network) << 64 | 1).into()
}

fn v4(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The connections in the order in which they are answered.
fn order(checks: &mut PasswordChecks) -> Vec<u32> {
    std::iter::from_fn(|| checks.advance().map(|(check, _)| check.key.index)).collect()
}

#[test]
fn whoever_has_a_network_of_addresses_has_one_turn_with_it() {
    for honest in ["2001:db8:2::1", "2001:db9::1", "192.0.2.1"] {
        let mut checks = PasswordChecks::default();
        for i in 0..1000 {
            // 1,000 networks of 64 bits in one of 48.
            checks.add(check(i, v6(0x2001_0db8_0001_0000 + u64::from(i)), "maria"));
        }
        checks.add(check(5000, honest.parse().unwrap(), "maria"));
        let place = order(&mut checks).iter().position(|&number| number == 5000).unwrap();
        assert!(place <= 2, "{honest}: {place}");
    }
}

#[test]
fn networks_of_ipv4_take_turns_too() {
    for (many, honest) in [("198.51", "192.0.2.1"), ("198.51", "198.52.0.1")] {
        let mut checks = PasswordChecks::default();
        for i in 0..1000 {
            checks.add(check(i, v4(&format!("{many}.{}.{}", i / 250, i % 250)), "maria"));
        }
        checks.add(check(5000, v4(honest), "maria"));
        let place = order(&mut checks).iter().position(|&number| number == 5000).unwrap();
        assert!(place <= 2, "{honest}: {place}");
    }
    let mut checks = PasswordChecks::default();
    for i in 0..250 {
        checks.add(check(i, v4(&format!("198.51.100.{i}")), "maria"));
    }
    checks.add(check(5000, v4("198.51.101.1"), "maria"));
    assert!(order(&mut checks).iter().position(|&number| number == 5000).unwrap() <= 2);
}

#[test]
fn behind_one_address_nicknames_take_turns() {
    let mut checks = PasswordChecks::default();
    for i in 0..200 {
        checks.add(check(i, v4("192.0.2.1"), "maria"));
    }
    checks.add(check(5000, v4("192.0.2.1"), "zoe"));
    let order = order(&mut checks);
    assert!(order.iter().position(|&number| number == 5000).unwrap() <= 2);
    let marias: Vec<u32> = order.into_iter().filter(|&number| number != 5000).collect();
    assert_eq!(marias, (0..200).collect::<Vec<_>>(), "one after the other");
}

#[test]
fn where_there_are_too_many_the_oldest_of_the_largest_group_gives_way() {
    let mut checks = PasswordChecks::default();
    let mut gone = Vec::new();
    gone.extend(checks.add(check(5000, v4("192.0.2.1"), "maria")));
    for i in 0..2 * PASSWORD_CHECKS_MAX as u32 {
        gone.extend(checks.add(check(i, v6(0x2001_0db8_0001_0000 + u64::from(i)), "maria")));
    }
    gone.extend(checks.add(check(5001, v4("192.0.2.2"), "zoe")));
    assert_eq!(checks.len(), PASSWORD_CHECKS_MAX);
    let expected: Vec<u32> = (0..gone.len() as u32).collect();
    assert_eq!(gone.iter().map(|key| key.index).collect::<Vec<_>>(), expected, "in the order in which they came");
    let order = order(&mut checks);
    assert!(order.contains(&5000) && order.contains(&5001));
}

#[test]
fn one_address_fills_its_own_share_only() {
    let mut checks = PasswordChecks::default();
    checks.add(check(5000, v4("192.0.2.1"), "zoe"));
    let gone: Vec<Key> = (0..1000).filter_map(|i| checks.add(check(i, v4("192.0.2.1"), "maria"))).collect();
    assert_eq!(checks.len(), PASSWORD_CHECKS_PER_ADDRESS_MAX);
    assert_eq!(gone.first().map(|key| key.index), Some(0));
    assert!(order(&mut checks).contains(&5000), "another nickname from there stays");
}

#[test]
fn addresses_that_have_logged_in_before_go_first_and_leave_a_turn_to_others() {
    let mut checks = PasswordChecks::default();
    for i in 0..1000 {
        checks.add(check(i, v4(&format!("10.{}.{}.1", i / 250, i % 250)), "maria"));
    }
    for i in 0..8 {
        checks.add(PasswordCheck { is_known: true, ..check(5000 + i, v4(&format!("192.0.2.{i}")), "maria") });
    }
    let order = order(&mut checks);
    assert_eq!(order[..5], [5000, 5001, 5002, 0, 5003]);
    assert!(order.iter().position(|&number| number == 5007).unwrap() < 11);
}

#[test]
fn who_has_logged_in_before_does_not_give_way_to_strangers() {
    let mut checks = PasswordChecks::default();
    for i in 0..100 {
        checks.add(PasswordCheck { is_known: true, ..check(5000 + i, v4("192.0.2.1"), "maria") });
    }
    let gone = (0..2000).filter_map(|i| checks.add(check(i, v6(u64::from(i) << 32), "maria")));
    assert!(gone.map(|key| key.index).all(|number| number < 5000));
}

#[test]
fn a_check_whose_connection_is_gone_leaves_nothing_behind() {
    let mut checks = PasswordChecks::default();
    for i in 0..10 {
        checks.add(check(i, v4("192.0.2.1"), "maria"));
    }
    for i in 0..10 {
        checks.cancel(Key { index: i, serial: i });
    }
    assert!(checks.is_empty() && checks.waiting.is_empty());
}
