//! Every packet with its sender, its receiver and its outcome: S5 and S6.

use std::collections::{BTreeMap, BTreeSet};

use super::dice::Dice;

/// The kinds that keep an order of their own (D12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Public,
    Private,
    Chunk,
}

/// How a sender's server and another one were linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkState {
    /// Counts the changes on both sides.
    pub epoch: u32,
    /// The sender's side has a link. In a routed network: every table on the way leads there.
    pub near_up: bool,
    /// The sender's side knows a server of that ID, if perhaps not the one that has it now.
    pub knows_id: bool,
    /// It is one link, seen from both sides.
    pub both_up: bool,
    /// In a routed network: counts the losses in the whole of it, and the ways that have changed.
    pub upsets: Option<u32>,
}

/// A sent packet.
#[derive(Debug)]
pub struct Item {
    pub sender: usize,
    pub class: Class,
    /// A private packet's receiver; `None` if the nickname was not in use.
    pub receiver: Option<usize>,
    /// A private one's destination.
    pub destination: usize,
    pub sent_at: u64,
    /// For each host.
    pub links: Vec<LinkState>,
    delivered: BTreeSet<usize>,
}

/// A person, as far as deliveries go.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub host: usize,
    /// In steps of the world.
    pub logged_in_at: Option<u64>,
    /// Still on that connection, to the same process.
    pub is_connected: bool,
    pub errors: usize,
}

#[derive(Debug, Default)]
pub struct Ledger {
    items: Vec<Item>,
    of_sender: BTreeMap<usize, Vec<usize>>,
    last: BTreeMap<(usize, usize, Class), usize>,
}

/// What the world has to tell.
pub trait View {
    fn standing(&self, person: usize) -> Standing;
    fn link(&self, near: usize, far: usize) -> LinkState;
}

impl Ledger {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn deliveries(&self) -> usize {
        self.items.iter().map(|item| item.delivered.len()).sum()
    }

    /// How many packets a person has got.
    pub fn deliveries_to(&self, person: usize) -> usize {
        self.items.iter().filter(|item| item.delivered.contains(&person)).count()
    }

    /// Notes a packet that is about to be sent. The number that comes back has to be part of it.
    pub fn add(
        &mut self,
        sender: usize,
        class: Class,
        receiver: Option<usize>,
        destination: usize,
        sent_at: u64,
        links: Vec<LinkState>,
    ) -> usize {
        let number = self.items.len();
        let delivered = BTreeSet::new();
        self.items.push(Item { sender, class, receiver, destination, sent_at, links, delivered });
        self.of_sender.entry(sender).or_default().push(number);
        number
    }

    pub fn sender(&self, number: usize) -> Option<usize> {
        self.items.get(number).map(|item| item.sender)
    }

    /// A public message, and its sender.
    pub fn overhear(&self, dice: &mut Dice) -> Option<(usize, usize)> {
        let number = dice.below(self.items.len());
        self.items.get(number).filter(|item| item.class == Class::Public).map(|item| (number, item.sender))
    }

    /// `person` has got it.
    pub fn receive(&mut self, person: usize, number: usize, class: Class, view: &impl View) {
        let item = self.items.get(number).expect("what arrives was sent");
        let sender = item.sender;
        assert_eq!(item.class, class, "#{number} arrives as what it was sent as");
        if class != Class::Public {
            assert_eq!(item.receiver, Some(person), "#{number} arrives where it was sent");
        }
        assert!(!item.delivered.contains(&person), "S5: #{number} from {sender} arrives twice at {person}");
        let last = |class| self.last.get(&(sender, person, class)).copied();
        assert!(
            last(class).is_none_or(|last| last < number),
            "S5, S6: #{number} from {sender} out of order at {person}"
        );
        if class == Class::Private {
            let overtakes = last(Class::Chunk).is_some_and(|chunk| chunk > number);
            assert!(!overtakes, "D12: a chunk from {sender} has overtaken #{number} at {person}");
        }
        let after = last(class).map_or(0, |last| last + 1);
        let of_sender = self.of_sender.get(&sender).expect("senders have items");
        for &earlier in of_sender.iter().filter(|&&earlier| earlier >= after && earlier < number) {
            let earlier_item = &self.items[earlier];
            // A private one may have been refused (D49): its ERROR is missed in the end, if it was not.
            let is_alike = earlier_item.class == class && class == Class::Public;
            if is_alike && is_due(earlier_item, person, view) {
                panic!("S5, S6: {person} gets #{number} from {sender} but never got #{earlier}");
            }
        }
        self.last.insert((sender, person, class), number);
        self.items[number].delivered.insert(person);
    }

    /// Everything is quiet: what can still arrive has arrived.
    pub fn check(&self, people: usize, view: &impl View) {
        for (number, item) in self.items.iter().enumerate() {
            let sender = view.standing(item.sender);
            if !sender.is_connected && item.delivered.is_empty() {
                continue;
            }
            for person in (0..people).filter(|_| item.class == Class::Public) {
                let has_it = item.delivered.contains(&person);
                assert!(has_it || !is_due(item, person, view), "S5, S6: #{number} {item:?} never reached {person}");
            }
        }
        for (&sender, numbers) in &self.of_sender {
            let standing = view.standing(sender);
            if standing.is_connected {
                self.check_errors(sender, &standing, numbers, view);
            }
        }
    }

    /// One ERROR for each that failed or was refused, none for others (D13, D49).
    fn check_errors(&self, sender: usize, standing: &Standing, numbers: &[usize], view: &impl View) {
        let single = numbers.iter().map(|&number| &self.items[number]).filter(|item| item.class != Class::Public);
        let missing: Vec<&Item> = single.filter(|item| item.delivered.is_empty()).collect();
        let fails = |item: &&Item| {
            let then = item.links[item.destination];
            let is_steady = then.epoch == view.link(standing.host, item.destination).epoch;
            let is_here = item.destination == standing.host;
            let nobody = item.receiver.is_none() && (is_here || is_steady && then.both_up);
            let refused = item.receiver.is_some_and(|person| is_due(item, person, view));
            nobody || refused || !is_here && is_steady && !then.knows_id
        };
        let failed: Vec<&Item> = missing.iter().copied().filter(fails).collect();
        let errors = standing.errors;
        assert!(
            errors >= failed.len(),
            "S6: {sender} got {errors} ERRORs for {} that failed: {failed:?}",
            failed.len()
        );
        let missing = missing.len();
        assert!(errors <= missing, "S6: {sender} got {errors} ERRORs, but only {missing} did not arrive");
    }
}

/// Whether nothing happened to the connections that `item` goes over to `person`, from its being sent until now.
fn is_due(item: &Item, person: usize, view: &impl View) -> bool {
    let (receiver, sender) = (view.standing(person), view.standing(item.sender));
    let was_there = receiver.logged_in_at.is_some_and(|since| since < item.sent_at);
    let then = item.links[receiver.host];
    let now = view.link(sender.host, receiver.host);
    let is_steady = then.both_up && then.epoch == now.epoch;
    // Whoever knows a way can use it at once: news runs ahead of what is sent.
    let is_calm = then.near_up && then.upsets.is_some() && then.upsets == now.upsets;
    let is_linked = sender.host == receiver.host || is_steady || is_calm;
    receiver.is_connected && was_there && is_linked
}
