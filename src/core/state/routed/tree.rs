//! The tree of the oldest links, and the routing table that follows from it (D30, D31).
//!
//! ```text
//!     A ──1── B ──2── C       B–C, C–D and A–D are older than A–C, so A–C closes a ring: it is a spare. D30 takes
//!     │     ╲             the oldest links first, by stamp, then by the two IDs.
//! ```
//!
//! The tree is a function of the [`Database`] alone: servers that know the same have the same tree.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use super::database::{Database, Entry, Place};
use crate::core::state::ordered::SortedMap;
use crate::wire::ServerId;

/// A row of the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The neighbour that leads there.
    pub next: ServerId,
    /// Servers between us and it: 0 for a neighbour.
    pub length: u32,
    /// Its address.
    pub address: SocketAddrV4,
}

/// A link of the tree: its stamp, and the two servers.
pub type TreeLink = (u32, ServerId, ServerId);

/// Which links carry, and where they lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The servers that are reached, ourselves not counted.
    pub routes: SortedMap<ServerId, Route>,
    /// The youngest link of the tree.
    pub youngest: Option<TreeLink>,
    /// Another server with our own ID is reached, and it keeps the ID (D38).
    pub loses_id: bool,
    /// An ID is there twice.
    pub has_twins: bool,
    /// The servers that links lead to, carrying or not, by ID and address, ourselves included.
    pub reached: Vec<Place>,
}

/// A link that both ends list.
struct Edge {
    name: TreeLink,
    ends: [usize; 2],
}

impl Tree {
    /// The tree as seen from `own`.
    pub fn of(database: &Database, own: Place) -> Tree {
        let vertices: Vec<(&Place, &Entry)> = database.iter().collect();
        let edges = edges(&vertices);
        let Some(here) = vertices.iter().position(|(place, _)| **place == own) else { return Tree::default() };
        let is_reached = reached(vertices.len(), here, &edges);
        let place_of = |at: usize| vertices.get(at).map(|(place, _)| **place);
        let mut tree = Tree::default();
        // Of two servers with one ID, the lower address keeps it; entries are in that order.
        let mut keeps_id = vec![false; vertices.len()];
        let mut last = None;
        for (at, keeps_id) in keeps_id.iter_mut().enumerate().filter(|(at, _)| is_set(&is_reached, *at)) {
            let Some(place) = place_of(at) else { continue };
            *keeps_id = last != Some(place.0);
            tree.has_twins |= !*keeps_id;
            tree.loses_id |= !*keeps_id && at == here;
            last = Some(place.0);
            tree.reached.push(place);
        }
        let kept = edges.iter().filter(|edge| edge.ends.iter().all(|&end| is_set(&keeps_id, end)));
        let near = tree.take_oldest(kept, vertices.len());
        // Breadth first: the way to each server, in the tree the only one.
        let mut ways: VecDeque<(usize, usize, Option<ServerId>, u32)> = VecDeque::from([(here, here, None, 0)]);
        while let Some((at, from, next, length)) = ways.pop_front() {
            for &far in near.get(at).into_iter().flatten().filter(|&&far| far != from) {
                let Some((id, address)) = place_of(far) else { continue };
                let next = next.unwrap_or(id);
                tree.routes.insert(id, Route { next, length, address });
                ways.push_back((far, at, Some(next), length + 1));
            }
        }
        tree
    }

    /// Takes links, the oldest first, and leaves out what would close a ring (Kruskal). Returns for each vertex the
    /// others that its links in the tree lead to.
    fn take_oldest<'a>(&mut self, edges: impl Iterator<Item = &'a Edge>, vertices: usize) -> Vec<Vec<usize>> {
        let mut sorted: Vec<&Edge> = edges.collect();
        sorted.sort_unstable_by_key(|edge| (edge.name, edge.ends));
        let mut parts: Vec<usize> = (0..vertices).collect();
        let mut near: Vec<Vec<usize>> = vec![Vec::new(); vertices];
        for &Edge { name, ends: [a, b] } in sorted {
            let (one, other) = (part_of(&mut parts, a), part_of(&mut parts, b));
            if one == other {
                continue;
            }
            if let Some(place) = parts.get_mut(one) {
                *place = other;
            }
            for (from, to) in [(a, b), (b, a)] {
                if let Some(list) = near.get_mut(from) {
                    list.push(to);
                }
            }
            self.youngest = Some(name);
        }
        near
    }

    /// The neighbours over which packets go.
    pub fn carrying(&self) -> impl Iterator<Item = ServerId> {
        self.routes.iter().filter(|(_, route)| route.length == 0).map(|(&id, _)| id)
    }
}

/// Links count when both ends list them with the same stamp.
fn edges(vertices: &[(&Place, &Entry)]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (at, &(&(id, _), entry)) in vertices.iter().enumerate() {
        for &(neighbour, stamp) in &entry.neighbours {
            // Each once: from the lower ID.
            if neighbour <= id {
                continue;
            }
            let first = vertices.partition_point(|(place, _)| place.0 < neighbour);
            let twins = vertices.iter().enumerate().skip(first).take_while(|(_, (place, _))| place.0 == neighbour);
            for (far, _) in twins.filter(|(_, (_, far))| far.stamp_of(id) == Some(stamp)) {
                edges.push(Edge { name: (stamp, id, neighbour), ends: [at, far] });
            }
        }
    }
    edges
}

/// The vertices that edges connect with `here`.
fn reached(vertices: usize, here: usize, edges: &[Edge]) -> Vec<bool> {
    let mut parts: Vec<usize> = (0..vertices).collect();
    for &Edge { ends: [a, b], .. } in edges {
        let (one, other) = (part_of(&mut parts, a), part_of(&mut parts, b));
        if let Some(place) = parts.get_mut(one) {
            *place = other;
        }
    }
    let ours = part_of(&mut parts, here);
    (0..vertices).map(|at| part_of(&mut parts, at) == ours).collect()
}

/// The representative of the part that a vertex is in. Shortens the way to it.
fn part_of(parts: &mut [usize], vertex: usize) -> usize {
    let mut at = vertex;
    while let Some(&up) = parts.get(at).filter(|&&up| up != at) {
        let above = parts.get(up).copied().unwrap_or(up);
        if let Some(place) = parts.get_mut(at) {
            *place = above;
        }
        at = above;
    }
    at
}

fn is_set(flags: &[bool], at: usize) -> bool {
    flags.get(at).copied().unwrap_or(false)
}
