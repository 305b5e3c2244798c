//! Log lines that can't stop the loop and don't bury each other.
//!
//! `env_logger` filters and formats. Around it: `RUST_LOG` is read strictly; lines of one kind that repeat are held back
//! and counted; and what standard error does not take at once is dropped and counted ([`stdio`]).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use env_logger::{Builder, Logger, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::limits::{LOG_KINDS_MAX, LOG_LINE_MAX_BYTES, LOG_LINES_PER_WINDOW, LOG_WINDOW_MS};
use crate::shell::stdio;

const WINDOW: Duration = Duration::from_millis(LOG_WINDOW_MS);
/// What the library calls itself in the log, and so the targets of its lines.
const CRATE: &str = "cfp";

static LOGGER: OnceLock<Throttled> = OnceLock::new();

/// Starts the log: to standard error, what `RUST_LOG` asks for. The error is one line about `RUST_LOG`.
pub fn start() -> Result<(), String> {
    let filters = filters()?;
    let mut builder = Builder::new();
    builder.parse_filters(&filters).target(Target::Pipe(Box::new(Lines)));
    if stdio::is_journal() {
        builder.format(|line, record| writeln!(line, "<{}>{}", priority(record.level()), record.args()));
    } else {
        builder.format(|line, record| {
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            writeln!(line, "[{now} {:<5}] {}", record.level(), record.args())
        });
    }
    let throttled = LOGGER.get_or_init(|| Throttled { logger: builder.build(), kinds: Mutex::default() });
    log::set_max_level(throttled.logger.filter());
    // Fails if a log was started before, which then stays.
    let _ = log::set_logger(throttled);
    Ok(())
}

/// The filter that `RUST_LOG` asks for, in `env_logger`'s words: `info` if it is not set or empty. The error is one
/// line.
pub fn filters() -> Result<String, String> {
    match std::env::var("RUST_LOG") {
        Ok(text) => read_filters(&text),
        Err(std::env::VarError::NotPresent) => read_filters(""),
        Err(std::env::VarError::NotUnicode(bytes)) => Err(format!("RUST_LOG={bytes:?}: expected UTF-8")),
    }
}

/// Says what was held back in windows that have ended: to be called at [`next_deadline`].
pub fn on_deadline() {
    if let Some(throttled) = LOGGER.get()
        && next_deadline().is_some_and(|left| left.is_zero())
    {
        throttled.end_windows(Instant::now());
    }
}

/// In what time [`on_deadline`] has something to say.
pub fn next_deadline() -> Option<Duration> {
    let end = LOGGER.get()?.kinds().next_end?;
    Some(end.saturating_duration_since(Instant::now()))
}

/// Says what was held back in windows that have not ended: for the end of the program.
pub fn finish() {
    if let Some(throttled) = LOGGER.get() {
        throttled.end_windows(Instant::now() + WINDOW);
    }
}

/// Priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// `env_logger` takes a word that is no level for the name of a module, and then logs nothing of other modules. Here a
/// name must be one of ours.
fn read_filters(text: &str) -> Result<String, String> {
    let problem = |word: &str| {
        let expected = "expected off, error, warn, info, debug or trace, or cfp_server=LEVEL";
        format!("RUST_LOG={text:?}: {word:?} is no level; {expected}")
    };
    let (list, search) = text.split_once('/').map_or((text, None), |(list, search)| (list, Some(search)));
    if search.is_some_and(|search| search.contains('/')) {
        return Err(format!("RUST_LOG={text:?}: expected one '/' at most"));
    }
    let mut filters = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (target, level) = match word.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None if our_target(word).is_some() => (Some(word), "trace"),
            None => (None, word),
        };
        level.parse::<LevelFilter>().map_err(|_| problem(level))?;
        filters.push(match target {
            Some(target) => format!("{}={level}", our_target(target).ok_or_else(|| problem(target))?),
            None => level.to_owned(),
        });
    }
    if filters.is_empty() {
        filters.push("info".to_owned());
    }
    Ok(search.map_or_else(|| filters.join(","), |search| format!("{}/{search}", filters.join(","))))
}

/// The module of a name: the program's name and the library's mean the same module here.
fn our_target(name: &str) -> Option<String> {
    let (first, rest) = name.split_once("::").map_or((name, ""), |(first, rest)| (first, rest));
    let is_ours = matches!(first, CRATE | "cfp_server" | "cfp-server");
    is_ours.then(|| if rest.is_empty() { CRATE.to_owned() } else { format!("{CRATE}::{rest}") })
}

/// Lets each kind of line speak so often and no more.
struct Throttled {
    logger: Logger,
    kinds: Mutex<Kinds>,
}

/// The key by which lines are counted: place in the program, level, and the reason if the line has one (the key
/// `reason`).
type Kind = (&'static str, u32, Level, String);

#[derive(Default)]
struct Kinds {
    windows: BTreeMap<Kind, Window>,
    /// When the first window ends in which something was held back.
    next_end: Option<Instant>,
}

struct Window {
    began: Instant,
    lines: u32,
    held_back: u64,
    /// The last line that was held back.
    example: String,
}

impl Kinds {
    /// Counts a line. Returns whether it may be written.
    fn admit(&mut self, kind: Kind, now: Instant, text: impl FnOnce() -> String) -> bool {
        let has_room = self.windows.len() < LOG_KINDS_MAX || self.windows.contains_key(&kind);
        let kind = if has_room { kind } else { ("", 0, kind.2, String::new()) };
        let window =
            self.windows.entry(kind).or_insert(Window { began: now, lines: 0, held_back: 0, example: String::new() });
        window.lines = window.lines.saturating_add(1);
        if window.lines <= LOG_LINES_PER_WINDOW {
            return true;
        }
        window.held_back += 1;
        window.example = text();
        let end = window.began + WINDOW;
        self.next_end = Some(self.next_end.map_or(end, |next| next.min(end)));
        false
    }

    /// Takes out the windows that have ended. Returns what was held back in each: level, lines, the last one.
    fn end_windows(&mut self, now: Instant) -> Vec<(Level, u64, String)> {
        let mut held_back = Vec::new();
        self.windows.retain(|kind, window| {
            let is_over = now.saturating_duration_since(window.began) >= WINDOW;
            if is_over && window.held_back > 0 {
                held_back.push((kind.2, window.held_back, std::mem::take(&mut window.example)));
            }
            !is_over
        });
        let ends = self.windows.values().filter(|window| window.held_back > 0).map(|window| window.began + WINDOW);
        self.next_end = ends.min();
        held_back
    }
}

impl Throttled {
    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_windows(&self, now: Instant) {
        // The line is written outside of the lock: it is not counted, and must not wait.
        let held_back = self.kinds().end_windows(now);
        for (level, lines, example) in held_back {
            let text = format_args!("{lines} more lines like this one were held back: {example}");
            self.logger.log(&Record::builder().level(level).target(CRATE).args(text).build());
        }
    }
}

impl Log for Throttled {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.logger.matches(record) {
            return;
        }
        let now = Instant::now();
        self.end_windows(now);
        let reason = record.key_values().get("reason".into()).map(|reason| reason.to_string()).unwrap_or_default();
        let kind = (record.file_static().unwrap_or(""), record.line().unwrap_or(0), record.level(), reason);
        let is_admitted = self.kinds().admit(kind, now, || {
            let mut text = record.args().to_string();
            text.truncate(text.floor_char_boundary(LOG_LINE_MAX_BYTES / 2));
            text
        });
        if is_admitted {
            self.logger.log(record);
        }
    }

    fn flush(&self) {}
}

/// The file to which `env_logger` writes its lines, each with one call.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stdio::write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: u32, level: Level, reason: &str) -> Kind {
        ("place", line, level, reason.to_owned())
    }

    #[test]
    fn what_was_held_back_is_said_when_its_window_ends() {
        let (mut kinds, began) = (Kinds::default(), Instant::now());
        let admitted = (0..50).filter(|i| kinds.admit(kind(1, Level::Info, ""), began, || format!("line {i}"))).count();
        assert_eq!(admitted, LOG_LINES_PER_WINDOW as usize);
        assert_eq!(kinds.next_end, Some(began + WINDOW));
        assert_eq!(kinds.end_windows(began + WINDOW / 2), []);
        assert_eq!(kinds.end_windows(began + WINDOW), [(Level::Info, 30, "line 49".to_owned())]);
        assert_eq!((kinds.next_end, kinds.windows.len()), (None, 0));
        assert!(kinds.admit(kind(1, Level::Info, ""), began + WINDOW, String::new));
    }

    #[test]
    fn one_kind_of_line_hides_no_other() {
        let (mut kinds, now) = (Kinds::default(), Instant::now());
        let noise = kind(1, Level::Info, "left");
        assert_eq!((0..1000).filter(|_| kinds.admit(noise.clone(), now, String::new)).count(), 20);
        for other in [kind(1, Level::Warn, "left"), kind(1, Level::Info, "memory"), kind(2, Level::Info, "left")] {
            assert!(kinds.admit(other.clone(), now, String::new), "{other:?}");
        }
    }

    #[test]
    fn kinds_without_end_are_bounded_and_levels_still_do_not_hide_each_other() {
        let (mut kinds, now) = (Kinds::default(), Instant::now());
        let admitted =
            (0..10_000).filter(|i| kinds.admit(kind(1, Level::Info, &i.to_string()), now, String::new)).count();
        assert_eq!(admitted, LOG_KINDS_MAX + LOG_LINES_PER_WINDOW as usize);
        assert_eq!(kinds.windows.len(), LOG_KINDS_MAX + 1);
        assert!(kinds.admit(kind(1, Level::Warn, "new"), now, String::new));
        kinds.end_windows(now + WINDOW);
        assert_eq!(kinds.windows.len(), 0);
    }

    #[test]
    fn levels_and_our_own_names_are_taken_and_nothing_else() {
        let good = [
            ("", "info"),
            (" , ", "info"),
            ("debug", "debug"),
            ("WARN", "WARN"),
            ("off", "off"),
            ("cfp_server=info", "cfp=info"),
            ("cfp-server = debug", "cfp=debug"),
            ("cfp", "cfp=trace"),
            ("warn,cfp_server::core::engine=debug", "warn,cfp::core::engine=debug"),
            ("info/bob", "info/bob"),
        ];
        for (text, filters) in good {
            assert_eq!(read_filters(text).as_deref(), Ok(filters), "{text:?}");
        }
        for (bad, named) in [
            ("warning", "warning"),
            ("notice", "notice"),
            ("verbose", "verbose"),
            ("info,wran", "wran"),
            ("1", "1"),
            ("cfp_server=loud", "loud"),
            ("cfp_server=", "\"\""),
            ("=info", "\"\""),
            ("hyper=debug", "hyper"),
            ("cfp_sever=info", "cfp_sever"),
            ("info=debug", "info"),
            ("cfp=info=debug", "info=debug"),
            ("info/a/b", "'/'"),
        ] {
            let error = read_filters(bad).unwrap_err();
            assert!(error.contains(named) && error.lines().count() == 1, "{bad:?}: {error}");
        }
    }
}
