#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::tests::{ANA, Bench, chunked};
use super::*;
use crate::client::consent::FilePolicy;
use crate::client::limits::{
    OFFER_GONE_MS, OFFERS_MAX, OFFERS_PER_SENDER_MAX, PASSED_OVER_MAX, PASSED_OVER_MS, PERMIT_MS, SPOOL_MAX_BYTES,
};
use crate::wire::ServerId;

const BEN: Sender<'static> = Sender { origin: ServerId(7), nickname: "ben" };

fn asking() -> Bench {
    Bench::with(Consent::new(FilePolicy::Ask, Vec::new()), u64::MAX)
}

fn ana() -> Recipient {
    Recipient::new(ServerId(7), "ana")
}

fn ben() -> Recipient {
    Recipient::new(ServerId(7), "ben")
}

impl Bench {
    fn accept(&mut self, meant: &Meant) -> Answered {
        self.downloads.accept(meant, &mut |outcome| self.said.push(outcome))
    }

    fn refuse(&mut self, meant: &Meant) -> Answered {
        self.downloads.refuse(meant, &mut |outcome| self.said.push(outcome))
    }

    fn time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.downloads.on_time(now_ms, &mut |outcome| self.said.push(outcome));
    }

    /// Sends all of a file.
    fn send(&mut self, from: Sender<'_>, transfer_id: u32, name: &str, content: &[u8]) {
        self.announce(from, transfer_id, name, content);
        let chunks = chunked(content);
        for chunk in &chunks {
            self.chunk(from, transfer_id, name, chunks.len() as u32, chunk);
        }
    }

    fn lines(&self) -> Vec<String> {
        self.said.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_file_is_offered_and_comes_out_whole_whenever_it_is_accepted() {
    let content: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
    let chunks = chunked(&content);
    for accepted_at in [1, 2, 100, chunks.len()] {
        let mut bench = asking();
        bench.announce(ANA, 1, "photo.jpg", &content);
        for (at, chunk) in (1..).zip(&chunks) {
            bench.chunk(ANA, 1, "photo.jpg", chunks.len() as u32, chunk);
            assert_eq!(bench.lines()[0], "ana@7 offers \"photo.jpg\", 300.0 kB: /accept or /refuse");
            if at == accepted_at {
                assert_eq!(bench.said.len(), 1);
                assert_eq!(bench.accept(&Meant::Only), Answered::Done);
            }
        }
        assert!(matches!(bench.last(), What::Checked { bytes: 300_000, .. }), "{:?}", bench.lines());
        assert_eq!(bench.kept("photo.jpg"), content);
        assert_eq!(bench.accept(&Meant::Only), Answered::None);
        assert_eq!(bench.memory.incomplete(), 0);
    }
}

#[test]
fn a_refused_file_is_removed_and_what_still_comes_of_it_is_passed_over() {
    let mut bench = asking();
    for number in 0..10 {
        bench.chunk(ANA, 1, "x", 10, &[1; 1024]);
        if number == 4 {
            assert_eq!(bench.refuse(&Meant::From(ana())), Answered::Done);
            assert_eq!(bench.memory.incomplete(), 0);
        }
    }
    assert_eq!(bench.lines()[1..], ["refused \"x\" from ana@7"]);
    assert_eq!(bench.refuse(&Meant::Only), Answered::None);
    // The next one is a new offer.
    bench.chunk(ANA, 1, "x", 10, &[1; 1024]);
    assert!(matches!(bench.last(), What::Offered { is_announced: false, .. }));
}

#[test]
fn what_nobody_answers_is_discarded_and_said_to_be() {
    let mut bench = asking();
    bench.send(ANA, 1, "done", b"abc");
    bench.time(OFFER_MS - 1);
    assert_eq!(bench.said.len(), 1);
    bench.time(OFFER_MS);
    assert_eq!(
        bench.lines()[1],
        "\"done\" from ana@7 was offered and is discarded: no answer for 5 minutes; /accept ana@7 takes the next file, \
         if it is sent again"
    );
    assert_eq!(bench.memory.incomplete(), 0);
}

#[test]
fn without_an_offer_the_next_file_is_permitted_once() {
    let mut bench = asking();
    assert_eq!(bench.accept(&Meant::Only), Answered::None);
    assert_eq!(bench.accept(&Meant::From(ana())), Answered::Permitted(ana()));
    bench.send(BEN, 1, "other", b"x");
    assert!(matches!(bench.last(), What::Offered { .. }));
    bench.send(ANA, 1, "one", b"abc");
    assert_eq!(bench.kept("one"), b"abc");
    bench.send(ANA, 2, "two", b"abc");
    assert!(matches!(bench.last(), What::Offered { .. }));
    // Taken back, and over after an hour.
    assert_eq!(bench.refuse(&Meant::From(ana())), Answered::Done);
    for is_withdrawn in [true, false] {
        bench.accept(&Meant::From(ana()));
        if is_withdrawn {
            assert_eq!(bench.refuse(&Meant::From(ana())), Answered::Withdrawn(ana()));
        } else {
            bench.time(PERMIT_MS);
        }
        bench.send(ANA, 3, "three", b"abc");
        assert!(matches!(bench.last(), What::Offered { .. }));
        bench.refuse(&Meant::From(ana()));
    }
}

#[test]
fn with_several_offers_it_must_be_said_which_and_nothing_is_taken_by_mistake() {
    let mut bench = asking();
    for (id, name) in [(1, "same.txt"), (2, "same.txt"), (3, "other.txt")] {
        bench.send(ANA, id, name, b"abc");
    }
    bench.send(BEN, 1, "ben.txt", b"abc");
    assert!(matches!(bench.accept(&Meant::Only), Answered::Which(all) if all.len() == 4));
    assert!(matches!(bench.refuse(&Meant::Only), Answered::Which(all) if all.len() == 4));
    assert!(matches!(bench.accept(&Meant::Named(ana(), "ben.txt".into())), Answered::Which(_)));
    assert_eq!(bench.said.len(), 4);
    assert_eq!(bench.accept(&Meant::Named(ana(), "same.txt".into())), Answered::Done);
    assert_eq!((bench.said.len(), bench.memory.incomplete()), (6, 2));
    assert_eq!(bench.refuse(&Meant::From(ana())), Answered::Done);
    assert_eq!(bench.accept(&Meant::Only), Answered::Done);
    assert_eq!(bench.kept("ben.txt"), b"abc");
    assert_eq!(bench.memory.incomplete(), 0);
}

#[test]
fn an_offer_that_has_just_gone_is_not_mistaken_for_another() {
    let mut bench = asking();
    bench.send(ANA, 1, "wanted", b"abc");
    bench.time(1000);
    bench.send(BEN, 1, "unwanted", b"abc");
    bench.time(OFFER_MS);
    assert!(matches!(bench.last(), What::Discarded(Discard::Unanswered)));
    // The user may have read the first alone.
    assert!(matches!(bench.accept(&Meant::Only), Answered::Which(all) if all.len() == 1));
    assert_eq!(bench.accept(&Meant::From(ben())), Answered::Done);
    bench.send(ANA, 2, "later", b"abc");
    bench.time(OFFER_MS + OFFER_GONE_MS);
    assert_eq!(bench.accept(&Meant::Only), Answered::Done);
    assert_eq!(bench.kept("later"), b"abc");
}

#[test]
fn what_was_accepted_is_what_is_taken_and_nothing_under_its_transfer_id() {
    for (name, chunks) in [("evil.sh", 3), ("photo.jpg", 4)] {
        let mut bench = asking();
        bench.announce(ANA, 1, "photo.jpg", &[1; 3000]);
        bench.chunk(ANA, 1, "photo.jpg", 3, &[1; 1024]);
        bench.accept(&Meant::Only);
        bench.chunk(ANA, 1, name, chunks, &[2; 1024]);
        assert!(matches!(bench.said[2].what, What::Aborted(Abort::Replaced)));
        assert!(matches!(bench.last(), What::Offered { is_announced: false, .. }), "{:?}", bench.lines());
        assert_eq!(bench.memory.kept_len(), 0);
    }
}

#[test]
fn a_transfer_id_that_is_used_again_while_its_file_waits_begins_another_offer() {
    let mut bench = asking();
    bench.send(ANA, 1, "x", b"one");
    bench.send(ANA, 1, "x", b"two");
    assert_eq!(bench.downloads.all_offered().len(), 2);
    bench.accept(&Meant::From(ana()));
    assert_eq!(bench.said.iter().filter(|said| matches!(said.what, What::Checked { bytes: 3, .. })).count(), 2);
}

#[test]
fn an_offer_that_is_damaged_or_stops_is_removed_and_said() {
    let mut bench = asking();
    bench.announce(ANA, 1, "x", b"abc");
    bench.chunk(ANA, 1, "x", 1, &chunked(b"abd")[0]);
    assert!(matches!(bench.last(), What::Aborted(Abort::Damaged)));
    bench.chunk(ANA, 2, "y", 2, &[1; 1024]);
    bench.time(DOWNLOAD_IDLE_MS);
    assert!(matches!(bench.last(), What::Aborted(Abort::Stopped)));
    assert_eq!(bench.memory.incomplete(), 0);
}

#[test]
fn the_rest_of_what_was_given_up_begins_no_new_file() {
    let mut bench = Bench::new(u64::MAX);
    bench.chunk(ANA, 1, "x", 4, &[1; 1024]);
    bench.time(DOWNLOAD_IDLE_MS);
    assert!(matches!(bench.last(), What::Aborted(Abort::Stopped)));
    bench.chunk(ANA, 1, "x", 4, &[1; 1024]);
    // Nor does it after a new connection.
    bench.downloads.on_disconnected(&mut |outcome| bench.said.push(outcome));
    bench.chunk(ANA, 1, "x", 4, &[1; 1024]);
    assert_eq!(bench.said.len(), 2);
    // Announced anew it does, whatever was left of the old one.
    bench.announce(ANA, 1, "x", &[1; 4096]);
    bench.chunk(ANA, 1, "x", 4, &[1; 1024]);
    assert!(matches!(bench.last(), What::Begun { bytes: 4096 }));
    bench.downloads.on_disconnected(&mut |outcome| bench.said.push(outcome));
    assert!(matches!(bench.last(), What::Aborted(Abort::Disconnected)));
    bench.time(2 * PASSED_OVER_MS);
    bench.chunk(ANA, 1, "x", 4, &[1; 1024]);
    assert!(matches!(bench.last(), What::Begun { .. }));
}

#[test]
fn a_flood_of_refused_files_forgets_the_flooders_own() {
    let mut bench = Bench::with(Consent::new(FilePolicy::Nobody, Vec::new()), u64::MAX);
    bench.chunk(BEN, 1, "x", 2, &[1; 1024]);
    for id in 0..10_000 {
        bench.chunk(ANA, id, "x", 2, &[1; 1024]);
    }
    let before = bench.said.len();
    bench.chunk(BEN, 1, "x", 2, &[1; 1024]);
    assert_eq!(bench.said.len(), before);
    for name in 0..1000 {
        bench.chunk(Sender { nickname: &name.to_string(), ..ANA }, 1, "x", 2, &[1; 1024]);
    }
    assert_eq!(bench.downloads.passed_over.len(), PASSED_OVER_MAX);
}

#[test]
fn what_waits_for_an_answer_has_a_bound_and_who_has_sent_most_loses_first() {
    let mut bench = asking();
    bench.send(BEN, 1, "ben", &[1; 3000]);
    let chunks = (SPOOL_MAX_BYTES / 1024) as u32;
    for id in 0..2 {
        for _ in 0..chunks / 2 {
            bench.chunk(ANA, id, "large", chunks, &[1; 1024]);
        }
    }
    let discarded: Vec<&Outcome> =
        bench.said.iter().filter(|said| matches!(said.what, What::Discarded(Discard::NoRoom))).collect();
    assert!(discarded.len() == 1 && discarded[0].from == ana(), "{:?}", bench.lines());
    assert_eq!(bench.downloads.all_offered().len(), 2);
    let one = bench.said.len();
    for _ in 0..chunks {
        bench.chunk(ANA, 2, "larger", chunks + 1, &[1; 1024]);
    }
    assert!(bench.said.len() > one && bench.memory.incomplete() <= 2, "{:?}", bench.lines());
    assert_eq!(bench.accept(&Meant::From(ben())), Answered::Done);
    assert_eq!(bench.kept("ben").len(), 3000);
}

#[test]
fn offers_are_few_and_who_has_most_makes_room() {
    let mut bench = asking();
    for id in 0..100 {
        bench.send(ANA, id, "a", b"x");
    }
    assert_eq!(bench.downloads.all_offered().len(), OFFERS_PER_SENDER_MAX);
    assert!(matches!(bench.last(), What::Refused(Refusal::TooManyOffers)));
    for name in 0..OFFERS_MAX {
        bench.send(Sender { nickname: &name.to_string(), ..ANA }, 1, "b", b"x");
    }
    assert_eq!(bench.downloads.all_offered().len(), OFFERS_MAX);
    let of_ana = |bench: &Bench| bench.downloads.all_offered().iter().filter(|file| file.from == ana()).count();
    assert_eq!(of_ana(&bench), 1);
    // Now every sender has one, and a later sender takes none away.
    bench.send(BEN, 1, "c", b"x");
    assert!(matches!(bench.last(), What::Refused(Refusal::TooManyOffers)));
    assert_eq!(of_ana(&bench), 1);
}

#[test]
fn of_a_file_that_is_hardly_too_large_each_byte_is_said() {
    let said = |bytes, left_bytes| Refusal::TooLarge { bytes, left_bytes }.to_string();
    assert_eq!(said(1001, 1000), "1001 bytes are more than --max-download allows, which leaves 1000 bytes");
    assert_eq!(said(2000, 1000), "2.0 kB are more than --max-download allows, which leaves 1.0 kB");
}

#[test]
fn all_that_a_run_takes_has_a_bound() {
    let mut bench = Bench::new(10_000);
    for id in 0..5 {
        bench.send(ANA, id, &id.to_string(), &[1; 3000]);
    }
    assert_eq!(bench.memory.kept_len(), 3);
    assert_eq!(
        bench.lines().last().unwrap(),
        "\"4\" from ana@7 is not taken: 3.0 kB are more than --max-download allows, which leaves 1.0 kB"
    );
    // Also over connections, and for what the user accepts; what was removed does not count.
    bench.downloads.on_disconnected(&mut |_| {});
    bench.announce(ANA, 9, "damaged", b"abc");
    bench.chunk(ANA, 9, "damaged", 1, &[1; 1024]);
    bench.send(ANA, 10, "last", &[1; 1000]);
    assert_eq!(bench.memory.kept_len(), 4);
    let mut bench = Bench::with(Consent::new(FilePolicy::Ask, Vec::new()), 4000);
    for id in 0..2 {
        bench.send(ANA, id, &id.to_string(), &[1; 3000]);
    }
    bench.chunk(ANA, 3, "begun", 3, &[1; 1024]);
    assert_eq!(bench.accept(&Meant::From(ana())), Answered::Done);
    assert_eq!((bench.memory.kept_len(), bench.memory.incomplete()), (0, 1));
    assert_eq!(bench.said.iter().filter(|said| matches!(said.what, What::Refused(_))).count(), 2);
}

#[test]
fn what_is_taken_can_be_cancelled_and_offers_are_no_part_of_it() {
    let mut bench = asking();
    bench.chunk(ANA, 1, "x", 3, &[1; 1024]);
    bench.accept(&Meant::Only);
    bench.chunk(BEN, 1, "y", 3, &[1; 1024]);
    assert_eq!(bench.downloads.under_way().len(), 1);
    for (meant, count) in [(Meant::From(ben()), 0), (Meant::Named(ana(), "y".into()), 0), (Meant::Only, 1)] {
        assert_eq!(bench.downloads.cancel(&meant, &mut |outcome| bench.said.push(outcome)), count, "{meant:?}");
    }
    bench.chunk(ANA, 1, "x", 3, &[1; 1024]);
    assert_eq!(bench.lines().last().unwrap(), "cancelled \"x\" from ana@7; what came was removed");
    assert_eq!(bench.memory.incomplete(), 1);
}

#[test]
fn leaving_discards_what_waits_and_says_so() {
    let mut bench = asking();
    bench.send(ANA, 1, "x", b"abc");
    bench.chunk(ANA, 2, "y", 2, &[1; 1024]);
    bench.downloads.on_leaving(&mut |outcome| bench.said.push(outcome));
    assert_eq!(bench.said.iter().filter(|said| matches!(said.what, What::Discarded(Discard::Leaving))).count(), 2);
    assert_eq!(bench.memory.incomplete(), 0);
}

#[test]
fn who_is_not_asked_about_is_refused_or_taken_at_once() {
    let consent = |policy| Consent::new(policy, vec![ben()]);
    let mut bench = Bench::with(consent(FilePolicy::Named), u64::MAX);
    bench.send(ANA, 1, "x", b"abc");
    assert!(matches!(bench.last(), What::Refused(Refusal::NobodyToAsk)));
    bench.send(BEN, 1, "x", b"abc");
    assert!(matches!(bench.last(), What::Checked { .. }));
    // A program that drives the client may still permit a file.
    bench.accept(&Meant::From(ana()));
    bench.send(ANA, 2, "x", b"abc");
    assert!(matches!(bench.last(), What::Checked { .. }));
    let mut bench = Bench::with(consent(FilePolicy::Nobody), u64::MAX);
    bench.send(ANA, 1, "x", b"abc");
    assert!(matches!(bench.last(), What::Refused(Refusal::Off)));
    assert_eq!(bench.accept(&Meant::From(ana())), Answered::Off);
}
