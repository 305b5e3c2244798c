//! What goes wrong, and what people do meanwhile.

use std::io::ErrorKind;

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{FileChunk, Packet};

use super::ledger::{Class, View};
use super::people::{Person, Role, garbage};
use super::pipes::{EndId, Later, Owner};
use super::world::{Event, World, pair};

impl World {
    /// Something goes wrong, or a client comes; and then again.
    pub fn fault(&mut self) {
        if !self.is_chaos {
            return;
        }
        let interval = self.plan.fault_interval_ms;
        let delay = self.dice.between(interval / 4, interval * 2);
        self.after(delay, Event::Fault);
        let weights = self.plan.fault_weights;
        let mut drawn = self.dice.below(weights.iter().sum::<u64>().max(1) as usize) as u64;
        let kind = weights.iter().position(|&weight| {
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it
        });
        let host = self.dice.below(self.hosts.len());
        let is_up = self.hosts[host].engine.is_some();
        match kind {
            Some(0) => self.break_link(),
            Some(1) => self.silence_link(),
            Some(2) => self.cut(host),
            Some(3) if is_up => self.kill(host),
            Some(4) if is_up => self.power_off(host),
            Some(5) => self.stall(host),
            Some(6) => drop(self.operate(host, "shutdown")),
            Some(7) => {
                if let Some(&(asks, asked)) = self.dice.pick(&self.plan.merges) {
                    let name = self.plan.name(asked, self.hosts[asked].moved);
                    self.operate(asks, &format!("merge {name}"));
                }
            }
            Some(8) => self.add_person(),
            Some(9) => {
                let nickname = Person::nickname(self.dice.below(self.people.len() + 1));
                self.operate(host, &format!("kick {nickname}"));
            }
            Some(10) => self.add_busybody(),
            _ => {}
        }
    }

    /// Faults end: every server that belongs to the world comes back, and everything gets through again.
    pub fn calm(&mut self) {
        self.trace(|_| "faults stop".to_owned());
        self.is_chaos = false;
        for (a, b) in self.cuts.clone() {
            self.heal(a, b);
        }
        for pipe in self.pipes(|_, _| true) {
            let both = (0..2).all(|side| self.net.borrow().is_end_open(EndId { pipe, side }));
            if both && self.dice.chance(700) {
                self.net.borrow_mut().unsilence(pipe);
            }
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].is_stalled = false;
            self.wake(host, 0);
        }
        for person in 0..self.people.len() {
            self.people[person].is_reading = true;
            self.wake_person(person);
        }
        self.collect();
    }

    fn between_servers(&mut self) -> Option<usize> {
        let links = self.pipes(|near, far| ![near, far].iter().any(|owner| matches!(owner, Owner::Person(_))));
        self.dice.pick(&links).copied()
    }

    /// Both sides learn of it, one perhaps much later.
    fn break_link(&mut self) {
        let Some(pipe) = self.between_servers() else { return };
        self.trace(|_| format!("pipe {pipe} breaks"));
        let first = self.dice.below(2);
        self.net.borrow_mut().break_end(EndId { pipe, side: first }, ErrorKind::ConnectionReset);
        let latest = if self.dice.chance(500) { 10 } else { 8000 };
        let delay = self.dice.between(0, latest);
        self.after(delay, Event::Pipe(Later::Reset(EndId { pipe, side: 1 - first })));
        self.count("breaks");
    }

    fn silence_link(&mut self) {
        let Some(pipe) = self.between_servers() else { return };
        self.trace(|_| format!("pipe {pipe} falls silent"));
        self.silence(pipe);
        self.count("silences");
    }

    fn cut(&mut self, host: usize) {
        let other = self.dice.below(self.hosts.len());
        if other == host {
            return;
        }
        self.cut_off(host, other);
        let delay = self.dice.between(100, 40_000);
        self.after(delay, Event::Heal(host, other));
        self.count("cuts");
    }

    /// Nothing gets through between the two any more.
    pub fn cut_off(&mut self, host: usize, other: usize) {
        self.trace(|_| format!("{host} and {other} do not reach each other"));
        self.cuts.insert(pair(host, other));
        let owners = [Owner::Host(host), Owner::Host(other)];
        for pipe in self.pipes(|near, far| near != far && owners.contains(&near) && owners.contains(&far)) {
            self.silence(pipe);
        }
    }

    fn kill(&mut self, host: usize) {
        self.stop(host);
        self.plan_restart(host);
        self.count("kills");
    }

    /// Its kernel says nothing to anybody, until it is back.
    fn power_off(&mut self, host: usize) {
        for pipe in self.pipes(|near, far| [near, far].contains(&Owner::Host(host))) {
            self.silence(pipe);
            let is_noticed = self.dice.chance(500);
            let delay = self.dice.between(0, 20_000);
            let side = usize::from(self.net.borrow().pipes[pipe].ends[0].owner == Owner::Host(host));
            if is_noticed {
                self.after(delay, Event::Pipe(Later::Reset(EndId { pipe, side })));
            }
        }
        self.kill(host);
    }

    fn stall(&mut self, host: usize) {
        if self.hosts[host].is_stalled {
            return;
        }
        self.trace(|_| format!("{host} stalls"));
        self.hosts[host].is_stalled = true;
        let latest = if self.dice.chance(700) { 500 } else { 20_000 };
        let delay = self.dice.between(1, latest);
        self.after(delay, Event::Resume(host));
        self.count("stalls");
    }

    /// An operator comes with one command. Returns the operator.
    pub fn operate(&mut self, host: usize, command: &str) -> Option<usize> {
        let number = self.visit(Role::Operator, host)?;
        self.trace(|_| format!("operator {number} at {host}: {command}"));
        self.people[number].send(format!("{command}\n").as_bytes());
        self.count("commands");
        Some(number)
    }

    /// An operator that sends many commands at once, and leaves without reading the answers.
    fn add_busybody(&mut self) {
        let Some(&(host, asked)) = self.dice.pick(&self.plan.merges) else { return };
        let merge = format!("merge {}", self.plan.name(asked, self.hosts[asked].moved));
        let lines =
            ["status", "clients", "siblings", "metrics", "help", "reload", "kick p0", "what?", "forget 99", &merge];
        let mut text = String::new();
        for _ in 0..self.dice.between(1, 6) {
            text.push_str(self.dice.pick(&lines).copied().unwrap_or_default());
            text.push('\n');
        }
        text.truncate(self.dice.between(1, text.len() as u64) as usize);
        let Some(number) = self.operate(host, &text) else { return };
        let delay = self.dice.between(0, 5000);
        self.after(delay, Event::Leave(number));
    }

    /// A client or a vandal comes to some server.
    pub fn add_person(&mut self) {
        let is_vandal = self.dice.chance(150);
        let host = self.dice.below(self.hosts.len());
        let come = if is_vandal { self.visit(Role::Vandal, host) } else { self.add_talker(host) };
        let Some(number) = come else {
            // No server listens there yet.
            if self.is_chaos {
                let delay = self.dice.between(1, 2000);
                self.after(delay, Event::Come);
            }
            return;
        };
        self.after(0, Event::Act(number));
    }

    /// A client comes to this server and logs in.
    pub fn add_talker(&mut self, host: usize) -> Option<usize> {
        let number = self.visit(Role::Talker, host)?;
        self.people[number].say(&Packet::AuthGst { nickname: &Person::nickname(number) });
        Some(number)
    }

    /// One of the people does something.
    pub fn act(&mut self, number: usize) {
        if !self.is_chaos || self.people[number].end.is_none() {
            return;
        }
        let delay = self.dice.between(1, self.plan.talk_interval_ms * 2);
        self.after(delay, Event::Act(number));
        if self.people[number].role == Role::Vandal {
            let bytes = garbage(&mut self.dice);
            self.people[number].send(&bytes);
        }
        let choice = self.dice.below(1000);
        if choice < 10 && self.dice.chance(300) {
            self.people[number].end = None;
        } else if !self.people[number].may_talk() {
            self.wake_person(number);
        } else {
            self.talk(number, choice);
        }
    }

    fn talk(&mut self, number: usize, choice: usize) {
        match choice {
            0..20 => self.people[number].has_half_closed = true,
            20..100 => self.people[number].is_reading ^= true,
            100..500 => self.say_in_public(number),
            500..800 => {
                let talkers: Vec<usize> = self.people.iter().filter(|p| p.may_talk()).map(|p| p.number).collect();
                let receiver = self.dice.pick(&talkers).copied();
                for _ in 0..self.dice.between(1, 4) {
                    self.say_in_private(number, receiver);
                }
            }
            800..830 => self.say_in_private(number, None),
            _ => {}
        }
        self.wake_person(number);
    }

    fn text(&mut self, item: usize) -> String {
        let longest = if self.dice.chance(50) { self.plan.max_message_bytes.min(9000) } else { 100 };
        let padding = self.dice.below(longest - 20);
        format!("#{item}#{:padding$}", "")
    }

    pub fn note(&mut self, sender: usize, class: Class, receiver: Option<usize>, destination: usize) -> usize {
        let host = self.people[sender].host;
        let links = (0..self.hosts.len()).map(|far| self.link(host, far)).collect();
        let item = self.ledger.add(sender, class, receiver, destination, self.step, links);
        self.trace(|_| format!("{sender} at {host} says #{item} {class:?} to {receiver:?} at {destination}"));
        item
    }

    pub fn say_in_public(&mut self, sender: usize) {
        let host = self.people[sender].host;
        let item = self.note(sender, Class::Public, None, host);
        let message = self.text(item);
        self.people[sender].say(&Packet::MsgPbl { message: &message });
    }

    /// A message or a chunk, to a client or to an unused nickname.
    fn say_in_private(&mut self, sender: usize, receiver: Option<usize>) {
        let host = receiver.map_or_else(|| self.dice.below(self.hosts.len()), |number| self.people[number].host);
        let destination = self.hosts[host].id;
        if self.hosts.iter().filter(|other| other.id == destination).count() == 1 {
            self.say_in_private_at(sender, receiver, host);
        }
    }

    /// A message or a chunk to a server whose ID, as the sender's server knows it, means no other one.
    pub fn say_in_private_at(&mut self, sender: usize, receiver: Option<usize>, host: usize) {
        let destination = self.hosts[host].id;
        let nickname = receiver.map_or("ghost".to_owned(), Person::nickname);
        let class = if self.dice.chance(300) { Class::Chunk } else { Class::Private };
        let item = self.note(sender, class, receiver, host);
        if class == Class::Chunk {
            let content = &[7; CHUNK_BYTES];
            let chunk = FileChunk { transfer_id: item as u32, file_name: "f", chunks: 1, content };
            self.people[sender].say(&Packet::FileChnk { destination, receiver: &nickname, chunk });
        } else {
            let message = self.text(item);
            self.people[sender].say(&Packet::MsgPrv { destination, receiver: &nickname, message: &message });
        }
    }
}
