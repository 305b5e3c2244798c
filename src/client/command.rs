//! A typed line: a message or a command.

use std::fmt;
use std::path::PathBuf;

use super::download::Meant;
use super::limits::MESSAGE_MAX_BYTES;
use super::recipient::Recipient;

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
}

/// What some editors put before the first line of a file.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// The commands with what they take, as `/help` shows them.
pub const HELP: [(&str, &str); 9] = [
    ("some text", "public message"),
    ("/msg NICKNAME@ID some text", "private message (\"two words\"@7 if a nickname has blanks)"),
    ("/file NICKNAME@ID PATH", "send a file"),
    ("/accept [NICKNAME@ID [NAME]]", "take an offered file, or the next one of that sender"),
    ("/refuse [NICKNAME@ID [NAME]]", "refuse an offered file"),
    ("/cancel [NICKNAME@ID [NAME]]", "stop files from or to that person"),
    ("/help", "show this"),
    ("/quit", "leave"),
    ("//text", "public message that starts with a slash"),
];

/// What completion offers for a line that starts with a slash.
pub const NAMES: [&str; 7] = ["/accept ", "/cancel ", "/file ", "/help", "/msg ", "/quit", "/refuse "];

/// Commands that take a person.
pub const NAMES_WITH_SOMEBODY: [&str; 5] = ["/accept ", "/cancel ", "/file ", "/msg ", "/refuse "];

impl Command {
    /// Reads a line, which has no line break at its end.
    ///
    /// A byte-order mark before it can't be seen and means nothing, but would make a public message of a command. Files
    /// put together have one in their middle, too.
    pub fn parse(line: &str) -> Result<Command, Mistake> {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let Some(command) = line.strip_prefix('/') else {
            return if line.trim().is_empty() { Ok(Command::Nothing) } else { Ok(Command::Say(fitting(line)?)) };
        };
        if command.starts_with('/') {
            return Ok(Command::Say(fitting(command)?));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match name {
            "msg" => {
                let usage = Mistake::Usage("/msg NICKNAME@ID some text");
                let (to, text) = Recipient::parse(rest.trim_start()).ok_or(usage.clone())?;
                let text = text.strip_prefix(char::is_whitespace).filter(|text| !text.is_empty()).ok_or(usage)?;
                Ok(Command::Tell(to, fitting(text)?))
            }
            "file" => {
                let usage = Mistake::Usage("/file NICKNAME@ID PATH");
                let (to, path) = Recipient::parse(rest.trim_start()).ok_or(usage.clone())?;
                match path.trim() {
                    "" => Err(usage),
                    path => Ok(Command::File(to, PathBuf::from(path))),
                }
            }
            "accept" => Ok(Command::Accept(meant(rest, "/accept [NICKNAME@ID [NAME]]")?)),
            "refuse" => Ok(Command::Refuse(meant(rest, "/refuse [NICKNAME@ID [NAME]]")?)),
            "cancel" => Ok(Command::Cancel(meant(rest, "/cancel [NICKNAME@ID [NAME]]")?)),
            "quit" if rest.trim().is_empty() => Ok(Command::Quit),
            "help" => Ok(Command::Help),
            "quit" => Err(Mistake::Usage("/quit")),
            _ => Err(Mistake::Unknown(name.to_owned())),
        }
    }
}

/// Whose files a command means. A name may stand in quotes, as it is shown.
fn meant(rest: &str, usage: &'static str) -> Result<Meant, Mistake> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(Meant::Only);
    }
    let (from, name) = Recipient::parse(rest).ok_or(Mistake::Usage(usage))?;
    let name = name.trim();
    let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    Ok(if name.is_empty() { Meant::From(from) } else { Meant::Named(from, unquoted.to_owned()) })
}

fn fitting(text: &str) -> Result<String, Mistake> {
    if text.len() > MESSAGE_MAX_BYTES { Err(Mistake::TooLong(text.len())) } else { Ok(text.to_owned()) }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Unknown(name) => {
                let name = super::escape::Visible(name);
                write!(f, "there is no command /{name}: /help lists them, and //{name} sends it as text")
            }
            Mistake::Usage(usage) => write!(f, "it goes like this: {usage}"),
            Mistake::TooLong(bytes) => {
                write!(f, "not sent: {bytes} bytes are more than the {MESSAGE_MAX_BYTES} that a message may have")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::ServerId;
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
            ("/quit", Command::Quit),
            ("/quit ", Command::Quit),
            ("/help", Command::Help),
            ("\u{feff}/msg ben@7 hi", Command::Tell(ben(), "hi".into())),
            ("\u{feff}", Command::Nothing),
            ("hi\u{feff}", Command::Say("hi\u{feff}".into())),
        ];
        for (line, command) in good {
            assert_eq!(Command::parse(line), Ok(command), "{line:?}");
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
        ] {
            assert!(matches!(Command::parse(line), Err(Mistake::Usage(_))), "{line:?}");
        }
        assert_eq!(Command::parse("/nick x"), Err(Mistake::Unknown("nick".into())));
        assert_eq!(Command::parse("/"), Err(Mistake::Unknown(String::new())));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_here_since_the_server_would_not_answer() {
        let longest = "x".repeat(MESSAGE_MAX_BYTES);
        assert!(Command::parse(&longest).is_ok());
        assert_eq!(Command::parse(&format!("{longest}x")), Err(Mistake::TooLong(MESSAGE_MAX_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn text_without_a_slash_in_front_is_sent_unchanged(line in "[^/\\s\u{feff}].*") {
            prop_assert_eq!(Command::parse(&line), Ok(Command::Say(line.clone())));
        }
    }
}
