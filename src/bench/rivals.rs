//! As much of other chat servers' protocols as the same workloads need: RESP2 (Redis), NATS's text protocol, and
//! MQTT 3.1.1 with quality of service 0.
//!
//! A room is a topic to which every member subscribes. Private messages go to a topic with the receiver's nickname, to
//! which that member subscribes.

use super::message::Hello;

/// The topic of public messages.
pub const ROOM: &str = "room";

/// Redis: subscribes, or as a publisher says PING.
pub fn redis_hello(nickname: &str, is_publisher: bool) -> Hello {
    if is_publisher {
        return Hello { greeting: b"*1\r\n$4\r\nPING\r\n".to_vec(), answer: b"+PONG\r\n".to_vec() };
    }
    let greeting = format!("*3\r\n$9\r\nSUBSCRIBE\r\n$4\r\n{ROOM}\r\n${}\r\n{nickname}\r\n", nickname.len());
    let answer = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{nickname}\r\n:2\r\n", nickname.len());
    Hello { greeting: greeting.into_bytes(), answer: answer.into_bytes() }
}

/// Redis: the bytes sent and the bytes delivered.
pub fn redis_message(topic: &str, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (topic_len, len) = (topic.len(), message.len());
    let sent = format!("*3\r\n$7\r\nPUBLISH\r\n${topic_len}\r\n{topic}\r\n${len}\r\n");
    let delivered = format!("*3\r\n$7\r\nmessage\r\n${topic_len}\r\n{topic}\r\n${len}\r\n");
    (framed(sent.as_bytes(), message, b"\r\n"), framed(delivered.as_bytes(), message, b"\r\n"))
}

/// NATS: connects and subscribes; the answer to the PING behind it says that both are done.
pub fn nats_hello(nickname: &str, is_publisher: bool) -> Hello {
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}\r\n";
    let subscribe = if is_publisher { String::new() } else { format!("SUB {ROOM} 1\r\nSUB {nickname} 2\r\n") };
    Hello { greeting: format!("{connect}{subscribe}PING\r\n").into_bytes(), answer: PONG.to_vec() }
}

/// NATS: the bytes sent and the bytes delivered.
pub fn nats_message(topic: &str, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let sent = format!("PUB {topic} {}\r\n", message.len());
    let subscription = if topic == ROOM { 1 } else { 2 };
    let delivered = format!("MSG {topic} {subscription} {}\r\n", message.len());
    (framed(sent.as_bytes(), message, b"\r\n"), framed(delivered.as_bytes(), message, b"\r\n"))
}

/// NATS: the answer to its question whether a client is alive.
pub const PONG: &[u8] = b"PONG\r\n";

/// NATS: takes that question off the front of `bytes`, and says whether it was there.
pub fn take_ping(bytes: &mut &[u8]) -> bool {
    let rest = bytes.strip_prefix(b"PING\r\n");
    *bytes = rest.unwrap_or(bytes);
    rest.is_some()
}

/// MQTT: CONNECT and SUBSCRIBE in one; CONNACK and SUBACK come back.
pub fn mqtt_hello(nickname: &str, is_publisher: bool) -> Hello {
    let mut connect = vec![0, 4];
    connect.extend_from_slice(b"MQTT");
    // Level 4 is MQTT 3.1.1; a clean session; no keep-alive.
    connect.extend_from_slice(&[4, 2, 0, 0]);
    mqtt_text(nickname, &mut connect);
    let mut greeting = mqtt_packet(0x10, &connect);
    let mut answer = vec![0x20, 2, 0, 0];
    if !is_publisher {
        let mut subscribe = vec![0, 1];
        for topic in [ROOM, nickname] {
            mqtt_text(topic, &mut subscribe);
            subscribe.push(0);
        }
        greeting.extend(mqtt_packet(0x82, &subscribe));
        answer.extend_from_slice(&[0x90, 4, 0, 1, 0, 0]);
    }
    Hello { greeting, answer }
}

/// MQTT: a PUBLISH is delivered as it is sent.
pub fn mqtt_message(topic: &str, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut publish = Vec::new();
    mqtt_text(topic, &mut publish);
    publish.extend_from_slice(message);
    let packet = mqtt_packet(0x30, &publish);
    (packet.clone(), packet)
}

fn framed(head: &[u8], message: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, message, tail].concat()
}

fn mqtt_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The length is written seven bits at a time, the lowest first.
fn mqtt_packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut len = body.len();
    while len > 127 {
        packet.push((len & 127) as u8 | 128);
        len >>= 7;
    }
    packet.push(len as u8);
    packet.extend_from_slice(body);
    packet
}
