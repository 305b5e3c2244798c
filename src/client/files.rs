//! `/accept`, `/refuse`, `/files` and `/cancel`: what the user says about files that come in and go out.

use super::Context;
use super::download::{Answered, FileStage, ListedFile, Meant};
use super::escape::Visible;
use super::json::Field;
use super::link::Link;
use super::progress::{Direction, size};
use super::screen::{Line, Report};

/// `/accept`.
pub fn accept(context: &Context, meant: &Meant) {
    let answered = context.answer(|downloads, say| downloads.accept(meant, say));
    tell(context, answered, "/accept");
}

/// `/refuse`.
pub fn refuse(context: &Context, meant: &Meant) {
    let answered = context.answer(|downloads, say| downloads.refuse(meant, say));
    tell(context, answered, "/refuse");
}

/// `/cancel`: stops files to and from a person.
pub fn cancel(context: &Context, link: Option<&Link>, meant: &Meant) {
    let incoming = context.answer(|downloads, _| downloads.under_way());
    let outgoing = link.map(Link::files).unwrap_or_default();
    let all: Vec<ListedFile> = outgoing.iter().cloned().chain(incoming).collect();
    if all.is_empty() && !matches!(meant, Meant::Number(_)) {
        return context.fail("no file is under way");
    }
    if *meant == Meant::Only && all.len() > 1 {
        return which(context, "/cancel", &all);
    }
    if let Meant::Number(number) = meant
        && context.answer(|downloads, _| downloads.all_offered()).iter().any(|file| file.number == *number)
    {
        return refuse(context, meant);
    }
    if !all.iter().any(|file| meant.is(file.number, &file.from, &file.name)) {
        return which(context, "/cancel", &all);
    }
    for file in outgoing.iter().filter(|file| meant.is(file.number, &file.from, &file.name)) {
        let line =
            format!("cancelled \"{}\" to {}; its receiver gives it up in a while", Visible(&file.name), file.from);
        context.screen.notice(line);
    }
    if let Some(link) = link {
        link.cancel_files(meant, context.now_ms());
    }
    context.answer(|downloads, say| downloads.cancel(meant, say));
}

fn tell(context: &Context, answered: Answered, command: &str) {
    match answered {
        Answered::Done => {}
        Answered::None => {
            context.fail("no file is offered; /accept NICKNAME@ID takes the next file of that sender");
        }
        Answered::Which(files) => which(context, command, &files),
        Answered::Permitted(from) => {
            context.screen.notice(format!("the next file from {from} within an hour will be taken"));
        }
        Answered::Withdrawn(from) => {
            context.screen.notice(format!("the next file from {from} will not be taken unasked"));
        }
        Answered::Off => context.fail("--no-files: no file is taken"),
    }
}

fn which(context: &Context, command: &str, files: &[ListedFile]) {
    context
        .fail(format!("which? {command} NICKNAME@ID means all of that sender, {command} NICKNAME@ID NAME one file:"));
    for ListedFile { number, from, name, bytes, .. } in files {
        let text = format!("    {command} {from} {}    ({}), or {command} {number}", Visible(name), size(*bytes));
        context.screen.notice(text);
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
