//! Scrapers of metrics, and health checks.

use std::net::SocketAddr;

use super::{Engine, Request};
use crate::core::engine::connection::{Connection, Phase};
use crate::core::engine::socket::Socket;
use crate::core::session::scraper::Reply;
use crate::core::session::{Scraper, Session};
use crate::core::state::address::AddressGroup;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::state::process::ProcessFigures;
use crate::core::time::Millis;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// A scraper has connected. If all places are taken, another one is closed, so that a health check always gets in.
    pub fn on_scraper(&mut self, socket: S, remote: Option<SocketAddr>, now: Millis) -> Option<Key> {
        self.now = now;
        if self.shutdown_since.is_some() {
            return None;
        }
        if self.scrapers.len() >= limits::SCRAPERS_MAX
            && let Some(key) = self.scraper_to_give_way()
        {
            self.scrapers.retain(|&other| other != key);
            self.close(key, CloseReason::GaveWay, CloseMode::Now);
        }
        let session = Session::Scraper(Scraper::default());
        let key = self.connections.insert(|serial| {
            // Its request has most often come with it: it is answered before the next one is let in.
            Connection { is_readable: true, ..Connection::new(socket, serial, remote, session, now) }
        });
        self.scrapers.push(key);
        self.schedule(key);
        self.enqueue(key);
        Some(key)
    }

    /// A scraper that has had its answer goes first. Else the oldest from the address with most of the places goes, so
    /// that a crowd from one address takes no place from another. One /64 of IPv6 is one address.
    fn scraper_to_give_way(&self) -> Option<Key> {
        let scrapers = || self.scrapers.iter().filter_map(|&key| Some((key, self.connections.get(key)?)));
        let is_answered = |connection: &Connection<S>| !matches!(connection.phase, Phase::Open | Phase::Draining(_));
        let group =
            |connection: &Connection<S>| connection.remote.address().map(|address| AddressGroup::of(address.ip()));
        let places_of = |from| scrapers().filter(|(_, other)| group(other) == from).count();
        // Of several that are equal, `max_by_key` takes the last one.
        let ranked = scrapers().rev().max_by_key(|(_, c)| (is_answered(c), places_of(group(c))));
        ranked.map(|(key, _)| key)
    }

    /// A part of a scraper's request. The whole of it is answered, and the connection closed.
    pub(super) fn handle_http(&mut self, key: Key, input: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let mut inbox = self.intake.take(connection);
        let mut head = inbox.take_kept();
        head.extend_from_slice(input);
        let Session::Scraper(scraper) = &mut connection.session else { return };
        let reply = scraper.on_input(&head);
        if reply == Reply::Pending {
            inbox.keep(&head, &mut self.intake.buffers);
        }
        self.intake.put(connection, inbox, self.now);
        self.intake.buffers.give(head);
        match reply {
            Reply::Pending => {}
            Reply::Answer(answer) => self.answer_scraper(key, &answer),
            Reply::Metrics => self.requests.push_back(Request::Measure { asked_by: key }),
        }
    }

    /// The reactor has measured the process: operators and scrapers that asked for the metrics get them.
    pub fn on_measured(&mut self, asked_by: Key, process: &ProcessFigures, now: Millis) {
        self.now = now;
        let metrics = self.metrics(process);
        match self.connections.get_mut(asked_by).map(|connection| &mut connection.session) {
            Some(Session::Scraper(scraper)) => {
                let answer = scraper.with_metrics(&metrics);
                self.answer_scraper(asked_by, &answer);
            }
            _ => self.answer_operator(asked_by, &(metrics + "ok\n")),
        }
    }

    fn answer_scraper(&mut self, key: Key, answer: &str) {
        self.effects.send_encoded(key, answer.as_bytes());
        self.effects.close(key, CloseReason::Left, CloseMode::AfterWriting);
        self.apply_effects();
    }
}
