//! Command lines, by the rules that all programs here share. Of an option that takes one value, the last one counts. No
//! value is empty, has blanks at its ends, or is the name of another option: an unset variable of a script leaves such
//! values behind.

use std::ffi::OsString;

use getopts::{Matches, Options};

/// The options that a program knows. The methods are those of `getopts::Options`.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "getopts has none")]
pub struct Spec {
    options: Options,
    known: Vec<Known>,
}

struct Known {
    short: &'static str,
    long: &'static str,
    /// What stands for the value in `--help`. Empty for an option without one.
    hint: &'static str,
}

/// What a command line holds.
#[derive(Debug)]
pub struct Arguments {
    matches: Matches,
    /// The arguments that are neither an option nor its value.
    pub free: Vec<String>,
}

impl Spec {
    /// No options yet.
    pub fn new() -> Spec {
        Spec::default()
    }

    /// Adds an option with one value. `short` may be empty.
    pub fn optopt(&mut self, short: &'static str, long: &'static str, text: &str, hint: &'static str) -> &mut Spec {
        // getopts calls a second one a mistake unless all are asked for.
        self.optmulti(short, long, text, hint)
    }

    /// Adds an option with a value that may be given again to add another.
    pub fn optmulti(&mut self, short: &'static str, long: &'static str, text: &str, hint: &'static str) -> &mut Spec {
        self.options.optmulti(short, long, text, hint);
        self.known.push(Known { short, long, hint });
        self
    }

    /// Adds an option without a value.
    pub fn optflag(&mut self, short: &'static str, long: &'static str, text: &str) -> &mut Spec {
        self.options.optflagmulti(short, long, text);
        self.known.push(Known { short, long, hint: "" });
        self
    }

    /// The text of `--help`: `brief`, then every option.
    pub fn usage(&self, brief: &str) -> String {
        self.options.usage(brief)
    }

    /// Reads the arguments, without the program's name. The error is one line that says what is wrong.
    pub fn parse(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
        let text =
            |argument: OsString| argument.into_string().map_err(|bytes| format!("argument {bytes:?}: expected UTF-8"));
        let words = arguments.into_iter().map(text).collect::<Result<Vec<String>, String>>()?;
        self.find_swallowed(&words)?;
        let matches = self.options.parse(&words).map_err(|error| error.to_string())?;
        for known in self.known.iter().filter(|known| !known.hint.is_empty()) {
            for value in matches.opt_strs(known.long) {
                check_value(known, &value)?;
            }
        }
        let free = matches.free.clone();
        Ok(Arguments { matches, free })
    }

    /// `--control $UNSET --ask status` would take `--ask` for the path.
    fn find_swallowed(&self, words: &[String]) -> Result<(), String> {
        let mut words = words.iter().map(String::as_str).take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let Some(option) = self.known.iter().find(|known| known.takes_next(word)) else { continue };
            if let Some(value) = words.next()
                && self.known.iter().any(|known| known.is_named_by(value))
            {
                let hint = option.hint;
                return Err(format!("{word} {value}: expected {hint}, and that is an option; is a variable not set?"));
            }
        }
        Ok(())
    }
}

fn check_value(known: &Known, value: &str) -> Result<(), String> {
    let Known { long, hint, .. } = known;
    if value.trim().is_empty() {
        return Err(format!("--{long} {value:?}: expected {hint}, and that is empty; is a variable not set?"));
    }
    if value.trim() != value {
        return Err(format!("--{long} {value:?}: expected {hint}, without blanks at its ends"));
    }
    Ok(())
}

impl Known {
    /// Whether the option's value is the next word.
    fn takes_next(&self, word: &str) -> bool {
        !self.hint.is_empty() && (word.strip_prefix("--") == Some(self.long) || self.is_short(word))
    }

    fn is_named_by(&self, word: &str) -> bool {
        let name = word.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        name == Some(self.long) || self.is_short(word)
    }

    fn is_short(&self, word: &str) -> bool {
        !self.short.is_empty() && word.strip_prefix('-') == Some(self.short)
    }
}

impl Arguments {
    /// The value of an option, the last one that was given.
    pub fn opt_str(&self, long: &str) -> Option<String> {
        self.matches.opt_strs(long).pop()
    }

    /// All values of an option.
    pub fn opt_strs(&self, long: &str) -> Vec<String> {
        self.matches.opt_strs(long)
    }

    /// Whether the option was given.
    pub fn opt_present(&self, long: &str) -> bool {
        self.matches.opt_present(long)
    }

    /// The value of `long`, unless the flag `no` stands behind it.
    pub fn opt_str_unless(&self, long: &str, no: &str) -> Option<String> {
        let last = |name| self.matches.opt_positions(name).last().copied();
        if last(no) > last(long) { None } else { self.opt_str(long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        let mut spec = Spec::new();
        spec.optopt("c", "control", "", "PATH").optmulti("", "merge", "", "HOST:PORT").optflag("n", "no-control", "");
        spec.parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_last_value_wins_and_a_later_flag_takes_it_back() {
        let control = |words: &[&str]| parse(words).unwrap().opt_str_unless("control", "no-control");
        assert_eq!(control(&["--control", "a", "-c", "b"]).as_deref(), Some("b"));
        assert_eq!(control(&["--control", "a", "--no-control"]), None);
        assert_eq!(control(&["-n", "--control=a"]).as_deref(), Some("a"));
        assert_eq!(control(&["-n", "-n"]), None);
        assert_eq!(control(&[]), None);
        assert_eq!(parse(&["--merge", "a", "--merge", "b"]).unwrap().opt_strs("merge"), ["a", "b"]);
    }

    #[test]
    fn a_value_is_not_empty_and_has_no_blanks_at_its_ends() {
        for value in ["", " ", "\t", "\u{a0}", " a", "a\n"] {
            for words in [["--control", value], ["-c", value], ["--merge", value]] {
                let error = parse(&words).unwrap_err();
                assert!(error.contains(words[0].trim_start_matches("-c")) && error.lines().count() == 1, "{error}");
            }
            assert!(parse(&["--control", value, "--control", "good"]).is_err(), "{value:?}");
        }
        assert!(parse(&["--control="]).is_err());
        assert_eq!(parse(&["--control", "a b"]).unwrap().opt_str("control").as_deref(), Some("a b"));
    }

    #[test]
    fn an_option_is_no_value_unless_it_is_said_to_be_one() {
        for words in [&["--control", "--merge", "x:1"][..], &["-c", "-n"], &["--merge", "--control=x"]] {
            assert!(parse(words).is_err_and(|error| error.contains("is a variable not set?")), "{words:?}");
        }
        let control = |words: &[&str]| parse(words).unwrap().opt_str("control");
        assert_eq!(control(&["--control=--merge"]).as_deref(), Some("--merge"));
        assert_eq!(control(&["--control", "--merger"]).as_deref(), Some("--merger"));
        assert_eq!(parse(&["--", "--control", "--merge"]).unwrap().free, ["--control", "--merge"]);
    }
}
