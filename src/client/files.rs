//! `/accept`, `/refuse`, `/files` and `/cancel`: what the user says about files that come in and go out.

use super::Context;
use super::download::{Answered, FileStage, ListedFile, Meant};
use super::escape::Visible;
use super::json::Field;
use super::link::Link;
use super::progress::{Direction, size};
use super::screen::{Line, Report};

/// A command that can't be carried out, or does not say clearly enough what is meant.
#[derive(Debug)]
pub struct Unclear {
    /// Why.
    pub problem: String,
    /// What could be meant, a line each.
    pub lines: Vec<String>,
}

impl From<&str> for Unclear {
    fn from(problem: &str) -> Unclear {
        Unclear { problem: problem.to_owned(), lines: Vec::new() }
    }
}

/// `/accept`.
///
/// # Errors
/// Nothing was done.
pub fn accept(context: &Context, meant: &Meant) -> Result<(), Unclear> {
    let answered = context.answer(|downloads, say| downloads.accept(meant, say));
    tell(context, answered, "/accept")
}

/// `/refuse`.
///
/// # Errors
/// Nothing was done.
pub fn refuse(context: &Context, meant: &Meant) -> Result<(), Unclear> {
    let answered = context.answer(|downloads, say| downloads.refuse(meant, say));
    tell(context, answered, "/refuse")
}

/// `/cancel`: stops files to and from a person.
///
/// # Errors
/// Nothing was done.
pub fn cancel(context: &Context, link: Option<&Link>, meant: &Meant) -> Result<(), Unclear> {
    let incoming = context.answer(|downloads, _| downloads.under_way());
    let outgoing = link.map(Link::files).unwrap_or_default();
    let all: Vec<ListedFile> = outgoing.iter().cloned().chain(incoming).collect();
    if all.is_empty() && !matches!(meant, Meant::Number(_)) {
        return Err("no file is under way".into());
    }
    if *meant == Meant::Only && all.len() > 1 {
        return Err(which("/cancel", &all));
    }
    if let Meant::Number(number) = meant
        && context.answer(|downloads, _| downloads.all_offered()).iter().any(|file| file.number == *number)
    {
        return refuse(context, meant);
    }
    if !all.iter().any(|file| meant.is(file.number, &file.from, &file.name)) {
        return Err(which("/cancel", &all));
    }
    for file in outgoing.iter().filter(|file| meant.is(file.number, &file.from, &file.name)) {
        let has_begun = matches!(file.stage, FileStage::Moving(Direction::Sending));
        let then = if has_begun { "; its receiver gives it up in a while" } else { "" };
        context.screen.notice(format!("cancelled \"{}\" to {}{then}", Visible(&file.name), file.from));
    }
    if let Some(link) = link {
        link.cancel_files(meant, context.now_ms());
    }
    context.answer(|downloads, say| downloads.cancel(meant, say));
    Ok(())
}

fn tell(context: &Context, answered: Answered, command: &str) -> Result<(), Unclear> {
    match answered {
        Answered::Done => {}
        Answered::None => {
            return Err("no file is offered; /accept NICKNAME@ID takes the next file of that sender".into());
        }
        Answered::Which(files) => return Err(which(command, &files)),
        Answered::Permitted(from) => {
            context.screen.notice(format!("the next file from {from} within an hour will be taken"));
        }
        Answered::Withdrawn(from) => {
            context.screen.notice(format!("the next file from {from} will not be taken unasked"));
        }
        Answered::Off => return Err("--no-files: no file is taken".into()),
    }
    Ok(())
}

fn which(command: &str, files: &[ListedFile]) -> Unclear {
    if files.is_empty() {
        return "there is no file with this number".into();
    }
    let line = |ListedFile { number, from, name, bytes, .. }: &ListedFile| {
        format!("    {command} {from} {}    ({}), or {command} {number}", Visible(name), size(*bytes))
    };
    Unclear {
        problem: format!("which? {command} NICKNAME@ID means all of that sender, {command} NICKNAME@ID NAME one file:"),
        lines: files.iter().map(line).collect(),
    }
}

/// `/files`: everything that is under way or waits for an answer.
pub fn list(context: &Context, link: Option<&Link>) {
    let mut all = link.map(Link::files).unwrap_or_default();
    all.extend(context.answer(|downloads, _| [downloads.under_way(), downloads.all_offered()].concat()));
    all.sort_by_key(|file| file.number);
    let fields = vec![("files", Field::List(all.iter().map(fields).collect()))];
    let title = if all.is_empty() { "no file is under way or offered" } else { "files; /cancel N stops one:" };
    context.screen.show_now(Line::Notice(Report::about(title, "files", fields)));
    for file in &all {
        let mut report = Report::from(format!("{:>4}  {}", file.number, described(file)));
        report.is_in_objects = false;
        context.screen.show_now(Line::Notice(report));
    }
}

fn described(file: &ListedFile) -> String {
    let ListedFile { stage, done_bytes, from, name, bytes, .. } = file;
    let name = Visible(name);
    let percent = (u128::from(*done_bytes) * 100).checked_div(u128::from(*bytes)).unwrap_or(100);
    match stage {
        FileStage::Queued => format!("↑ \"{name}\" to {from}: waits"),
        FileStage::Moving(Direction::Hashing) => format!("# \"{name}\" to {from}: is read for its SHA-256"),
        FileStage::Moving(Direction::Sending) => format!("↑ \"{name}\" to {from}: {percent}% of {}", size(*bytes)),
        FileStage::Moving(Direction::Receiving) => format!("↓ \"{name}\" from {from}: {percent}% of {}", size(*bytes)),
        FileStage::Offered => format!("? \"{name}\" from {from}: {}, /accept or /refuse", size(*bytes)),
    }
}

fn fields(file: &ListedFile) -> Vec<(&'static str, Field)> {
    let stage = match file.stage {
        FileStage::Queued => "queued",
        FileStage::Moving(Direction::Hashing) => "hashing",
        FileStage::Moving(Direction::Sending) => "sending",
        FileStage::Moving(Direction::Receiving) => "receiving",
        FileStage::Offered => "offered",
    };
    let is_ours = matches!(file.stage, FileStage::Queued | FileStage::Moving(Direction::Hashing | Direction::Sending));
    vec![
        ("number", file.number.into()),
        ("stage", stage.into()),
        (if is_ours { "to" } else { "from" }, Field::from(&file.from)),
        ("name", file.name.as_str().into()),
        ("bytes", file.bytes.into()),
        ("done_bytes", file.done_bytes.into()),
    ]
}
