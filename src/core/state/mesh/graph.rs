//! The servers that count, and the links between them that both ends announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use crate::limits;
use crate::wire::ServerId;

/// A server that has spoken to us itself.
#[derive(Debug)]
pub(super) struct Vertex<'a> {
    pub id: ServerId,
    /// The address at which it can be reached; a server without one cannot be named.
    pub address: Option<SocketAddrV4>,
    /// Its siblings, as it says. We are not in the list that it tells us.
    pub others: Option<&'a BTreeMap<ServerId, SocketAddrV4>>,
    /// It goes on saying so: it may be followed.
    pub leads: bool,
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
        let mut places: BTreeSet<SocketAddrV4> = us.address.into_iter().collect();
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
        let unique: BTreeSet<&ServerId> = described.iter().collect();
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
        let is_near = |place: &usize| self.star(0) & 1 << place != 0;
        let rank = |&place: &usize| {
            let name = self.vertices.get(place).map(|vertex| (vertex.id, vertex.address));
            (self.links_within(self.described(self.star(place))), std::cmp::Reverse(name))
        };
        (0..self.vertices.len()).filter(|place| is_near(place) && may_lead(place)).max_by_key(rank).unwrap_or(0)
    }

    /// Whether there are two pairs, ours and the one of the server at this place, and nothing that says which is right.
    pub fn is_even(&self, place: usize) -> bool {
        let (ours, theirs) = (self.described(self.star(0)), self.described(self.star(place)));
        let are_small = ours.count_ones() <= 3 && theirs.count_ones() <= 3;
        are_small && self.links_within(ours) == self.links_within(theirs)
    }

    /// The servers linked with the one at this place, itself included: IDs and addresses.
    pub fn linked_with(&self, place: usize) -> BTreeMap<ServerId, Option<SocketAddrV4>> {
        self.of(self.star(place)).map(|vertex| (vertex.id, vertex.address)).collect()
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
        other.address.is_some() && self.others.and_then(|others| others.get(&other.id)) == other.address.as_ref()
    }
}
