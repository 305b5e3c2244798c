//! `/accept`, `/refuse` and `/cancel`: what the user says about files that come in and go out.

use super::Context;
use super::download::{Answered, ListedFile, Meant};
use super::escape::Visible;
use super::link::Link;
use super::progress::size;
use super::screen::Line;

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
    if all.is_empty() {
        return context.fail("no file is under way");
    }
    if *meant == Meant::Only && all.len() > 1 {
        return which(context, "/cancel", &all);
    }
    if !all.iter().any(|file| meant.is(&file.from, &file.name)) {
        return which(context, "/cancel", &all);
    }
    for file in outgoing.iter().filter(|file| meant.is(&file.from, &file.name)) {
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
    for ListedFile { from, name, bytes } in files {
        let text = format!("    {command} {} {}    ({})", from.typed(), Visible(name), size(*bytes));
        context.screen.show_now(&Line::Notice(text));
    }
}
