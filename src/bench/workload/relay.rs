//! A server that is sent public messages by another one. In a routed network, it passes them on over its other links.
//!
//! The other servers are played: they link as routed servers do, and one of them sends. A client of the server under
//! test listens, so that it is known when a burst has arrived.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::bench::server::ServerUnderTest;
use crate::bench::{Doing, Fault, Result};
use crate::limits::ROUTED_DESCRIPTIONS_MAX;
use crate::wire::{
    Description, Descriptions, FrameLimits, Neighbours, Packet, RelayHeader, Scan, ServerId, forward_header,
    relay_header, scan,
};

/// The server that sends; others have the numbers behind it.
const SENDER: u32 = 100;
const INCARNATION: u32 = 1_000;
const LIMITS: FrameLimits =
    FrameLimits { has_routed_codes: true, descriptions_max: ROUTED_DESCRIPTIONS_MAX, ..FrameLimits::DEFAULT };
const TEXT: &str = "the quick brown fox jumps over the lazy dog, and over the lazy d";
/// How long the server may be silent before the measurement is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How much work.
#[derive(Debug, Clone, Copy)]
pub struct RelayPlan {
    /// Messages sent in one write.
    pub window: u64,
    /// How often.
    pub bursts: u64,
}

/// The server under test with what is connected to it.
pub struct Relaying<'s> {
    subject: &'s ServerUnderTest,
    id: ServerId,
    is_routed: bool,
    sender: TcpStream,
    listeners: Vec<TcpStream>,
    number: u32,
}

impl<'s> Relaying<'s> {
    /// Connects so many clients, and besides the sender so many links that are only read.
    pub fn open(
        subject: &'s ServerUnderTest,
        id: ServerId,
        is_routed: bool,
        clients: usize,
        links: usize,
    ) -> Result<Self> {
        let mut listeners = Vec::new();
        for client in 0..clients {
            let mut stream = connect(subject.address)?;
            say(&mut stream, &[Packet::AuthGst { nickname: &format!("listener {client}") }])?;
            stream.read_exact(&mut [0; 2]).doing("a listener got no answer")?;
            listeners.push(stream);
        }
        let mut sender = connect(subject.address)?;
        if is_routed {
            link(&mut sender, SENDER, id)?;
        } else {
            say(&mut sender, &[Packet::MrgReq { server: ServerId(SENDER), siblings: Descriptions::default() }])?;
            await_packet(&mut sender, |packet| matches!(packet, Packet::MrgRsp { .. }).then_some(()))?;
        }
        read_on(sender.try_clone().doing("cannot listen")?);
        for server in (SENDER + 1..).take(links) {
            let mut stream = connect(subject.address)?;
            link(&mut stream, server, id)?;
            read_on(stream);
        }
        Ok(Relaying { subject, id, is_routed, sender, listeners, number: 0 })
    }

    /// What a message costs the server, in nanoseconds of processor time.
    pub fn measure(&mut self, plan: RelayPlan) -> Result<f64> {
        self.bursts(plan.window, plan.bursts / 10 + 1)?;
        let before = self.processor_ns()?;
        self.bursts(plan.window, plan.bursts)?;
        Ok((self.processor_ns()? - before) as f64 / (plan.window * plan.bursts) as f64)
    }

    fn processor_ns(&self) -> Result<u64> {
        std::thread::sleep(Duration::from_millis(5));
        let meter = self.subject.meter.ok_or_else(|| Fault::Usage("this needs a process".into()))?;
        meter.processor_ns().ok_or_else(|| Fault::Wrong("the server ended".into()))
    }

    fn bursts(&mut self, window: u64, count: u64) -> Result<()> {
        let origin = ServerId(SENDER);
        let mut message = Vec::new();
        Packet::MsgPblInc { origin, sender: "speaker", message: TEXT }.encode(&mut message);
        let expected = message.repeat(window as usize);
        let mut got = vec![0; expected.len()];
        for _ in 0..count {
            let mut burst = Vec::with_capacity(expected.len() + 17 * window as usize);
            for _ in 0..window {
                self.number += 1;
                let header =
                    RelayHeader { destination: self.id, origin, incarnation: INCARNATION, number: self.number };
                match self.is_routed {
                    true => burst.extend_from_slice(&relay_header(&header)),
                    false => burst.extend_from_slice(&forward_header(self.id)),
                }
                burst.extend_from_slice(&message);
            }
            self.sender.write_all(&burst).doing("cannot send as a server")?;
            for listener in &mut self.listeners {
                listener.read_exact(&mut got).doing("a listener did not get all")?;
                if got != expected {
                    return Err(Fault::Wrong("a listener got something else".into()));
                }
            }
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).doing("cannot connect")?;
    stream.set_read_timeout(Some(SILENCE_MAX)).doing("cannot set a timeout")?;
    stream.set_nodelay(true).doing("cannot set an option")?;
    Ok(stream)
}

fn say(stream: &mut TcpStream, packets: &[Packet<'_>]) -> Result<()> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes));
    stream.write_all(&bytes).doing("cannot speak")
}

/// Links as the routed server of this number does, whose only neighbour is the server under test.
fn link(stream: &mut TcpStream, server: u32, with: ServerId) -> Result<()> {
    let port = server + 1;
    let mut mark = server.to_be_bytes().to_vec();
    mark.extend(Ipv4Addr::LOCALHOST.octets());
    mark.extend(port.to_be_bytes());
    mark.extend_from_within(..);
    let siblings = Descriptions::new(&mark).unwrap_or_default();
    say(stream, &[Packet::MrgReq { server: ServerId(server), siblings }, Packet::Hello { stamp: 0 }])?;
    let stamp = await_packet(stream, |packet| match packet {
        Packet::Hello { stamp } => Some(stamp + 1),
        _ => None,
    })?;
    let list = [with.0.to_be_bytes(), stamp.to_be_bytes()].concat();
    let description = Description { server: ServerId(server), address: Ipv4Addr::LOCALHOST, port };
    let neighbours = Neighbours::new(&list).unwrap_or_default();
    say(stream, &[Packet::Links { server: description, incarnation: INCARNATION, version: 1, neighbours }])
}

/// Reads packets until one of them is what is looked for.
fn await_packet<T>(stream: &mut TcpStream, look: impl Fn(&Packet<'_>) -> Option<T>) -> Result<T> {
    let (mut input, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte).doing("no link comes about")?;
        input.extend_from_slice(&byte);
        if let Scan::Packet { .. } = scan(&input, &LIMITS) {
            let found = Packet::decode(&input).ok().and_then(|packet| look(&packet));
            if let Some(found) = found {
                return Ok(found);
            }
            input.clear();
        }
    }
}

/// Reads all that comes, and throws it away, until the server ends.
fn read_on(mut stream: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 18];
        let _ = stream.set_read_timeout(None);
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
}
