//! What each command does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;

use jiff::{Timestamp, tz::TimeZone};

use super::Session;
use crate::client::command::{Command, HELP};
use crate::client::escape::Visible;
use crate::client::files::{self, Unclear};
use crate::client::json::Field;
use crate::client::link::NewFile;
use crate::client::outbox::Message;
use crate::client::people::Heard;
use crate::client::recipient::Recipient;
use crate::client::screen::{Line, Report, Said, Way};
use crate::client::writer;

/// What came of a command.
pub(super) enum Done {
    Fine,
    /// A file of this number is under way.
    Begun(u64),
    /// It can't be done: why, and lines that may help.
    Failed(String, Vec<String>),
    /// We leave, at once if there is an exit status.
    End(Option<ExitCode>),
}

impl From<Result<(), String>> for Done {
    fn from(result: Result<(), String>) -> Done {
        result.map_or_else(|problem| Done::Failed(problem, Vec::new()), |()| Done::Fine)
    }
}

impl From<Result<(), Unclear>> for Done {
    fn from(result: Result<(), Unclear>) -> Done {
        result.map_or_else(|Unclear { problem, lines }| Done::Failed(problem, lines), |()| Done::Fine)
    }
}

impl Session {
    pub(super) fn on_command(&mut self, command: Command) -> Done {
        let context = self.context.clone();
        match command {
            Command::Nothing => {}
            Command::Say(text) => return self.say(Message::Public(text)).into(),
            Command::Tell(to, text) => return self.tell(to, text).into(),
            Command::File(to, path) => return self.send_file(to, path).map_or_else(|why| Err(why).into(), Done::Begun),
            Command::Accept(meant) => return files::accept(&context, &meant).into(),
            Command::Refuse(meant) => return files::refuse(&context, &meant).into(),
            Command::Cancel(meant) => return files::cancel(&context, self.link.as_deref(), &meant).into(),
            Command::Files => files::list(&context, self.link.as_deref()),
            Command::Who => self.list_people(),
            Command::WhoAmI => self.say_who_we_are(),
            Command::Ignore(None) => self.list_ignored(),
            Command::Ignore(Some(who)) => return self.ignore(&who).into(),
            Command::Unignore(who) => return self.unignore(&who).into(),
            Command::Nick(nickname) => return self.rename(nickname).into(),
            Command::Reconnect => self.reconnect(),
            Command::Clear => {
                if let Some(canvas) = context.screen.canvas() {
                    canvas.clear();
                }
            }
            Command::Log(Some(path)) => {
                return match context.screen.log_to(&path) {
                    Ok(()) => {
                        self.notice(format!(
                            "lines go to {} from now on",
                            context.screen.log_path().unwrap_or_default()
                        ));
                        Done::Fine
                    }
                    Err(error) => Err(format!("no log {}: {error}", Visible(&path.to_string_lossy()))).into(),
                };
            }
            Command::Log(None) => self.notice(match context.screen.log_path() {
                Some(path) => format!("lines go to {path}; /log off ends that"),
                None => "there is no log; /log FILE begins one".to_owned(),
            }),
            Command::LogOff => self.notice(match context.screen.end_log() {
                Some(path) => format!("lines go to {path} no more"),
                None => "there is no log".to_owned(),
            }),
            Command::Quit => return Done::End(self.finish()),
            Command::Help => {
                for (form, meaning) in HELP {
                    self.notice(format!("{form:<28}  {meaning}"));
                }
            }
        }
        Done::Fine
    }

    pub(super) fn notice(&self, text: impl Into<String>) {
        self.context.screen.notice(text);
    }

    fn say(&self, message: Message) -> Result<(), String> {
        let may_wait = !self.is_terminal;
        match &self.link {
            None => Err("not sent: not connected".to_owned()),
            Some(link) => match link.say(message, may_wait, self.context.now_ms()) {
                Err(_) if !link.is_stopped() => Err("not sent: too much waits to be sent already".to_owned()),
                Err(message) => {
                    // The end of the connection, which is on its way to us, says what is lost.
                    link.pending().on_queued(&message, self.context.now_ms());
                    Ok(())
                }
                Ok(()) => Ok(()),
            },
        }
    }

    fn tell(&self, to: Recipient, text: String) -> Result<(), String> {
        self.context.people().on_written_to(&to);
        if !self.context.screen.is_in_lines() {
            let (who, text) = (to.clone(), text.clone());
            let said = Said { who, way: Way::FromUs, text, is_own: true, is_mention: false, is_announcement: false };
            self.context.screen.show_now(Line::Said(said));
        }
        self.say(Message::Private(to, text))
    }

    fn send_file(&self, to: Recipient, path: PathBuf) -> Result<u64, String> {
        let Some(link) = self.link.clone() else { return Err("not sent: not connected".to_owned()) };
        self.context.people().on_written_to(&to);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let transfer_id = self.context.next_transfer_id.fetch_add(1, Ordering::Relaxed);
        let number = self.context.progress.next_number();
        let file = NewFile { number, to, name, transfer_id };
        let Some(outgoing) = link.reserve_upload(file, !self.is_terminal) else {
            let why = if link.is_stopped() { "not connected" } else { "too many files are being sent already" };
            return Err(format!("not sent: {why}"));
        };
        let context = self.context.clone();
        thread::spawn(move || writer::prepare_upload(&context, &link, outgoing, &path));
        Ok(number)
    }

    /// `/who`.
    fn list_people(&self) {
        let (heard, written_to) = {
            let people = self.context.people();
            (people.heard().cloned().collect::<Vec<_>>(), people.only_written_to().cloned().collect::<Vec<_>>())
        };
        let now = Timestamp::now();
        let object = |Heard { who, at, how }: &Heard| {
            let ago_s = now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs();
            vec![
                ("who", Field::from(who)),
                ("how", how.word().into()),
                ("time", format!("{at:.0}").into()),
                ("ago_s", ago_s.into()),
            ]
        };
        let fields = vec![("people", Field::List(heard.iter().map(object).collect()))];
        let title = if heard.is_empty() { "nobody was heard of" } else { "heard of, the latest first:" };
        self.context.screen.show_now(Line::Notice(Report::about(title, "who", fields)));
        let zone = TimeZone::system();
        for Heard { who, at, how } in &heard {
            let ago = ago(now.as_second().saturating_sub(at.as_second()));
            let time = at.to_zoned_datetime(zone.clone()).strftime("%H:%M").to_string();
            self.detail(format!("    {:<24} {:<8} {time}, {ago}", who.to_string(), how.word()));
        }
        for who in written_to {
            self.detail(format!("    {:<24} you wrote, and nothing was heard", who.to_string()));
        }
    }

    /// A line whose content an object has said already.
    fn detail(&self, text: String) {
        let mut report = Report::from(text);
        report.is_in_objects = false;
        self.context.screen.show_now(Line::Notice(report));
    }

    /// `/whoami`.
    fn say_who_we_are(&self) {
        let own = self.context.people().own();
        let server = &self.identity.server;
        let (text, who) = match &own {
            Some(own) => (format!("you are {own}, connected to {server}"), Field::from(own)),
            None => {
                let nickname = crate::client::escape::VisibleNickname(&self.identity.nickname);
                let how = "its ID is known when your first public message comes back";
                (format!("you are {nickname} at {server}; {how}"), self.identity.nickname.as_str().into())
            }
        };
        self.context.screen.show_now(Line::Notice(Report::about(text, "whoami", vec![("who", who)])));
    }

    fn list_ignored(&self) {
        let ignored = self.context.people().ignored().to_vec();
        let fields = vec![("people", Field::List(ignored.iter().map(|who| vec![("who", Field::from(who))]).collect()))];
        let title = if ignored.is_empty() { "nobody is ignored" } else { "ignored; /unignore ends that:" };
        self.context.screen.show_now(Line::Notice(Report::about(title, "ignored", fields)));
        ignored.iter().for_each(|who| self.detail(format!("    {who}")));
    }

    fn ignore(&self, who: &Recipient) -> Result<(), String> {
        let (ignored, is_so) = {
            let mut people = self.context.people();
            (people.ignore(who), people.is_ignored(who))
        };
        let result = match ignored {
            Ok(is_new) => {
                let already = if is_new { "" } else { " already" };
                self.notice(format!("{who} is ignored{already}; /unignore {who} ends that"));
                Ok(())
            }
            Err(error) if is_so => Err(format!("{who} is ignored in this run only: {error}")),
            Err(error) => Err(format!("{who} is not ignored: {error}")),
        };
        if is_so {
            self.context.answer(|downloads, say| downloads.on_ignored(who, say));
        }
        result
    }

    fn unignore(&self, who: &Recipient) -> Result<(), String> {
        let unignored = self.context.people().unignore(who);
        let is_change = unignored.map_err(|error| format!("{who} is shown again in this run only: {error}"))?;
        self.notice(if is_change { format!("{who} is shown again") } else { format!("{who} is not ignored") });
        Ok(())
    }
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
