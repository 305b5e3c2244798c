//! The servers that count, and the links between them that both ends announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use crate::core::state::ordered::insert_all;
use crate::limits;
use crate::wire::ServerId;

/// A server that has spoken to us itself, or of which more siblings speak than can lie.
#[derive(Debug)]
pub(super) struct Vertex<'a> {
    pub id: ServerId,
    /// The address at which it can be reached; a server without one cannot be named.
    pub address: Option<SocketAddrV4>,
    /// Its siblings, as it says. We are not in the list that it tells us.
    pub others: Option<&'a BTreeMap<ServerId, SocketAddrV4>>,
    /// It goes on saying so: it may be followed.
    pub leads: bool,
    /// It has not spoken to us. It is linked with those that say so.
    pub is_witnessed: bool,
}

/// A small graph: we are its first server, then come our siblings.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    vertices: Vec<Vertex<'a>>,
    /// For each server, the set of those that it is linked with, as bits. It is in its own set.
    stars: Vec<u32>,
}

/// Bits of a set.
const VERTICES_MAX: usize = u32::BITS as usize;

impl<'a> Graph<'a> {
    /// Ourselves, siblings, and servers that asked us in vain. Of those at one address, only the first one counts: it is
    /// one server, whatever it calls itself.
    pub fn new(us: Vertex<'a>, siblings: Vec<Vertex<'a>>, others: Vec<Vertex<'a>>) -> Graph<'a> {
        let mut places: BTreeSet<SocketAddrV4> = insert_all(us.address);
        let mut is_first = |vertex: &Vertex<'a>| vertex.address.is_none_or(|address| places.insert(address));
        let siblings: Vec<Vertex<'a>> = siblings.into_iter().filter(&mut is_first).collect();
        let others: Vec<Vertex<'a>> = others.into_iter().filter(&mut is_first).collect();
        let linked = siblings.len();
        let vertices: Vec<Vertex<'a>> = std::iter::once(us).chain(siblings).chain(others).take(VERTICES_MAX).collect();
        let is_linked = |a: usize, b: usize| match (a.min(b), a.max(b)) {
            (low, high) if low == high => true,
            (0, high) => high <= linked,
            (low, high) => vertices.get(low).zip(vertices.get(high)).is_some_and(|(a, b)| a.names(b) && b.names(a)),
        };
        let count = vertices.len();
        let star = |a: usize| (0..count).filter(|&b| is_linked(a, b)).fold(0, |star, b| star | 1 << b);
        let stars = (0..count).map(star).collect();
        let mut graph = Graph { vertices, stars };
        graph.drop_unlinked(linked);
        graph
    }

    /// Others count only if they are linked with a sibling of ours.
    fn drop_unlinked(&mut self, linked: usize) {
        let siblings = (1..=linked).fold(0u32, |set, place| set | 1u32.checked_shl(place as u32).unwrap_or(0));
        let gone = (linked + 1..self.stars.len()).filter(|&place| self.star(place) & siblings == 0);
        let gone = gone.fold(0u32, |set, place| set | 1 << place);
        for star in &mut self.stars {
            *star &= !gone;
        }
    }

    fn star(&self, place: usize) -> u32 {
        self.stars.get(place).copied().unwrap_or(0)
    }

    /// All servers that count, as bits.
    fn all(&self) -> u32 {
        self.stars.iter().fold(0, |set, star| set | star)
    }

    fn of(&self, set: u32) -> impl Iterator<Item = &Vertex<'a>> {
        self.vertices.iter().enumerate().filter(move |(place, _)| set & 1 << place != 0).map(|(_, vertex)| vertex)
    }

    /// Whether all that can be named is one network: ten servers at most, and each ID once.
    pub fn fits(&self) -> bool {
        let described: Vec<ServerId> = self.of(self.all()).filter(|v| v.address.is_some()).map(|v| v.id).collect();
        let unique: BTreeSet<&ServerId> = insert_all(&described);
        described.len() <= limits::NETWORK_MAX_SERVERS && unique.len() == described.len()
    }

    /// How many servers there are, those included that only we can name.
    pub fn len(&self) -> usize {
        self.all().count_ones() as usize
    }

    /// Those of a set that others can name: only they are seen by others too.
    fn described(&self, set: u32) -> u32 {
        let is_described = |&place: &usize| self.vertices.get(place).is_some_and(|vertex| vertex.address.is_some());
        set & (0..self.vertices.len()).filter(is_described).fold(0, |set, place| set | 1 << place)
    }

    /// Links between two servers of a set.
    fn links_within(&self, set: u32) -> u32 {
        let ends = (0..self.stars.len()).filter(|place| set & 1 << place != 0);
        ends.map(|place| (self.star(place) & set).count_ones().saturating_sub(1)).sum::<u32>() / 2
    }

    /// The server to follow: of ourselves and the siblings that may be followed, the one whose siblings have most links
    /// among themselves; then the lowest.
    pub fn leader(&self) -> usize {
        let may_lead = |place: &usize| {
            let is_network = self.star(*place).count_ones() as usize <= limits::NETWORK_MAX_SERVERS;
            *place == 0 || (is_network && self.vertices.get(*place).is_some_and(|vertex| vertex.leads))
        };
        let rank = |&place: &usize| {
            let name = self.vertices.get(place).map(|vertex| (vertex.id, vertex.address));
            (self.links_within(self.described(self.star(place))), std::cmp::Reverse(name))
        };
        (0..self.vertices.len()).filter(may_lead).max_by_key(rank).unwrap_or(0)
    }

    /// Whether there are two pairs, ours and the one of the server at this place, and nothing that says which is right.
    pub fn is_even(&self, place: usize) -> bool {
        let (ours, theirs) = (self.described(self.star(0)), self.described(self.star(place)));
        // With as many links, theirs is as small: both of us belong to both, and so does whoever is linked with both.
        ours.count_ones() <= 3 && self.links_within(ours) == self.links_within(theirs)
    }

    /// The servers linked with the one at this place, itself included: IDs and addresses.
    pub fn linked_with(&self, place: usize) -> BTreeMap<ServerId, Option<SocketAddrV4>> {
        insert_all(self.of(self.star(place)).map(|vertex| (vertex.id, vertex.address)))
    }

    /// The server at this place.
    pub fn id(&self, place: usize) -> Option<ServerId> {
        self.vertices.get(place).map(|vertex| vertex.id)
    }

    /// The servers that are not linked with the one at this place.
    pub fn beside(&self, place: usize) -> Vec<(ServerId, Option<SocketAddrV4>)> {
        self.of(self.all() & !self.star(place)).map(|vertex| (vertex.id, vertex.address)).collect()
    }
}

impl Vertex<'_> {
    fn names(&self, other: &Vertex<'_>) -> bool {
        let is_named = self.others.and_then(|others| others.get(&other.id)) == other.address.as_ref();
        other.address.is_some() && (self.is_witnessed || is_named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(id: u32) -> SocketAddrV4 {
        SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, id as u8), 7777)
    }

    fn named(ids: &[u32]) -> BTreeMap<ServerId, SocketAddrV4> {
        ids.iter().map(|&id| (ServerId(id), address(id))).collect()
    }

    /// Servers, each with its siblings.
    type Servers = [(u32, BTreeMap<ServerId, SocketAddrV4>)];

    /// Ourselves, 5; siblings that may be followed; and others.
    fn graph<'a>(siblings: &'a Servers, others: &'a Servers) -> Graph<'a> {
        let vertex = |leads| {
            move |(id, others): &'a (u32, _)| Vertex {
                id: ServerId(*id),
                address: Some(address(*id)),
                others: Some(others),
                leads,
                is_witnessed: false,
            }
        };
        let us = Vertex { id: ServerId(5), address: Some(address(5)), others: None, leads: true, is_witnessed: false };
        Graph::new(us, siblings.iter().map(vertex(true)).collect(), others.iter().map(vertex(false)).collect())
    }

    fn ids(servers: Vec<(ServerId, Option<SocketAddrV4>)>) -> Vec<u32> {
        servers.into_iter().map(|(id, _)| id.0).collect()
    }

    #[test]
    fn a_link_counts_once_if_both_ends_name_it_and_are_in_the_set() {
        let siblings = [(1, named(&[2, 3])), (2, named(&[1, 3])), (3, named(&[2]))];
        let graph = graph(&siblings, &[]);
        assert_eq!(graph.links_within(0b1111), 5, "three of ours, 1 with 2, 2 with 3");
        assert_eq!(graph.links_within(0b1011), 2, "without 2");
        assert_eq!(graph.links_within(0b0001), 0);
        assert_eq!(graph.described(0b1011), 0b1011);
    }

    #[test]
    fn a_server_alone_is_a_network_of_one_and_whom_no_sibling_is_linked_with_does_not_count() {
        assert_eq!(graph(&[], &[]).len(), 1);
        let (siblings, others) = ([(1, named(&[7]))], [(7, named(&[1])), (8, named(&[7])), (9, named(&[]))]);
        let graph = graph(&siblings, &others);
        assert_eq!(graph.len(), 3, "8 is linked with 7 only if 7 says so, and 9 with nobody");
        assert_eq!(ids(graph.beside(0)), [7]);
        assert_eq!(ids(graph.beside(1)), Vec::<u32>::new());
        assert_eq!(ids(graph.beside(2)), [5]);
    }

    #[test]
    fn the_one_whose_siblings_hold_together_best_is_followed_if_it_goes_on_saying_so() {
        let siblings = [(1, named(&[])), (6, named(&[7, 8])), (9, named(&[]))];
        let others = [(7, named(&[6, 8])), (8, named(&[6, 7]))];
        let mut graph = graph(&siblings, &others);
        assert_eq!(graph.id(graph.leader()), Some(ServerId(6)), "four links: with us, 7 and 8, and 7 with 8");
        graph.vertices[2].leads = false;
        assert_eq!(graph.id(graph.leader()), Some(ServerId(5)), "three links");
        graph.vertices[0].leads = false;
        assert_eq!(graph.leader(), 0, "we need not say so");
    }

    #[test]
    fn a_server_with_more_siblings_than_a_network_has_is_not_followed() {
        let all: Vec<u32> = (10..20).collect();
        let siblings = [(6, named(&all)), (7, named(&[]))];
        let others: Vec<_> = all.iter().map(|&id| (id, named(&[6]))).collect();
        let graph = graph(&siblings, &others);
        assert_eq!(graph.leader(), 0);
    }

    #[test]
    fn two_pairs_are_even_if_both_are_small_and_have_as_many_links() {
        let pair = |ours: &[u32]| [(1, named(ours)), (2, named(&[1, 3, 4]))];
        let (apart, together) = (pair(&[]), pair(&[2]));
        let third = [(3, named(&[2]))];
        assert!(graph(&apart, &third).is_even(2), "1 and 5 and 2; 5 and 2 and 3");
        assert!(!graph(&together, &third).is_even(2), "1 is linked with 2, too");
        let fourth = [(3, named(&[2])), (4, named(&[2]))];
        let large = [(1, named(&[])), (2, named(&[3, 4])), (6, named(&[]))];
        assert!(!graph(&large, &third).is_even(2), "three links against two");
        assert!(!graph(&large, &fourth).is_even(2), "three links each, and no pairs");
        assert!(!graph(&[(2, named(&[3]))], &third).is_even(1), "one link against two");
        let graph = graph(&together, &fourth);
        assert_eq!(graph.links_within(graph.star(0)), 3);
        assert!(!graph.is_even(2), "there are more of them");
    }
}
