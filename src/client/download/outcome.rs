//! What there is to say about files that come in.

use std::fmt;
use std::io;

use crate::client::escape::Visible;
use crate::client::json::Field;
use crate::client::limits::{DOWNLOAD_FILES_MAX, DOWNLOAD_IDLE_MS, OFFER_MS, SPOOL_MAX_BYTES};
use crate::client::progress::size;
use crate::client::recipient::Recipient;
use crate::client::screen::{Line, Report};

/// Something to say about a file. Displayed, it is one line that is safe to show.
#[derive(Debug)]
pub struct Outcome {
    /// The number of the file, if it has got one.
    pub number: Option<u64>,
    /// Its sender.
    pub from: Recipient,
    /// What the sender calls it.
    pub name: String,
    /// What happened.
    pub what: What,
}

/// What happened to a file.
#[derive(Debug)]
pub enum What {
    /// The user is asked. The file has this many bytes (with padding, if it was not announced).
    Offered {
        /// Expected size.
        bytes: u64,
        /// Its sender has said what it is going to be.
        is_announced: bool,
    },
    /// It is taken, from its first chunk on or from the user's word on.
    Begun {
        /// Expected size.
        bytes: u64,
    },
    /// It is complete, and it is what was announced.
    Checked {
        /// Its exact size.
        bytes: u64,
        /// What it is called now.
        saved: String,
    },
    /// It is complete, but there was nothing to check it against.
    Unchecked {
        /// Its size, with padding.
        bytes: u64,
        /// What it is called now.
        saved: String,
    },
    /// It was not taken.
    Refused(Refusal),
    /// It was offered, and what came of it was removed.
    Discarded(Discard),
    /// It was given up and removed.
    Aborted(Abort),
}

/// Why a file was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// Too many are under way.
    TooMany,
    /// Too many wait for the user's word.
    TooManyOffers,
    /// More were taken than anybody looks through.
    TooManyFiles,
    /// With the taken files it would be over the bound on bytes.
    TooLarge {
        /// What it would have come to.
        bytes: u64,
        /// What may still be taken.
        left_bytes: u64,
    },
    /// There is no terminal, and no option names its sender.
    NobodyToAsk,
    /// An option says that no file is taken.
    Off,
    /// The disk does not take it.
    Disk(io::Error),
}

/// Why an offered file was removed.
#[derive(Debug)]
pub enum Discard {
    /// The user said so.
    Refused,
    /// The user did not answer.
    Unanswered,
    /// What waits for an answer became too much.
    NoRoom,
    /// We leave.
    Leaving,
}

/// Why a file was given up.
#[derive(Debug)]
pub enum Abort {
    /// The disk does not take more.
    Disk(io::Error),
    /// Its SHA-256 is not the announced one.
    Damaged,
    /// Nothing came for a while.
    Stopped,
    /// Another file with the same transfer ID began.
    Replaced,
    /// The connection is gone.
    Disconnected,
    /// The user said so.
    Cancelled,
}

impl What {
    /// Whether it went wrong.
    pub fn is_problem(&self) -> bool {
        match self {
            What::Refused(_) => true,
            What::Discarded(why) => !matches!(why, Discard::Refused),
            What::Aborted(why) => !matches!(why, Abort::Cancelled),
            What::Offered { .. } | What::Begun { .. } | What::Checked { .. } | What::Unchecked { .. } => false,
        }
    }
}

impl Outcome {
    /// The line about it.
    pub fn line(&self) -> Line {
        let mut fields = vec![("from", Field::from(&self.from)), ("name", self.name.as_str().into())];
        fields.extend(self.number.map(|number| ("number", number.into())));
        let (event, more) = self.what.for_programs();
        fields.extend(more);
        let mut report = Report::about(self.to_string(), event, fields);
        // The status line shows it.
        report.is_on_terminal = !matches!(self.what, What::Begun { .. });
        if self.what.is_problem() { Line::Problem(report) } else { Line::Notice(report) }
    }
}

impl What {
    /// The event, and what there is to say about it.
    fn for_programs(&self) -> (&'static str, Vec<(&'static str, Field)>) {
        match self {
            What::Offered { bytes, is_announced } => {
                ("file_offered", vec![("bytes", (*bytes).into()), ("announced", (*is_announced).into())])
            }
            What::Begun { bytes } => ("file_begun", vec![("bytes", (*bytes).into())]),
            What::Checked { bytes, saved } => ("file_received", saved_as(*bytes, saved, true)),
            What::Unchecked { bytes, saved } => ("file_received", saved_as(*bytes, saved, false)),
            What::Refused(_) => ("file_refused", Vec::new()),
            What::Discarded(_) => ("file_discarded", Vec::new()),
            What::Aborted(_) => ("file_failed", Vec::new()),
        }
    }
}

fn saved_as(bytes: u64, path: &str, is_checked: bool) -> Vec<(&'static str, Field)> {
    vec![("bytes", bytes.into()), ("checked", is_checked.into()), ("path", path.into())]
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, name) = (&self.from, Visible(&self.name));
        match &self.what {
            What::Offered { bytes, is_announced } => {
                let unchecked = if *is_announced { "" } else { " (not announced, so it can't be checked)" };
                write!(f, "{from} offers \"{name}\", {}{unchecked}: /accept or /refuse", size(*bytes))
            }
            What::Begun { bytes } => write!(f, "receiving \"{name}\" from {from}: {}", size(*bytes)),
            What::Checked { bytes, saved } => {
                write!(
                    f,
                    "received \"{name}\" from {from}: {bytes} bytes, SHA-256 correct, saved as {}",
                    Visible(saved)
                )
            }
            What::Unchecked { bytes, saved } => write!(
                f,
                "received \"{name}\" from {from}: {bytes} bytes with padding (not announced, so neither its exact size \
                 nor its SHA-256 is known), saved as {}",
                Visible(saved)
            ),
            What::Refused(refusal) => write!(f, "\"{name}\" from {from} is not taken: {refusal}"),
            What::Discarded(Discard::Refused) => write!(f, "refused \"{name}\" from {from}"),
            What::Discarded(discard) => {
                write!(f, "\"{name}\" from {from} was offered and is discarded: {discard}; ")?;
                write!(f, "/accept {} takes the next file, if it is sent again", from)
            }
            What::Aborted(Abort::Cancelled) => write!(f, "cancelled \"{name}\" from {from}; what came was removed"),
            What::Aborted(abort) => {
                write!(f, "receiving \"{name}\" from {from} failed and what came was removed: {abort}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TooMany => f.write_str("too many files are under way"),
            Refusal::TooManyOffers => f.write_str("too many files wait for /accept or /refuse"),
            Refusal::TooManyFiles => write!(f, "{DOWNLOAD_FILES_MAX} files were taken; start the client again"),
            Refusal::TooLarge { bytes, left_bytes } => {
                let (bytes, left) = match (size(*bytes), size(*left_bytes)) {
                    // "1.0 kB are more than 1.0 kB" would help nobody.
                    (one, other) if one == other => (format!("{bytes} bytes"), format!("{left_bytes} bytes")),
                    different => different,
                };
                write!(f, "{bytes} are more than --max-download allows, which leaves {left}")
            }
            Refusal::NobodyToAsk => {
                f.write_str("there is no terminal to ask on; --accept NICKNAME@ID or --accept-all takes files")
            }
            Refusal::Off => f.write_str("--no-files"),
            Refusal::Disk(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discard::Refused => f.write_str("refused"),
            Discard::Unanswered => write!(f, "no answer for {} minutes", OFFER_MS / 60_000),
            Discard::NoRoom => {
                write!(f, "what waits for an answer may have {} MiB together", SPOOL_MAX_BYTES / (1024 * 1024))
            }
            Discard::Leaving => f.write_str("no answer before the end"),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Abort::Disk(error) => error.fmt(f),
            Abort::Damaged => f.write_str("its SHA-256 is not the announced one"),
            Abort::Stopped => write!(f, "nothing came for {} s", DOWNLOAD_IDLE_MS / 1000),
            Abort::Replaced => f.write_str("another file with its transfer ID began"),
            Abort::Disconnected => f.write_str("the connection is gone"),
            Abort::Cancelled => f.write_str("cancelled"),
        }
    }
}
