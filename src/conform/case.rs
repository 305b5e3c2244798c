//! What a case is, and what comes of one.

use std::fmt;

/// One sentence of the RFC, or one decision, with the check of it.
pub struct Case<S: ?Sized> {
    /// `3.1`: the first case of section 3. `D9.1`: the first case of decision 9. In front of both, `C` for cases of a
    /// client.
    pub id: &'static str,
    /// What must hold.
    pub claim: &'static str,
    /// The sentence of the RFC; of a decision, nothing, since `docs/protocol.md` has it under its number.
    pub quote: &'static str,
    /// The check.
    pub check: fn(&mut S) -> Check,
}

impl<S: ?Sized> Case<S> {
    /// Where it stands: its section, then its numbers.
    pub fn place(&self) -> (usize, u32, u32) {
        let section = SECTIONS.iter().position(|section| is_in(self.id, section.number));
        let mut numbers = self.id.trim_start_matches(['C', 'D']).split('.').map(|number| number.parse().unwrap_or(0));
        (section.unwrap_or(SECTIONS.len()), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// A section of the RFC, or the decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// `3`, or `D`.
    pub number: &'static str,
    /// Its heading.
    pub title: &'static str,
}

/// The sections that cases come from, in order.
pub const SECTIONS: [Section; 10] = [
    Section { number: "1", title: "Purpose" },
    Section { number: "2", title: "Overview of the Protocol" },
    Section { number: "3", title: "Users Authentication" },
    Section { number: "4", title: "Public Messages" },
    Section { number: "5", title: "Private Messages" },
    Section { number: "6", title: "File Transfers" },
    Section { number: "7", title: "Server merge" },
    Section { number: "8", title: "Global Errors" },
    Section { number: "9", title: "Packets Codes" },
    Section { number: "D", title: "Decisions where the RFC is silent or contradicts itself" },
];

/// Whether an ID is one of this section, or of this decision: `D9` holds `D9.1`, and `D` holds all of them.
pub fn is_in(id: &str, section: &str) -> bool {
    let (id, section) = (id.trim_start_matches('C'), section.trim_start_matches('C'));
    let group = id.split_once('.').map_or(id, |(group, _)| group);
    group == section || (section == "D" && group.starts_with('D'))
}

/// Whether a deviation is another reading of what the RFC leaves open.
pub fn is_decision(id: &str) -> bool {
    is_in(id, "D")
}

/// What a check returns.
pub type Check = Result<(), Stop>;

/// Why a check did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// Something else was seen.
    Deviation(Box<Deviation>),
    /// It could not be run: what is needed.
    Skipped(String),
}

/// Bytes that the kit has sent, and as whom: a nickname, or a number of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// As whom.
    pub by: String,
    /// What.
    pub bytes: Vec<u8>,
}

/// What was sent, what should have come, and what came.
#[derive(Debug)]
pub struct Deviation {
    /// What was sent before on all connections of the case, the last of it.
    pub sent: Vec<Sent>,
    /// Who should have got it.
    pub by: String,
    /// What should have come.
    pub expected: Seen,
    /// What came.
    pub seen: Seen,
    /// What to look at.
    pub hint: Option<String>,
}

/// Bytes, or what stands for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The end of the connection.
    End,
    /// Nothing, for so long as the kit waits.
    Nothing,
    /// Something else, in words.
    Words(String),
}

/// What comes of a case.
#[derive(Debug)]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It does not, and the RFC says that it must.
    Fail(Box<Deviation>),
    /// Another reading of a silent place.
    Note(Box<Deviation>),
    /// It was not run.
    Skipped(String),
}

impl Verdict {
    /// The verdict on the case with this ID.
    pub fn of(id: &str, check: Check, is_strict: bool) -> Verdict {
        match check {
            Ok(()) => Verdict::Ok,
            Err(Stop::Skipped(why)) => Verdict::Skipped(why),
            Err(Stop::Deviation(deviation)) if is_decision(id) && !is_strict => Verdict::Note(deviation),
            Err(Stop::Deviation(deviation)) => Verdict::Fail(deviation),
        }
    }

    /// As it stands in front of a line.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Fail(_) => "FAIL",
            Verdict::Note(_) => "note",
            Verdict::Skipped(_) => "skipped",
        }
    }

    /// What was seen in place of what was expected.
    pub fn deviation(&self) -> Option<&Deviation> {
        match self {
            Verdict::Fail(deviation) | Verdict::Note(deviation) => Some(deviation),
            Verdict::Ok | Verdict::Skipped(_) => None,
        }
    }
}

impl Stop {
    /// Something else than what should have come.
    pub fn deviation(expected: Seen, seen: Seen) -> Stop {
        let hint = match (&expected, &seen) {
            (Seen::Bytes(expected), Seen::Bytes(seen)) => super::bytes::difference(expected, seen),
            _ => None,
        };
        Stop::Deviation(Box::new(Deviation { sent: Vec::new(), by: String::new(), expected, seen, hint }))
    }

    /// The same, in words.
    pub fn words(expected: impl Into<String>, seen: impl Into<String>) -> Stop {
        Stop::deviation(Seen::Words(expected.into()), Seen::Words(seen.into()))
    }

    /// It cannot be run.
    pub fn skipped(why: impl Into<String>) -> Stop {
        Stop::Skipped(why.into())
    }

    /// With who should have got it, and what was sent before.
    pub fn of(mut self, by: String, sent: Vec<Sent>) -> Stop {
        if let Stop::Deviation(deviation) = &mut self {
            (deviation.by, deviation.sent) = (by, sent);
        }
        self
    }

    /// With something to look at.
    pub fn hint(mut self, hint: impl Into<String>) -> Stop {
        if let Stop::Deviation(deviation) = &mut self {
            let hint = hint.into();
            deviation.hint = Some(deviation.hint.take().map_or(hint.clone(), |known| format!("{known}; {hint}")));
        }
        self
    }

    /// Not run, if what this needs is not there: another case says that it is wrong.
    pub fn or_skip(self, what: &str) -> Stop {
        match self {
            Stop::Deviation(_) => Stop::Skipped(what.to_owned()),
            skipped => skipped,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Bytes(bytes) => f.write_str(&super::bytes::grouped(bytes)),
            Seen::End => f.write_str("the end of the connection"),
            Seen::Nothing => f.write_str("nothing"),
            Seen::Words(words) => f.write_str(words),
        }
    }
}
