//! The client for programs: objects out, lines or objects in, and a connection that comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cfp::blocking::{Arrival, PacketStream};
use cfp::wire::{AuthResponse, FrameLimits, Packet};
use serde_json::{Value, json};
use support::{Bare, Client, PATIENCE, Scratch, Server};

/// Starts a bot and waits for its login.
fn start(server: &str, nickname: &str, arguments: &[&str]) -> Client {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([server, nickname, "--json"]).args(arguments);
    Client::spawn(command)
}

/// The next object of an event. Every line up to it has to be one.
fn event(bot: &Client, event: &str) -> Value {
    loop {
        let line = bot.out.expect("");
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(object["v"], 1, "{line}");
        assert!(object["time"].as_str().unwrap().ends_with('Z'), "{line}");
        if object["event"] == event {
            return object;
        }
    }
}

/// The next objects of these events, in whatever order they come.
fn events<const N: usize>(bot: &Client, names: [&str; N]) -> [Value; N] {
    let mut found: [Value; N] = std::array::from_fn(|_| Value::Null);
    while found.iter().any(Value::is_null) {
        let object: Value = serde_json::from_str(&bot.out.expect("")).unwrap();
        if let Some(at) = names.iter().position(|name| object["event"] == *name) {
            found[at] = object;
        }
    }
    found
}

#[test]
fn every_event_is_an_object_and_commands_are_objects_or_lines() {
    let server = Server::start(7, &[]);
    let mut bot = start(&server.address, "bot", &[]);
    let login = event(&bot, "logged_in");
    assert_eq!((&login["server"], &login["nickname"]), (&json!(server.address), &json!("bot")));
    let mut ben = Bare::log_in(&server.address, "ben");
    ben.tell(7, "bot", "hi \"bot\"\n\x1b[2J\u{202e}");
    let message = event(&bot, "message");
    assert_eq!(message["from"], json!({"nickname": "ben", "server": 7}));
    assert_eq!(message["text"], "hi \"bot\"\n\x1b[2J\u{202e}");
    assert_eq!([&message["private"], &message["own"], &message["mention"]], [true, false, true]);
    bot.type_line(r#"{"command":"say","text":"two\nlines","id":"a"}"#);
    let [done, you, message] = events(&bot, ["done", "you", "message"]);
    assert_eq!(done["id"], "a");
    assert_eq!(you["who"], json!({"nickname": "bot", "server": 7}));
    assert_eq!((&message["text"], &message["own"]), (&json!("two\nlines"), &json!(true)));
    bot.type_line("a plain line");
    assert_eq!(event(&bot, "message")["text"], "a plain line");
    bot.type_line(r#"{"command":"msg","to":{"nickname":"nobody","server":7},"text":"x"}"#);
    assert_eq!(event(&bot, "message")["to"], json!({"nickname": "nobody", "server": 7}));
    let failed = event(&bot, "not_delivered");
    assert_eq!((&failed["reason"], &failed["problem"]), (&json!("unknown receiver"), &json!(true)));
    for (line, why) in [
        (r#"{"command":"dance","id":"b"}"#, "is no command"),
        (r#"{"command":"say","txt":"x"}"#, "there is no field \"txt\""),
        ("{", "no JSON object"),
        ("/nope", "there is no command /nope"),
    ] {
        bot.type_line(line);
        let failed = event(&bot, "command_failed");
        assert!(failed["text"].as_str().unwrap().contains(why), "{failed}");
    }
    bot.type_line(r#"{"command":"who"}"#);
    let who = event(&bot, "who");
    assert_eq!(who["people"][0]["who"], json!({"nickname": "ben", "server": 7}));
    assert_eq!(who["people"][0]["how"], "private");
    bot.type_line(r#"{"command":"quit"}"#);
    let (code, out, _) = bot.wait();
    assert_eq!((code, out.len()), (1, 0), "a command failed: {out:?}");
}

#[test]
fn files_are_events_too() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("photo.jpg", 5000);
    let into = folder.path().join("in");
    let mut bot = start(&server.address, "bot", &[]);
    let taker = start(&server.address, "taker", &["--accept-all", "--download", into.to_str().unwrap()]);
    event(&taker, "logged_in");
    bot.type_line(&json!({"command": "file", "to": "taker@7", "path": path}).to_string());
    let begun = event(&taker, "file_begun");
    let from = json!({"nickname": "bot", "server": 7});
    assert_eq!((&begun["from"], &begun["name"], &begun["bytes"]), (&from, &json!("photo.jpg"), &json!(5000)));
    let received = event(&taker, "file_received");
    assert_eq!((&received["number"], &received["checked"]), (&begun["number"], &json!(true)));
    assert_eq!(fs::read(received["path"].as_str().unwrap()).unwrap(), fs::read(&path).unwrap());
    assert!(event(&bot, "file_sent")["text"].as_str().unwrap().starts_with("sent \"photo.jpg\" to taker@7"));
    bot.type_line(r#"{"command":"file","to":"taker@7","path":"/nonexistent/x"}"#);
    assert_eq!(event(&bot, "file_not_sent")["name"], "x");
    assert_eq!(bot.finish().0, 1);
    assert_eq!(taker.finish().0, 0);
}

#[test]
fn a_bot_comes_back_by_itself_and_what_it_was_given_meanwhile_is_sent() {
    let server = Server::start(7, &[]);
    let address = server.address.clone();
    let mut bot = start(&address, "bot", &["--reconnect"]);
    event(&bot, "logged_in");
    server.kill();
    event(&bot, "disconnected");
    bot.type_line("typed meanwhile");
    event(&bot, "not_connected");
    let _server = Server::start_at(&address, 7, &[]);
    event(&bot, "logged_in");
    assert_eq!(event(&bot, "message")["text"], "typed meanwhile");
    let (code, _, err) = bot.finish();
    assert_eq!(code, 0, "{err:?}");
}

#[test]
fn a_script_comes_back_too_and_may_be_started_before_its_server() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([&address, "bot", "--reconnect"]);
    let mut bot = Client::spawn(command);
    bot.err.expect("cannot connect to");
    bot.type_line("early");
    let server = Server::start_at(&address, 7, &[]);
    bot.err.expect("connected to");
    assert_eq!(bot.expect("early"), "[7] bot: early");
    server.kill();
    bot.err.expect("lost the connection to");
    let _server = Server::start_at(&address, 7, &[]);
    bot.err.expect("connected to");
    bot.type_line("again");
    assert_eq!(bot.expect("again"), "[7] bot: again");
    assert_eq!(bot.finish().0, 0);
}

/// A server of a test's own, which lets the next client in.
fn let_in(listener: &TcpListener) -> PacketStream<TcpStream> {
    let mut packets = at_the_door(listener);
    answer_login(&mut packets);
    packets
}

/// The next client, whose login is not answered yet.
fn at_the_door(listener: &TcpListener) -> PacketStream<TcpStream> {
    let mut packets = PacketStream::new(listener.accept().unwrap().0, FrameLimits::DEFAULT);
    assert!(matches!(packets.next_until(Some(Instant::now() + PATIENCE)), Ok(Arrival::Frame(_))));
    packets
}

fn answer_login(packets: &mut PacketStream<TcpStream>) {
    let mut answer = Vec::new();
    Packet::AuthRsp { response: AuthResponse::Accepted }.encode(&mut answer);
    packets.write(&answer, |_| Ok(())).unwrap();
}

/// Takes so many chunks.
fn take_chunks(packets: &mut PacketStream<TcpStream>, mut left: usize) {
    while left > 0 {
        let arrival = packets.next_until(Some(Instant::now() + PATIENCE));
        let Ok(Arrival::Frame(frame)) = arrival else { panic!("{arrival:?} in place of {left} chunks") };
        left -= usize::from(matches!(packets.decoder().packet(&frame), Ok(Packet::FileChnk { .. })));
    }
}

/// The texts of the next public messages, as many as come.
fn said(packets: &mut PacketStream<TcpStream>, max: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < max {
        match packets.next_until(Some(Instant::now() + PATIENCE)) {
            // Another packet asks whether the server is there.
            Ok(Arrival::Frame(frame)) => {
                if let Ok(Packet::MsgPbl { message }) = packets.decoder().packet(&frame) {
                    texts.push(message.to_owned());
                }
            }
            Ok(Arrival::End) => break,
            other => panic!("{other:?}"),
        }
    }
    texts
}

#[test]
fn what_a_bot_was_given_while_its_connection_broke_is_sent_later_or_said_to_be_lost() {
    const GIVEN: usize = 3000;
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut bot = start(&listener.local_addr().unwrap().to_string(), "bot", &["--reconnect"]);
        let mut first = let_in(&listener);
        let lines: String = (0..GIVEN).map(|number| format!("m{number}\n")).collect();
        let typing = thread::spawn(move || {
            bot.type_bytes(lines.as_bytes());
            bot.end_input();
            bot
        });
        assert_eq!(said(&mut first, 100).len(), 100);
        // What was not read makes a reset of the end.
        drop(first);
        let mut second = let_in(&listener);
        let sent = said(&mut second, GIVEN);
        drop(second);
        let (_, out, _) = typing.join().unwrap().wait();
        let mut lost = 0;
        for line in out {
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["event"] == "lost" {
                let text = object["text"].as_str().unwrap();
                let more = text.split_once(" more messages").map(|(before, _)| before.rsplit(' ').next().unwrap());
                lost += more.map_or(1, |more| more.parse::<usize>().unwrap());
            }
        }
        // No message came back, so all of the first connection are lost or perhaps not.
        assert_eq!(sent.len() + lost, GIVEN, "{} sent later, {lost} lost", sent.len());
        let first = GIVEN - sent.len();
        assert!(sent.iter().enumerate().all(|(at, text)| *text == format!("m{}", first + at)), "{sent:?}");
    }
}

#[test]
fn whatever_is_wrong_with_a_command_its_id_comes_back_and_it_is_not_carried_out() {
    let server = Server::start(7, &[]);
    let mut bot = start(&server.address, "bot", &[]);
    for (number, fields) in [
        r#""command":"say","txt":"x""#,
        r#""command":"say","text":1"#,
        r#""command":"say","text":"x","who":"ben@7""#,
        r#""commnd":"say""#,
        r#""command":"msg","to":"ben","text":"x""#,
        r#""command":"msg","from":"ben@7","text":"x""#,
        r#""command":"file","to":"ben@7","name":"/etc/hostname""#,
        r#""command":"nick","path":"eva""#,
        r#""command":"ignore","to":"ben@7""#,
        r#""command":"accept","from":"ben@7","path":"x""#,
        r#""command":"accept""#,
        r#""command":"refuse","number":1"#,
        r#""command":"cancel","number":-1"#,
        r#""command":"cancel","number":1"#,
        r#""command":"cancel""#,
    ]
    .iter()
    .enumerate()
    {
        bot.type_line(&format!("{{{fields},\"id\":\"{number}\"}}"));
        let object = loop {
            let object: Value = serde_json::from_str(&bot.out.expect("")).unwrap();
            if object["event"] != "logged_in" {
                break object;
            }
        };
        assert_eq!(
            (&object["event"], &object["id"]),
            (&json!("command_failed"), &json!(number.to_string())),
            "{fields}: {object}"
        );
    }
    // A field without a value is none.
    bot.type_line(r#"{"command":"ignore","who":null,"text":null,"id":"a"}"#);
    event(&bot, "ignored");
    assert_eq!(event(&bot, "done")["id"], "a");
    assert_eq!(bot.finish().0, 1);
}

#[test]
fn a_file_that_is_read_for_its_sha256_is_listed_with_its_size_and_can_be_stopped() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.path().join("large.bin");
    const SIZE: u64 = 20_000_000_000;
    fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let mut bot = start(&server.address, "bot", &[]);
    bot.type_line(&json!({"command": "file", "to": "ben@7", "path": path}).to_string());
    let listed = loop {
        bot.type_line(r#"{"command":"files"}"#);
        let files = event(&bot, "files");
        if files["files"][0]["stage"] == "hashing" {
            break files["files"][0].clone();
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(listed["bytes"], SIZE);
    bot.type_line(&json!({"command": "cancel", "number": listed["number"]}).to_string());
    let notice = event(&bot, "notice");
    // Its receiver has heard nothing of it.
    assert_eq!(notice["text"], "cancelled \"large.bin\" to ben@7");
    bot.type_line(r#"{"command":"files"}"#);
    assert_eq!(event(&bot, "files")["files"], json!([]));
    assert_eq!(bot.finish().0, 0);
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The options of a text in which each is written as `--name`.
fn options_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn the_page_has_the_options_and_the_commands_of_the_program() {
    let page = read("docs/client.md");
    let options = options_in(cfp::client::options::usage().split("Typed, or read").next().unwrap());
    assert!(options.len() > 15, "{options:?}");
    let rows = page.lines().filter(|line| line.starts_with("| `-")).map(|line| line.split('|').nth(1).unwrap());
    assert_eq!(rows.map(options_in).fold(BTreeSet::new(), |all, some| &all | &some), options);
    for (form, _) in cfp::client::command::HELP {
        let command = form.split_whitespace().next().unwrap();
        assert!(!command.starts_with('/') || page.contains(&format!("| `{command}")), "{command}");
    }
}

#[test]
fn the_page_has_every_event() {
    let page = read("docs/client.md");
    let schema = page.split_once("### Events").unwrap().1.split_once("### Commands").unwrap().0;
    let named: BTreeSet<&str> = schema.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(named, cfp::client::json::EVENTS.into_iter().collect());
}

/// The number that `done` has for this command, and what is said of the file with it. Either may come first.
fn number_and_end(bot: &mut Client, command: &Value, ends: &str) -> (Value, Value) {
    bot.type_line(&command.to_string());
    let [done, end] = events(bot, ["done", ends]);
    assert_eq!((&done["id"], &end["to"], &end["name"]), (&command["id"], &command["to"], &json!("same.bin")));
    (done["number"].clone(), end["number"].clone())
}

#[test]
fn files_of_one_name_to_one_person_are_told_apart_by_their_numbers() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("same.bin", 5000);
    let mut bot = start(&server.address, "bot", &[]);
    event(&bot, "logged_in");
    let mut seen = BTreeSet::new();
    let ben = Bare::log_in(&server.address, "ben");
    let person = |nickname: &str| json!({"nickname": nickname, "server": 7});
    for (id, to, path, ends) in [
        ("a", "ben", path.as_str(), "file_sent"),
        ("b", "ben", path.as_str(), "file_sent"),
        ("c", "ben", "/nonexistent/same.bin", "file_not_sent"),
        // Nobody has this name: an ERROR comes.
        ("d", "nobody", path.as_str(), "file_not_sent"),
    ] {
        let command = json!({"command": "file", "to": person(to), "path": path, "id": id});
        let (begun, ended) = number_and_end(&mut bot, &command, ends);
        assert!(begun.is_u64() && begun == ended, "{id}: {begun} {ended}");
        assert!(seen.insert(begun.as_u64().unwrap()), "{id}");
    }
    ben.close();
    assert_eq!(bot.finish().0, 1);
}

#[test]
fn a_file_that_is_under_way_or_hardly_through_when_the_connection_is_lost_is_said_not_to_be_sent() {
    for bytes in [5000, 5_000_000] {
        let folder = Scratch::new();
        let path = folder.file("same.bin", bytes);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut bot = start(&listener.local_addr().unwrap().to_string(), "bot", &["--reconnect"]);
        let mut first = let_in(&listener);
        let command = json!({"command": "file", "to": "ben@7", "path": path, "id": "a"});
        bot.type_line(&command.to_string());
        let number = event(&bot, "done")["number"].clone();
        take_chunks(&mut first, 1);
        if bytes == 5000 {
            // All of it was taken, but nothing says so.
            thread::sleep(Duration::from_millis(100));
        }
        drop(first);
        let lost = event(&bot, "file_not_sent");
        assert_eq!((&lost["number"], &lost["name"]), (&number, &json!("same.bin")), "{lost}");
        assert_eq!((&lost["to"], &lost["problem"]), (&json!({"nickname": "ben", "server": 7}), &json!(true)), "{lost}");
        let mut second = let_in(&listener);
        bot.end_input();
        assert!(said(&mut second, 1).is_empty());
        drop(second);
        assert_eq!(bot.wait().0, 1);
    }
}

/// Offers a file and returns its number.
fn begin_file(bot: &mut Client, path: &str) -> Value {
    bot.type_line(&json!({"command": "file", "to": "ben@7", "path": path, "id": "file"}).to_string());
    loop {
        let done = event(bot, "done");
        if done["id"] == "file" {
            return done["number"].clone();
        }
    }
}

#[test]
fn a_change_of_the_nickname_hides_no_end_of_a_file_that_just_went_out() {
    let folder = Scratch::new();
    let path = folder.file("same.bin", 5000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bot = start(&listener.local_addr().unwrap().to_string(), "bot", &[]);
    let mut first = let_in(&listener);
    let number = begin_file(&mut bot, &path);
    take_chunks(&mut first, 5);
    loop {
        bot.type_line(r#"{"command":"nick","name":"eva","id":"nick"}"#);
        // The last chunk may not count as written yet.
        if events_until(&bot, &["done", "command_failed"])["event"] == "done" {
            break;
        }
    }
    let mut second = let_in(&listener);
    assert!(said(&mut first, 1).is_empty());
    drop(first);
    assert_eq!(event(&bot, "file_sent")["number"], number);
    bot.end_input();
    assert!(said(&mut second, 1).is_empty());
    drop(second);
    bot.wait();
}

#[test]
fn a_file_that_begins_while_the_nickname_is_changed_goes_on_and_the_nickname_stays() {
    let folder = Scratch::new();
    let path = folder.file("same.bin", 5_000_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bot = start(&listener.local_addr().unwrap().to_string(), "bot", &[]);
    let mut first = let_in(&listener);
    bot.type_line(r#"{"command":"nick","name":"eva","id":"nick"}"#);
    let mut second = at_the_door(&listener);
    let number = begin_file(&mut bot, &path);
    take_chunks(&mut first, 1);
    answer_login(&mut second);
    let problem = event(&bot, "problem");
    let text = problem["text"].as_str().unwrap();
    assert!(text.starts_with("files are under way") && text.ends_with("you are still bot"), "{text}");
    take_chunks(&mut first, 5_000_000_usize.div_ceil(1024) - 1);
    bot.end_input();
    assert!(said(&mut first, 1).is_empty());
    drop(first);
    assert_eq!(event(&bot, "file_sent")["number"], number);
    bot.wait();
}

/// The next object of any of these events.
fn events_until(bot: &Client, names: &[&str]) -> Value {
    loop {
        let object: Value = serde_json::from_str(&bot.out.expect("")).unwrap();
        if names.iter().any(|name| object["event"] == *name) {
            return object;
        }
    }
}

#[test]
fn the_example_of_a_bot_in_the_manual_page_runs() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let page = read("docs/cfp-client.1");
    let example = page.split_once("A bot that comes back by itself:").unwrap().1.split_once(".Sh").unwrap().0;
    let example: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix(".Dl ")).collect();
    let program = env!("CARGO_BIN_EXE_cfp-client");
    let script = example.join("\n").replace("my-bot-logic", "sh logic");
    let script = script.replace("cfp-client chat.example", &format!("exec {program} {}", server.address));
    assert!(script.contains("sh logic") && script.contains(program), "{script}");
    // It says something, waits until that comes back, and leaves.
    let logic = "echo hi\nwhile read -r line; do case $line in *'\"hi\"'*) exit;; esac; done\n";
    fs::write(folder.path().join("logic"), logic).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path());
    let (_, out, err) = Client::spawn(command).wait();
    assert!(out.is_empty() && err.iter().any(|line| line.contains("connected to")), "{out:?} {err:?}");
}
