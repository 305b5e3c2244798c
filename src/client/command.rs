//! A typed line: a message or a command.

use std::fmt;
use std::path::PathBuf;

use super::download::Meant;
use super::escape::Visible;
use super::json::Request;
use super::limits::MESSAGE_MAX_BYTES;
use super::paths;
use super::people::{Meaning, People};
use super::recipient::Recipient;
use crate::wire::Nickname;

/// A line as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line with nothing in it.
    Nothing,
    /// A public message.
    Say(String),
    /// A private message.
    Tell(Recipient, String),
    /// A file for a receiver.
    File(Recipient, PathBuf),
    /// Take an offered file.
    Accept(Meant),
    /// Do not take it.
    Refuse(Meant),
    /// Stop a file that is under way.
    Cancel(Meant),
    /// Which files are under way or wait?
    Files,
    /// Who was heard?
    Who,
    /// Who are we?
    WhoAmI,
    /// Show nothing of this person; without one, who is that?
    Ignore(Option<Recipient>),
    /// Show this person's messages again.
    Unignore(Recipient),
    /// Be called otherwise.
    Nick(String),
    /// Connect anew.
    Reconnect,
    /// Clear the screen.
    Clear,
    /// Log to a file, or where does the log go?
    Log(Option<PathBuf>),
    /// Log no more.
    LogOff,
    /// Leave.
    Quit,
    /// What can be typed?
    Help,
}

/// A line that can't be carried out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// Not a command.
    Unknown(String),
    /// The command goes otherwise.
    Usage(&'static str),
    /// So many bytes are too many for a message.
    TooLong(usize),
    /// Several people have this nickname.
    Which(Vec<Recipient>),
    /// Nobody has written, and we have written to nobody.
    NobodyToReplyTo,
    /// Nobody can be called that.
    Nickname(String),
    /// What a program has written is no command.
    Object(String),
}

/// What some editors put before the first line of a file.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// The commands with what they take, as `/help` shows them.
pub const HELP: [(&str, &str); 19] = [
    ("some text", "public message"),
    ("/msg NICKNAME@ID some text", "private message"),
    ("/reply some text", "private message to who wrote last"),
    ("/file NICKNAME@ID PATH", "send a file"),
    ("/accept [NICKNAME@ID [NAME]]", "take an offered file, or the next one"),
    ("/refuse [NICKNAME@ID [NAME]]", "refuse an offered file"),
    ("/cancel [NICKNAME@ID [NAME]]", "stop files from or to that person"),
    ("/files", "list files; /cancel N stops number N"),
    ("/who", "list who was heard, where and when"),
    ("/whoami", "say who you are"),
    ("/ignore [NICKNAME@ID]", "show nothing of that person any more"),
    ("/unignore NICKNAME@ID", "show that person's messages again"),
    ("/nick NICKNAME", "log in under another nickname"),
    ("/reconnect", "connect anew"),
    ("/clear", "clear the screen"),
    ("/log [FILE]", "append lines to a file; /log off ends it"),
    ("/help", "show this"),
    ("/quit", "leave"),
    ("//text", "public message that starts with a slash"),
];

/// What completion offers for a line that starts with a slash.
pub const NAMES: [&str; 17] = [
    "/accept ",
    "/cancel ",
    "/clear",
    "/file ",
    "/files",
    "/help",
    "/ignore ",
    "/log ",
    "/msg ",
    "/nick ",
    "/quit",
    "/reconnect",
    "/refuse ",
    "/reply ",
    "/unignore ",
    "/who",
    "/whoami",
];

/// Commands that take a person.
pub const NAMES_WITH_SOMEBODY: [&str; 7] =
    ["/accept ", "/cancel ", "/file ", "/ignore ", "/msg ", "/refuse ", "/unignore "];

const MSG: &str = "/msg NICKNAME@ID some text";
const REPLY: &str = "/reply some text";
const FILE: &str = "/file NICKNAME@ID PATH";
const ACCEPT: &str = "/accept [NICKNAME@ID [NAME]]";
const REFUSE: &str = "/refuse [NICKNAME@ID [NAME]]";
const CANCEL: &str = "/cancel [NICKNAME@ID [NAME]], or /cancel N";
const IGNORE: &str = "/ignore [NICKNAME@ID]";
const UNIGNORE: &str = "/unignore NICKNAME@ID";

impl Command {
    /// Reads a line, which has no line break at its end. `people` says who is meant by a nickname alone.
    ///
    /// A byte-order mark before it can't be seen and means nothing, but would make a public message of a command. Files
    /// put together have one in their middle, too.
    ///
    /// # Errors
    /// Why it cannot be carried out.
    pub fn parse(line: &str, people: &People) -> Result<Command, Mistake> {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let Some(command) = line.strip_prefix('/') else {
            return if line.trim().is_empty() { Ok(Command::Nothing) } else { Ok(Command::Say(fitting(line)?)) };
        };
        if command.starts_with('/') {
            return Ok(Command::Say(fitting(command)?));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = rest.trim();
        let alone = |command, usage| if argument.is_empty() { Ok(command) } else { Err(Mistake::Usage(usage)) };
        match name {
            "msg" => {
                let (to, text) = recipient(rest.trim_start(), people, MSG)?;
                Ok(Command::Tell(to, message(text, MSG)?))
            }
            "reply" | "r" => {
                if argument.is_empty() {
                    return Err(Mistake::Usage(REPLY));
                }
                Ok(Command::Tell(people.reply_to().cloned().ok_or(Mistake::NobodyToReplyTo)?, fitting(rest)?))
            }
            "file" => {
                let (to, path) = recipient(rest.trim_start(), people, FILE)?;
                match path.trim() {
                    "" => Err(Mistake::Usage(FILE)),
                    path => Ok(Command::File(to, paths::expand(path))),
                }
            }
            "accept" => Ok(Command::Accept(meant(argument, people, ACCEPT)?)),
            "refuse" => Ok(Command::Refuse(meant(argument, people, REFUSE)?)),
            "cancel" => Ok(Command::Cancel(meant(argument, people, CANCEL)?)),
            "ignore" if argument.is_empty() => Ok(Command::Ignore(None)),
            "ignore" => Ok(Command::Ignore(Some(only_recipient(argument, people, IGNORE)?))),
            "unignore" => Ok(Command::Unignore(only_recipient(argument, people, UNIGNORE)?)),
            "nick" => nick(argument),
            "log" => Ok(match argument {
                "" => Command::Log(None),
                "off" => Command::LogOff,
                path => Command::Log(Some(paths::expand(path))),
            }),
            "files" => alone(Command::Files, "/files"),
            "who" => alone(Command::Who, "/who"),
            "whoami" => alone(Command::WhoAmI, "/whoami"),
            "reconnect" => alone(Command::Reconnect, "/reconnect"),
            "clear" => alone(Command::Clear, "/clear"),
            "quit" => alone(Command::Quit, "/quit"),
            "help" => Ok(Command::Help),
            _ => Err(Mistake::Unknown(name.to_owned())),
        }
    }

    /// The command that a program has written as an object.
    ///
    /// # Errors
    /// Why it cannot be carried out.
    pub fn of(request: Request, people: &People) -> Result<Command, Mistake> {
        let Request { command, person, text, name, number, .. } = request;
        // The fields as they are for this command: another command's are a mistake.
        let (to, from, who) = match person {
            None => (None, None, None),
            Some(("to", person)) => (Some(person), None, None),
            Some(("from", person)) => (None, Some(person), None),
            Some((_, person)) => (None, None, Some(person)),
        };
        let (name, path) = match name {
            None => (None, None),
            Some(("path", path)) => (None, Some(path)),
            Some((_, name)) => (Some(name), None),
        };
        Ok(match (command.as_str(), (to, from, who), text, (name, path), number) {
            ("say", (None, None, None), Some(text), (None, None), None) => Command::Say(fitting(&text)?),
            ("msg", (Some(to), None, None), Some(text), (None, None), None) => Command::Tell(to, fitting(&text)?),
            ("reply", (None, None, None), Some(text), (None, None), None) => {
                Command::Tell(people.reply_to().cloned().ok_or(Mistake::NobodyToReplyTo)?, fitting(&text)?)
            }
            ("file", (Some(to), None, None), None, (None, Some(path)), None) if !path.is_empty() => {
                Command::File(to, paths::expand(path))
            }
            ("accept", (None, from, None), None, (name, None), number) => {
                Command::Accept(meant_by(from, name, number)?)
            }
            ("refuse", (None, from, None), None, (name, None), number) => {
                Command::Refuse(meant_by(from, name, number)?)
            }
            ("cancel", (None, from, None), None, (name, None), number) => {
                Command::Cancel(meant_by(from, name, number)?)
            }
            ("ignore", (None, None, who), None, (None, None), None) => Command::Ignore(who),
            ("unignore", (None, None, Some(who)), None, (None, None), None) => Command::Unignore(who),
            ("nick", (None, None, None), None, (Some(name), None), None) => nick(&name)?,
            ("log", (None, None, None), None, (None, path), None) => Command::Log(path.map(paths::expand)),
            (bare, (None, None, None), None, (None, None), None) => match bare {
                "log_off" => Command::LogOff,
                "files" => Command::Files,
                "who" => Command::Who,
                "whoami" => Command::WhoAmI,
                "reconnect" => Command::Reconnect,
                "quit" => Command::Quit,
                _ => return Err(no_command(bare)),
            },
            _ => return Err(no_command(&command)),
        })
    }

    /// The text of a message.
    pub fn message(&self) -> Option<&str> {
        match self {
            Command::Say(text) | Command::Tell(_, text) => Some(text),
            _ => None,
        }
    }
}

/// A person from the front of `text`, and what follows.
fn recipient<'a>(text: &'a str, people: &People, usage: &'static str) -> Result<(Recipient, &'a str), Mistake> {
    if let Some(read) = Recipient::parse(text) {
        return Ok(read);
    }
    let (nickname, rest) = Recipient::parse_nickname(text).ok_or(Mistake::Usage(usage))?;
    match people.named(&nickname) {
        Meaning::One(who) => Ok((who, rest)),
        Meaning::Several(all) => Err(Mistake::Which(all)),
        Meaning::Nobody => Err(Mistake::Usage(usage)),
    }
}

fn only_recipient(text: &str, people: &People, usage: &'static str) -> Result<Recipient, Mistake> {
    match recipient(text, people, usage)? {
        (who, "") => Ok(who),
        _ => Err(Mistake::Usage(usage)),
    }
}

/// What stands behind a receiver and one blank.
fn message(text: &str, usage: &'static str) -> Result<String, Mistake> {
    let text = text.strip_prefix(char::is_whitespace).filter(|text| !text.is_empty());
    fitting(text.ok_or(Mistake::Usage(usage))?)
}

fn nick(nickname: &str) -> Result<Command, Mistake> {
    match nickname {
        "" => Err(Mistake::Usage("/nick NICKNAME")),
        _ if Nickname::parse(nickname).is_none() => Err(Mistake::Nickname(nickname.to_owned())),
        _ => Ok(Command::Nick(nickname.to_owned())),
    }
}

/// Whose files a command means. A name may stand in quotes, as it is shown.
fn meant(argument: &str, people: &People, usage: &'static str) -> Result<Meant, Mistake> {
    if argument.is_empty() {
        return Ok(Meant::Only);
    }
    if argument.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Meant::Number(argument.parse().map_err(|_| Mistake::Usage(usage))?));
    }
    let (from, name) = recipient(argument, people, usage)?;
    let name = name.trim();
    let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    Ok(if name.is_empty() { Meant::From(from) } else { Meant::Named(from, unquoted.to_owned()) })
}

fn meant_by(from: Option<Recipient>, name: Option<String>, number: Option<u64>) -> Result<Meant, Mistake> {
    match (from, name, number) {
        (None, None, None) => Ok(Meant::Only),
        (None, None, Some(number)) => Ok(Meant::Number(number)),
        (Some(from), None, None) => Ok(Meant::From(from)),
        (Some(from), Some(name), None) => Ok(Meant::Named(from, name)),
        _ => Err(Mistake::Object("which file? \"from\", \"from\" and \"name\", or \"number\"".to_owned())),
    }
}

fn no_command(command: &str) -> Mistake {
    Mistake::Object(format!("{command:?} with these fields is no command"))
}

fn fitting(text: &str) -> Result<String, Mistake> {
    if text.len() > MESSAGE_MAX_BYTES { Err(Mistake::TooLong(text.len())) } else { Ok(text.to_owned()) }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Unknown(name) => {
                let name = Visible(name);
                write!(f, "there is no command /{name}: /help lists them, and //{name} sends it as text")
            }
            Mistake::Usage(usage) => write!(f, "it goes like this: {usage}"),
            Mistake::TooLong(bytes) => {
                write!(f, "not sent: {bytes} bytes are more than the {MESSAGE_MAX_BYTES} that a message may have")
            }
            Mistake::Which(people) => {
                let people: Vec<String> = people.iter().map(Recipient::to_string).collect();
                write!(f, "which one? {}", people.join(" or "))
            }
            Mistake::NobodyToReplyTo => f.write_str("nobody has written to you, and you have written to nobody"),
            Mistake::Nickname(nickname) => {
                let rule = "1 to 64 bytes, no control characters, no outer blanks";
                write!(f, "\"{}\" is no legal nickname ({rule})", Visible(nickname))
            }
            Mistake::Object(problem) => f.write_str(&Visible(problem).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::client::json::request;
    use crate::client::people::How;
    use crate::wire::ServerId;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn ben() -> Recipient {
        Recipient::new(ServerId(7), "ben")
    }

    #[test]
    fn each_form_of_a_line_is_told_apart() {
        let good = [
            ("", Command::Nothing),
            ("  \t", Command::Nothing),
            ("hi there ", Command::Say("hi there ".into())),
            (" /msg ben@7 x", Command::Say(" /msg ben@7 x".into())),
            ("//quit", Command::Say("/quit".into())),
            ("/msg ben@7 hi  you", Command::Tell(ben(), "hi  you".into())),
            ("/msg  ben@7  hi", Command::Tell(ben(), " hi".into())),
            ("/msg \"two words\"@7 hi", Command::Tell(Recipient::new(ServerId(7), "two words"), "hi".into())),
            ("/file ben@7 a b/c d.txt ", Command::File(ben(), "a b/c d.txt".into())),
            ("/accept", Command::Accept(Meant::Only)),
            ("/refuse  ben@7 ", Command::Refuse(Meant::From(ben()))),
            ("/cancel ben@7 a b.txt", Command::Cancel(Meant::Named(ben(), "a b.txt".into()))),
            ("/accept ben@7 \"a b.txt\"", Command::Accept(Meant::Named(ben(), "a b.txt".into()))),
            ("/accept 12", Command::Accept(Meant::Number(12))),
            ("/ignore", Command::Ignore(None)),
            ("/ignore ben@7", Command::Ignore(Some(ben()))),
            ("/nick two words", Command::Nick("two words".into())),
            ("/log off", Command::LogOff),
            ("/log a b", Command::Log(Some("a b".into()))),
            ("/quit", Command::Quit),
            ("/quit ", Command::Quit),
            ("/help", Command::Help),
            ("\u{feff}/msg ben@7 hi", Command::Tell(ben(), "hi".into())),
            ("\u{feff}", Command::Nothing),
            ("hi\u{feff}", Command::Say("hi\u{feff}".into())),
        ];
        for (line, command) in good {
            assert_eq!(Command::parse(line, &People::default()), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn a_command_with_something_missing_is_a_mistake_and_never_sent_as_text() {
        for line in [
            "/msg",
            "/msg ben hi",
            "/msg ben@7",
            "/msg ben@7 ",
            "/file ben@7",
            "/file ben@7  ",
            "/quit now",
            "/accept ben",
            "/reply",
            "/reply ",
            "/who x",
            "/unignore",
            "/nick",
        ] {
            assert!(matches!(Command::parse(line, &People::default()), Err(Mistake::Usage(_))), "{line:?}");
        }
        assert_eq!(Command::parse("/nope x", &People::default()), Err(Mistake::Unknown("nope".into())));
        assert_eq!(Command::parse("/", &People::default()), Err(Mistake::Unknown(String::new())));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_here_since_the_server_would_not_answer() {
        let longest = "x".repeat(MESSAGE_MAX_BYTES);
        assert!(Command::parse(&longest, &People::default()).is_ok());
        assert_eq!(
            Command::parse(&format!("{longest}x"), &People::default()),
            Err(Mistake::TooLong(MESSAGE_MAX_BYTES + 1))
        );
    }

    #[test]
    fn a_nickname_alone_and_a_reply_mean_who_was_heard() {
        let mut people = People::default();
        assert_eq!(Command::parse("/reply hi", &people), Err(Mistake::NobodyToReplyTo));
        people.on_heard(&ben(), How::Private, Timestamp::UNIX_EPOCH);
        assert_eq!(Command::parse("/msg ben  hi", &people), Ok(Command::Tell(ben(), " hi".into())));
        assert_eq!(Command::parse("/reply hi  you", &people), Ok(Command::Tell(ben(), "hi  you".into())));
        assert_eq!(Command::parse("/cancel ben x", &people), Ok(Command::Cancel(Meant::Named(ben(), "x".into()))));
        people.on_heard(&Recipient::new(ServerId(8), "ben"), How::Public, Timestamp::UNIX_EPOCH);
        let mistake = Command::parse("/msg ben hi", &people).unwrap_err();
        assert_eq!(mistake.to_string(), "which one? ben@8 or ben@7");
    }

    #[test]
    fn an_object_is_the_command_that_it_names_or_a_mistake() {
        let read = |text: &str| Command::of(request(text).unwrap(), &People::default());
        assert_eq!(read(r#"{"command":"say","text":"/a\nb"}"#), Ok(Command::Say("/a\nb".into())));
        assert_eq!(read(r#"{"command":"msg","to":"ben@7","text":"x"}"#), Ok(Command::Tell(ben(), "x".into())));
        assert_eq!(read(r#"{"command":"cancel","number":3}"#), Ok(Command::Cancel(Meant::Number(3))));
        assert_eq!(read(r#"{"command":"accept","from":"ben@7"}"#), Ok(Command::Accept(Meant::From(ben()))));
        for bad in [
            r#"{"command":"nope"}"#,
            r#"{"command":"say"}"#,
            r#"{"command":"quit","text":"x"}"#,
            r#"{"command":"accept","name":"x"}"#,
            r#"{"command":"nick","name":" x"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_slash_in_front_is_sent_unchanged(line in "[^/\\s\u{feff}].*") {
            prop_assert_eq!(Command::parse(&line, &People::default()), Ok(Command::Say(line.clone())));
        }
    }
}
