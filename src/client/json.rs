//! What programs read and write: one JSON object a line. The schema is in docs/client.md.

use jiff::Timestamp;
use serde_json::Value;

use super::recipient::Recipient;
use super::screen::{Line, Report, Said, Way};
use crate::wire::ServerId;

/// The version of the schema. It grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// Everything that happens.
pub const EVENTS: [&str; 24] = [
    "message",
    "notice",
    "problem",
    "logged_in",
    "disconnected",
    "not_connected",
    "you",
    "whoami",
    "who",
    "ignored",
    "pending",
    "lost",
    "not_delivered",
    "done",
    "command_failed",
    "files",
    "file_offered",
    "file_begun",
    "file_received",
    "file_refused",
    "file_discarded",
    "file_failed",
    "file_sent",
    "file_not_sent",
];

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A text, as it came.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A client of a server.
    Person(Recipient),
    /// Several objects.
    List(Vec<Vec<(&'static str, Field)>>),
}

impl From<&str> for Field {
    fn from(text: &str) -> Field {
        Field::Text(text.to_owned())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Field {
        Field::Text(text)
    }
}

impl From<u64> for Field {
    fn from(number: u64) -> Field {
        Field::Number(number)
    }
}

impl From<bool> for Field {
    fn from(flag: bool) -> Field {
        Field::Flag(flag)
    }
}

impl From<&Recipient> for Field {
    fn from(person: &Recipient) -> Field {
        Field::Person(person.clone())
    }
}

/// A line as an object.
pub fn line(line: &Line, now: Timestamp) -> String {
    let mut object = Object::new();
    object.number("v", u64::from(VERSION));
    match line {
        Line::Said(said) => {
            object.text("event", "message");
            object.text("time", &time(now));
            add_said(&mut object, said);
        }
        Line::Notice(report) | Line::Problem(report) => {
            let is_problem = matches!(line, Line::Problem(_));
            let plain = if is_problem { "problem" } else { "notice" };
            debug_assert!(report.event.is_empty() || EVENTS.contains(&report.event), "{}", report.event);
            object.text("event", if report.event.is_empty() { plain } else { report.event });
            object.text("time", &time(now));
            add_report(&mut object, report, is_problem);
        }
    }
    object.end()
}

fn time(now: Timestamp) -> String {
    format!("{now:.3}")
}

fn add_said(object: &mut Object, said: &Said) {
    let person = if said.way == Way::FromUs { "to" } else { "from" };
    object.field(person, &Field::Person(said.who.clone()));
    object.flag("private", said.way != Way::Public);
    object.flag("own", said.is_own);
    object.flag("mention", said.is_mention);
    object.text("text", &said.text);
}

fn add_report(object: &mut Object, report: &Report, is_problem: bool) {
    object.flag("problem", is_problem);
    for (name, field) in &report.fields {
        object.field(name, field);
    }
    if !report.text.is_empty() {
        object.text("text", &report.text);
    }
}

/// An object as it is written: its fields keep their order.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object("{".to_owned())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.0.push_str(&quoted(text));
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.0.push_str(&number.to_string());
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.0.push_str(if flag { "true" } else { "false" });
    }

    fn field(&mut self, name: &str, field: &Field) {
        match field {
            Field::Text(text) => self.text(name, text),
            Field::Number(number) => self.number(name, *number),
            Field::Flag(flag) => self.flag(name, *flag),
            Field::Person(person) => {
                self.name(name);
                let mut inner = Object::new();
                inner.text("nickname", &person.nickname);
                inner.number("server", u64::from(person.server.0));
                self.0.push_str(&inner.end());
            }
            Field::List(objects) => {
                self.name(name);
                let objects = objects.iter().map(|fields| {
                    let mut inner = Object::new();
                    fields.iter().for_each(|(name, field)| inner.field(name, field));
                    inner.end()
                });
                self.0.push_str(&format!("[{}]", objects.collect::<Vec<_>>().join(",")));
            }
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A text as JSON has it. Characters that do something to a terminal are escapes, so that the lines can be looked at.
fn quoted(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    if !quoted.contains(super::escape::is_treacherous) {
        return quoted;
    }
    let mut safe = String::new();
    for char in quoted.chars() {
        if super::escape::is_treacherous(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(char);
        }
    }
    safe
}

/// A command that a program has written: the line that a person would type, with its texts as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The command's name, as after the slash; `say` for a public message.
    pub command: String,
    /// Whom it is about, and the field that says so.
    pub person: Option<(&'static str, Recipient)>,
    /// The text of a message.
    pub text: Option<String>,
    /// A path, a file's name or a nickname, and the field that says so.
    pub name: Option<(&'static str, String)>,
    /// The number of a file.
    pub number: Option<u64>,
    /// Comes back in what answers the command.
    pub id: Option<String>,
}

/// An object that is no command.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its ID, if it has one.
    pub id: Option<String>,
    /// What is wrong with it, in words.
    pub problem: String,
}

/// Reads an object.
///
/// # Errors
/// What is wrong with it.
pub fn request(line: &str) -> Result<Request, Refused> {
    let mut id = None;
    read_request(line, &mut id).map_err(|problem| Refused { id, problem })
}

fn read_request(line: &str, id: &mut Option<String>) -> Result<Request, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    let Value::Object(mut object) = value else { return Err("no JSON object".to_owned()) };
    // A field without a value is none.
    object.retain(|_, value| !value.is_null());
    let mut text = |name: &str| match object.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("\"{name}\" is no text")),
    };
    // First, so that whatever is wrong is said with it.
    *id = text("id")?;
    let command = text("command")?.ok_or("\"command\" is missing")?;
    let (message, name, path) = (text("text")?, text("name")?, text("path")?);
    if name.is_some() && path.is_some() {
        return Err("\"name\" and \"path\": one of them".to_owned());
    }
    let name = name.map(|name| ("name", name)).or(path.map(|path| ("path", path)));
    let mut person = None;
    for name in ["to", "from", "who"] {
        let Some(value) = object.remove(name) else { continue };
        if person.is_some() {
            return Err("\"to\", \"from\" and \"who\": one of them".to_owned());
        }
        let read = recipient(&value)
            .ok_or_else(|| format!("\"{name}\" is no {{\"nickname\":\"bob\",\"server\":7}} and no \"bob@7\""))?;
        person = Some((name, read));
    }
    let number = match object.remove("number") {
        None => None,
        Some(number) => Some(number.as_u64().ok_or("\"number\" is no number")?),
    };
    // A misspelt field would be a silent default.
    if let Some(name) = object.keys().next() {
        return Err(format!("there is no field {name:?}"));
    }
    Ok(Request { command, person, text: message, name, number, id: id.clone() })
}

fn recipient(value: &Value) -> Option<Recipient> {
    match value {
        Value::String(text) => match Recipient::parse(text)? {
            (recipient, "") => Some(recipient),
            _ => None,
        },
        Value::Object(object) => {
            let nickname = object.get("nickname")?.as_str()?;
            let server = u32::try_from(object.get("server")?.as_u64()?).ok()?;
            crate::wire::Nickname::parse(nickname)?;
            (object.len() == 2).then(|| Recipient::new(ServerId(server), nickname))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn ana() -> Recipient {
        Recipient::new(ServerId(7), "ana")
    }

    #[test]
    fn a_message_is_an_object_in_one_line() {
        let text = "hi\n\"you\"\u{1b}\u{202e}".to_owned();
        let said = Said { who: ana(), way: Way::ToUs, text, is_own: false, is_mention: true, is_announcement: false };
        let line = line(&Line::Said(said), Timestamp::from_millisecond(1_800_000_000_123).unwrap());
        let expected = r#"{"v":1,"event":"message","time":"2027-01-15T08:00:00.123Z","from":{"nickname":"ana","server":7},"private":true,"own":false,"mention":true,"text":"hi\n\"you\"\u001b\u202e"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn a_report_has_its_event_its_fields_and_its_text() {
        let report = Report::about("lost", "lost", vec![("in_s", 3.into()), ("who", Field::from(&ana()))]);
        let line = line(&Line::Problem(report), Timestamp::UNIX_EPOCH);
        let expected = r#"{"v":1,"event":"lost","time":"1970-01-01T00:00:00.000Z","problem":true,"in_s":3,"who":{"nickname":"ana","server":7},"text":"lost"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn a_command_is_read_and_a_misspelt_one_is_said() {
        let asked = request(r#"{"command":"msg","to":{"nickname":"ana","server":7},"text":"a\nb","id":"1"}"#).unwrap();
        assert_eq!(
            (asked.person, asked.text.as_deref(), asked.id.as_deref()),
            (Some(("to", ana())), Some("a\nb"), Some("1"))
        );
        let file = request(r#"{"command":"file","to":"ana@7","path":"x","text":null}"#).unwrap();
        assert_eq!(file.name, Some(("path", "x".to_owned())));
        assert_eq!(request(r#"{"comand":"who","id":"1"}"#).unwrap_err().id.as_deref(), Some("1"));
        for (bad, why) in [
            ("[]", "no JSON object"),
            ("{", "no JSON object: "),
            ("{}", "\"command\" is missing"),
            (r#"{"command":1}"#, "\"command\" is no text"),
            (r#"{"command":"msg","to":"ana"}"#, "\"to\" is no "),
            (r#"{"command":"msg","to":"ana@7","who":"ana@7"}"#, "one of them"),
            (r#"{"command":"say","txt":"x"}"#, "there is no field \"txt\""),
        ] {
            let said = request(bad).unwrap_err().problem;
            assert!(said.contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_its_line(text: String) {
            let quoted = quoted(&text);
            let is_broken = quoted.contains(['\n', '\r', '\u{1b}']);
            prop_assert!(!is_broken);
            let back: Value = serde_json::from_str(&quoted).unwrap();
            prop_assert_eq!(back.as_str(), Some(text.as_str()));
        }
    }
}
