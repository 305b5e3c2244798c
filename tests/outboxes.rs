//! Waiting output, compared with the plainest model: a `Vec<u8>` for each connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::io::IoSlice;

use cfp::core::output::outbox::{Outbox, Output};
use cfp::limits::SLICES_PER_WRITE;
use cfp::wire::{Envelope, Packet, ServerId};
use proptest::prelude::*;
use proptest::sample::Index;

const CLIENTS: usize = 3;
const LINKS: usize = 2;

/// What happens to them.
#[derive(Debug, Clone)]
enum Step {
    /// A message of this size for all.
    Publish(usize),
    /// A message of this size for one connection alone.
    Push(Index, usize),
    /// The kernel takes this many bytes of one.
    Write(Index, usize),
    /// Every connection is offered its waiting output, and takes at most this much. Then the turn is over.
    EndTurn(usize),
    /// One gets nothing more.
    Leave(Index),
    /// One is closed at once.
    Discard(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![8 => 0..20usize, 4 => 0..2_000usize, 1 => 0..200_000usize];
    let who = any::<Index>;
    prop_oneof![
        8 => size().prop_map(Step::Publish),
        8 => (who(), size()).prop_map(|(who, bytes)| Step::Push(who, bytes)),
        8 => (who(), size()).prop_map(|(who, bytes)| Step::Write(who, bytes)),
        6 => size().prop_map(Step::EndTurn),
        1 => who().prop_map(Step::Leave),
        1 => who().prop_map(Step::Discard),
    ]
}

/// One connection: the real thing, and what it must come to.
struct Pair {
    outbox: Outbox,
    /// Whose link it is.
    server: Option<ServerId>,
    is_in: bool,
    waiting: Vec<u8>,
    /// For a link: the sizes of the packets in `waiting`, and whether the first has begun.
    packets: Vec<usize>,
    has_begun: bool,
}

impl Pair {
    fn wait_for(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.packets.push(bytes.len());
    }

    /// What the kernel would be offered must be the front of what waits; it takes `most` of it.
    fn write(&mut self, most: usize, output: &mut Output) {
        assert_eq!(self.outbox.pending_bytes(output), self.waiting.len());
        self.outbox.set_destination(output);
        let offered = match self.outbox.only_slice(output) {
            Some(slice) => {
                assert_eq!(slice.len(), self.waiting.len(), "all in one piece");
                slice.to_vec()
            }
            None => {
                let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
                let count = self.outbox.gather(output, &mut slices);
                assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
                slices[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>()
            }
        };
        assert!(self.waiting.starts_with(&offered), "in order, and with nothing between");
        assert!(self.waiting.is_empty() || !offered.is_empty(), "what waits is offered");
        let taken = most.min(offered.len());
        self.outbox.advance(taken, output);
        self.waiting.drain(..taken);
        let mut left = taken;
        while left > 0 {
            let part = left.min(self.packets[0]);
            self.packets[0] -= part;
            self.has_begun = self.packets[0] > 0;
            left -= part;
            if self.packets[0] == 0 {
                self.packets.remove(0);
            }
        }
    }

    /// A link's packets of which nothing was written, in the model and as the link reports them.
    fn check_undelivered(&mut self, output: &mut Output) {
        if self.server.is_none() {
            return;
        }
        let mut rest = &self.waiting[..];
        let mut expected = Vec::new();
        for (index, &len) in self.packets.iter().enumerate() {
            let (packet, after) = rest.split_at(len);
            rest = after;
            if index > 0 || !self.has_begun {
                expected.push(packet.to_vec());
            }
        }
        let (mut packet, mut undelivered) = (Vec::new(), Vec::new());
        while self.outbox.pop_undelivered(&mut packet, output) {
            undelivered.push(packet.clone());
        }
        assert_eq!(undelivered, expected);
    }
}

fn run(steps: Vec<Step>) {
    let mut output = Output::default();
    let mut pairs: Vec<Pair> = Vec::new();
    for index in 0..CLIENTS + LINKS {
        let mut pair = Pair {
            outbox: Outbox::default(),
            server: (index >= CLIENTS).then_some(ServerId(index as u32)),
            is_in: true,
            waiting: Vec::new(),
            packets: Vec::new(),
            has_begun: false,
        };
        // Said before it is anybody.
        pair.outbox.push(b"\x10\x02", &mut output);
        pair.wait_for(b"\x10\x02");
        match pair.server {
            Some(server) => pair.outbox.enter_mesh(server, &mut output),
            None => pair.outbox.join_public(&output),
        }
        pairs.push(pair);
    }
    let mut said = 0u8;
    for step in steps {
        said = said.wrapping_add(1);
        let text = |bytes: usize| vec![said; bytes + 1];
        match step {
            Step::Publish(bytes) => {
                let message = text(bytes);
                output.public.append(&message);
                output.link_batch.append(&Envelope::Forward(ServerId(0)), &message);
                for pair in pairs.iter_mut().filter(|pair| pair.is_in) {
                    match pair.server {
                        Some(server) => pair.wait_for(&[b"\x50", &server.0.to_be_bytes()[..], &message].concat()),
                        None => pair.wait_for(&message),
                    }
                }
            }
            Step::Push(who, bytes) => {
                let pair = who.get_mut(&mut pairs);
                if pair.is_in {
                    pair.outbox.push(&text(bytes), &mut output);
                    pair.wait_for(&text(bytes));
                }
            }
            Step::Write(who, most) => who.get_mut(&mut pairs).write(most, &mut output),
            Step::EndTurn(most) => {
                pairs.iter_mut().for_each(|pair| pair.write(most, &mut output));
                output.link_batch.clear();
                output.public.trim();
            }
            Step::Leave(who) => {
                let pair = who.get_mut(&mut pairs);
                pair.outbox.leave(&mut output);
                pair.is_in = false;
            }
            Step::Discard(who) => {
                let pair = who.get_mut(&mut pairs);
                pair.check_undelivered(&mut output);
                pair.outbox.discard(&mut output);
                (pair.is_in, pair.has_begun) = (false, false);
                (pair.waiting, pair.packets) = (Vec::new(), Vec::new());
            }
        }
        let lent: usize = pairs.iter().map(|pair| pair.outbox.held_bytes()).sum();
        assert_eq!(lent, output.queues.lent_bytes(), "what is lent is what they hold");
        for pair in &pairs {
            assert_eq!(pair.outbox.pending_bytes(&output), pair.waiting.len());
            assert!(pair.outbox.held_bytes() >= pair.outbox.private_bytes(), "nothing is held uncounted");
        }
    }
    for pair in &mut pairs {
        while !pair.waiting.is_empty() {
            pair.write(usize::MAX, &mut output);
        }
        pair.outbox.discard(&mut output);
    }
    output.link_batch.clear();
    output.public.trim();
    assert_eq!((output.held_bytes(), output.public.pins()), (0, 0), "nothing is left");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said_to_all_or_to_one_is_written_once_in_order_and_counted_as_what_it_takes(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        run(steps);
    }
}

#[test]
fn many_that_leave_far_behind_keep_the_log_once_and_copy_nothing() {
    let mut output = Output::default();
    let mut clients: Vec<Outbox> = (0..60).map(|_| Outbox::default()).collect();
    clients.iter_mut().for_each(|client| client.join_public(&output));
    let message = vec![b'x'; 1_000_000];
    output.public.append(&message);
    clients.iter_mut().for_each(|client| client.advance(0, &mut output));
    let before = output.held_bytes();
    clients.iter_mut().for_each(|client| client.leave(&mut output));
    output.public.trim();
    assert_eq!(output.held_bytes(), before);
    output.public.append(b"not for them");
    for client in &mut clients {
        let mut got = Vec::new();
        while client.pending_bytes(&output) > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let count = client.gather(&output, &mut slices);
            got.extend(slices[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>());
            let taken = slices[..count].iter().map(|slice| slice.len()).sum();
            client.advance(taken, &mut output);
        }
        assert_eq!(got, message);
    }
    output.public.trim();
    assert_eq!(output.held_bytes(), 0);
}

#[test]
fn an_error_between_every_two_public_messages_is_counted_as_the_memory_that_it_takes() {
    let mut output = Output::default();
    let mut client = Outbox::default();
    client.join_public(&output);
    let mut error = Vec::new();
    Packet::Error { sender: "a", reason: cfp::wire::ErrorReason::UnknownServer }.encode(&mut error);
    for _ in 0..10_000 {
        output.public.append(b"x");
        client.push(&error, &mut output);
    }
    client.advance(0, &mut output);
    // Each of them keeps its place in the log, in sixteen bytes.
    assert!(client.held_bytes() > 10_000 * (error.len() + 16), "{}", client.held_bytes());
    assert!(client.held_bytes() < 10_000 * (error.len() + 16) * 21 / 20, "{}", client.held_bytes());
    client.discard(&mut output);
    output.public.trim();
    assert_eq!(output.held_bytes(), 0);
}
