//! The user's decisions on files: offered, taken, refused and cancelled ones.

use super::{Abort, Discard, Downloads, Given, Open, Outcome, Refusal, Say, Store, Waiting, What};
use crate::client::escape::Visible;
use crate::client::limits::{OFFER_GONE_MS, OFFERS_MAX, OFFERS_PER_SENDER_MAX, SPOOL_MAX_BYTES};
use crate::client::progress::Direction;
use crate::client::recipient::Recipient;
use crate::limits::CHUNK_BYTES;

/// Whose files a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// The only one there is.
    Only,
    /// All files of one sender.
    From(Recipient),
    /// Files of one sender with this name, as the client has shown it.
    Named(Recipient, String),
    /// The file with this number, as `/files` shows it.
    Number(u64),
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStage {
    /// It is under way, this way.
    Moving(Direction),
    /// It waits for its turn to be read.
    Queued,
    /// It comes in, or has come, and the user has not answered.
    Offered,
}

/// A file, to be named to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its number.
    pub number: u64,
    /// What becomes of it.
    pub stage: FileStage,
    /// What of it is through.
    pub done_bytes: u64,
    /// Its sender, or its receiver.
    pub from: Recipient,
    /// What the sender calls it.
    pub name: String,
    /// Its size, with padding if it was not announced.
    pub bytes: u64,
}

/// What came of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was done; what there is to say about each file was said.
    Done,
    /// There is no file that matches.
    None,
    /// It was not said clearly enough which of these is meant: nothing was done.
    Which(Vec<ListedFile>),
    /// The next file of this sender will be taken.
    Permitted(Recipient),
    /// A permission was taken back.
    Withdrawn(Recipient),
    /// Files are off.
    Off,
}

/// A file that waits for the user's word.
pub(super) struct Offer<'a> {
    pub number: u64,
    pub from: &'a Recipient,
    pub name: &'a str,
    /// What it is going to be.
    pub bytes: u64,
    /// What of it is kept.
    pub spooled_bytes: u64,
    pub asked_ms: u64,
}

impl Offer<'_> {
    fn file(&self) -> ListedFile {
        ListedFile {
            number: self.number,
            stage: FileStage::Offered,
            done_bytes: self.spooled_bytes.min(self.bytes),
            from: self.from.clone(),
            name: self.name.to_owned(),
            bytes: self.bytes,
        }
    }
}

impl Meant {
    /// Whether it is about this file.
    pub fn is(&self, number: u64, from: &Recipient, name: &str) -> bool {
        match self {
            Meant::Number(meant) => *meant == number,
            Meant::Only => true,
            Meant::From(meant) => meant == from,
            Meant::Named(meant, called) => meant == from && (called == name || *called == Visible(name).to_string()),
        }
    }
}

impl<S: Store> Downloads<S> {
    /// The user takes an offer. If there is none, the next file of that sender is permitted.
    pub fn accept(&mut self, meant: &Meant, say: Say<'_>) -> Answered {
        if self.consent.is_off() {
            return Answered::Off;
        }
        let offered = self.offered(meant);
        match meant {
            Meant::Only if offered.len() > 1 || self.is_offer_just_gone() => {
                return Answered::Which(self.all_offered());
            }
            Meant::From(from) if offered.is_empty() => {
                self.consent.permit(from, self.now_ms);
                return Answered::Permitted(from.clone());
            }
            _ if offered.is_empty() => return self.none(),
            _ => {}
        }
        self.accept_open(meant, say);
        let (accepted, others) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| meant.is(waiting.number, &waiting.from, &waiting.name));
        self.waiting = others;
        for waiting in Vec::from_iter::<Vec<Waiting<S::File>>>(accepted) {
            match self.check_total(waiting.bytes) {
                Ok(()) => say(self.keep(waiting)),
                Err(refusal) => {
                    let number = Some(waiting.number);
                    say(Outcome { number, from: waiting.from, name: waiting.name, what: What::Refused(refusal) });
                }
            }
        }
        Answered::Done
    }

    /// The user refuses an offer; a permission is withdrawn.
    pub fn refuse(&mut self, meant: &Meant, say: Say<'_>) -> Answered {
        let offered = self.offered(meant);
        match meant {
            Meant::Only if offered.len() > 1 || self.is_offer_just_gone() => {
                return Answered::Which(self.all_offered());
            }
            Meant::From(from) if self.consent.withdraw(from) && offered.is_empty() => {
                return Answered::Withdrawn(from.clone());
            }
            _ if offered.is_empty() => return self.none(),
            _ => {}
        }
        self.discard(|offer| meant.is(offer.number, offer.from, offer.name), || Discard::Refused, say);
        // The user has answered.
        self.offer_gone_ms = None;
        Answered::Done
    }

    /// Ends files that are being taken. Returns how many.
    pub fn cancel(&mut self, meant: &Meant, say: Say<'_>) -> usize {
        let before = self.open.len();
        self.give_up(
            |open| matches!(open.consent, Given::Yes(_)) && meant.is(open.number, &open.key.from, &open.name),
            || What::Aborted(Abort::Cancelled),
            say,
        );
        before - self.open.len()
    }

    /// The user does not want to hear of this sender any more.
    pub fn on_ignored(&mut self, who: &Recipient, say: Say<'_>) {
        self.consent.withdraw(who);
        self.announcements.retain(|known| known.key.from != *who);
        // The user knows that these offers are gone.
        let gone_ms = self.offer_gone_ms;
        self.cancel(&Meant::From(who.clone()), say);
        self.discard(|offer| offer.from == who, || Discard::Refused, say);
        self.offer_gone_ms = gone_ms;
    }

    /// Files that are being taken.
    pub fn under_way(&self) -> Vec<ListedFile> {
        let file = |open: &Open<S::File>| ListedFile {
            number: open.number,
            stage: FileStage::Moving(Direction::Receiving),
            done_bytes: open.received_bytes().min(open.bytes()),
            from: open.key.from.clone(),
            name: open.name.clone(),
            bytes: open.bytes(),
        };
        self.taken().map(file).collect()
    }

    /// Files that wait for the user's word, the oldest first.
    pub fn all_offered(&self) -> Vec<ListedFile> {
        self.offered(&Meant::Only)
    }

    /// Removes some of the offers, and ignores the rest of them.
    pub(super) fn discard(&mut self, is_meant: impl Fn(&Offer<'_>) -> bool, why: impl Fn() -> Discard, say: Say<'_>) {
        self.give_up(|open| open.offer().is_some_and(|offer| is_meant(&offer)), || What::Discarded(why()), say);
        let (meant, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| is_meant(&waiting.offer()));
        self.waiting = others;
        for Waiting { number, from, name, .. } in Vec::from_iter::<Vec<Waiting<S::File>>>(meant) {
            self.offer_gone_ms = Some(self.now_ms);
            say(Outcome { number: Some(number), from, name, what: What::Discarded(why()) });
        }
    }

    /// Makes room for one more offer. The sender with most of them loses one, but never for a sender with as many.
    pub(super) fn make_room_for_offer(&mut self, from: &Recipient, say: Say<'_>) -> Result<(), Refusal> {
        let theirs = self.offers().filter(|offer| offer.from == from).count();
        if theirs >= OFFERS_PER_SENDER_MAX {
            return Err(Refusal::TooManyOffers);
        }
        if self.offers().count() < OFFERS_MAX {
            return Ok(());
        }
        let count = |from: &Recipient| self.offers().filter(|offer| offer.from == from).count();
        let most = self.offers().map(|offer| (count(offer.from), offer.from)).max_by_key(|&(count, _)| count);
        let Some(holder) = most.filter(|&(count, _)| count > theirs + 1).map(|(_, from)| from.clone()) else {
            return Err(Refusal::TooManyOffers);
        };
        let latest = self.offers().filter(|offer| *offer.from == holder).map(|offer| offer.number).max();
        self.discard(|offer| Some(offer.number) == latest, || Discard::NoRoom, say);
        Ok(())
    }

    /// Keeps the bytes of offers within their bound: the sender with most of them loses its largest offer.
    pub(super) fn bound_spool(&mut self, say: Say<'_>) {
        while self.offers().map(|offer| offer.spooled_bytes).sum::<u64>() > SPOOL_MAX_BYTES {
            let of = |from: &Recipient| -> u64 {
                self.offers().filter(|offer| offer.from == from).map(|offer| offer.spooled_bytes).sum()
            };
            let largest = self.offers().max_by_key(|offer| (of(offer.from), offer.spooled_bytes, offer.number));
            let largest = largest.map(|offer| offer.number);
            self.discard(|offer| Some(offer.number) == largest, || Discard::NoRoom, say);
        }
    }

    /// Offers that have begun to come are taken from now on.
    fn accept_open(&mut self, meant: &Meant, say: Say<'_>) {
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            if !open.offer().is_some_and(|offer| meant.is(offer.number, offer.from, offer.name)) {
                at += 1;
                continue;
            }
            let bytes = open.bytes();
            if let Err(refusal) = self.check_total(bytes) {
                let open = self.open.remove(at);
                self.pass_over(&open);
                say(open.outcome(What::Refused(refusal)));
                continue;
            }
            let received_bytes = open.received_bytes();
            let given = self.given(&open.name, bytes, received_bytes);
            let Some(open) = self.open.get_mut(at) else { return };
            open.consent = given;
            let number = Some(open.number);
            let (from, name) = (open.key.from.clone(), open.name.clone());
            say(Outcome { number, from, name, what: What::Begun { bytes } });
        }
    }

    fn offers(&self) -> impl Iterator<Item = Offer<'_>> {
        self.waiting.iter().map(Waiting::offer).chain(self.open.iter().filter_map(Open::offer))
    }

    fn offered(&self, meant: &Meant) -> Vec<ListedFile> {
        let mut offered: Vec<Offer<'_>> =
            self.offers().filter(|offer| meant.is(offer.number, offer.from, offer.name)).collect();
        offered.sort_by_key(|offer| offer.number);
        offered.iter().map(Offer::file).collect()
    }

    /// Nothing is meant; what there is may help.
    fn none(&self) -> Answered {
        let offered = self.all_offered();
        if offered.is_empty() { Answered::None } else { Answered::Which(offered) }
    }

    fn is_offer_just_gone(&self) -> bool {
        let is_recent = |gone_ms: u64| self.now_ms.saturating_sub(gone_ms) < OFFER_GONE_MS;
        self.offer_gone_ms.is_some_and(is_recent) && self.offers().next().is_some()
    }
}

impl<F> Open<F> {
    fn offer(&self) -> Option<Offer<'_>> {
        let Given::Asked(asked_ms) = self.consent else { return None };
        Some(Offer {
            number: self.number,
            from: &self.key.from,
            name: &self.name,
            bytes: self.bytes(),
            spooled_bytes: self.received_bytes(),
            asked_ms,
        })
    }
}

impl<F> Waiting<F> {
    fn offer(&self) -> Offer<'_> {
        // A file takes some memory whatever its size.
        let spooled_bytes = self.bytes.max(CHUNK_BYTES as u64);
        let (number, from, name) = (self.number, &self.from, self.name.as_str());
        Offer { number, from, name, bytes: self.bytes, spooled_bytes, asked_ms: self.asked_ms }
    }
}
