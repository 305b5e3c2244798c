//! Command lines, by the rules that all programs here share. Of an option that takes one value, the last one counts. No
//! value is empty, has blanks at its ends, or is the name of another option: an unset variable of a script leaves such
//! values behind. A program can take its options from the environment, too; the command line wins.

pub mod variables;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::{Bound, RangeBounds};

use getopts::{Matches, Options};

use variables::{Kind, Setting, Variable};

/// The options that a program knows. The methods are those of `getopts::Options`.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "getopts has none")]
pub struct Spec {
    options: Options,
    known: Vec<Known>,
    /// What the names of variables begin with. Empty if there are none.
    prefix: &'static str,
    without_variable: &'static [&'static str],
    variables: Vec<Variable>,
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
    settings: Vec<Setting>,
    /// Variables with our prefix that no option has.
    pub unknown_variables: Vec<String>,
    /// The arguments that are neither an option nor its value.
    pub free: Vec<String>,
}

impl Spec {
    /// No options yet.
    pub fn new() -> Spec {
        Spec::default()
    }

    /// No options yet. Each has a variable of the environment whose name begins with `prefix`, but for those named here.
    pub fn with_variables(prefix: &'static str, without_variable: &'static [&'static str]) -> Spec {
        Spec { prefix, without_variable, ..Spec::default() }
    }

    /// Adds an option with one value. `short` may be empty.
    pub fn optopt(&mut self, short: &'static str, long: &'static str, text: &str, hint: &'static str) -> &mut Spec {
        self.add_with_value(Known { short, long, hint }, text, Kind::Value(hint))
    }

    /// Adds an option with a value that may be given again to add another.
    pub fn optmulti(&mut self, short: &'static str, long: &'static str, text: &str, hint: &'static str) -> &mut Spec {
        self.add_with_value(Known { short, long, hint }, text, Kind::List(hint))
    }

    fn add_with_value(&mut self, known: Known, text: &str, kind: Kind) -> &mut Spec {
        let text = self.add_variable(known.long, text, kind);
        // getopts calls a second value a mistake unless all are asked for.
        self.options.optmulti(known.short, known.long, &text, known.hint);
        self.known.push(known);
        self
    }

    /// Adds an option without a value.
    pub fn optflag(&mut self, short: &'static str, long: &'static str, text: &str) -> &mut Spec {
        let text = self.add_variable(long, text, Kind::Flag);
        self.options.optflagmulti(short, long, &text);
        self.known.push(Known { short, long, hint: "" });
        self
    }

    /// Returns the text with the variable's name behind it.
    fn add_variable(&mut self, long: &'static str, text: &str, kind: Kind) -> String {
        if self.prefix.is_empty() || self.without_variable.contains(&long) {
            return text.to_owned();
        }
        let variable = Variable::new(self.prefix, long, kind);
        let text = format!("{text} [{}]", variable.name);
        self.variables.push(variable);
        text
    }

    /// The variables that set options, in order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Reads the environment, for the options that the arguments do not have. The error is one line.
    pub fn add_environment(
        &self,
        arguments: &mut Arguments,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), String> {
        (arguments.settings, arguments.unknown_variables) = variables::read(self.prefix, &self.variables, environment)?;
        Ok(())
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
        Ok(Arguments { matches, settings: Vec::new(), unknown_variables: Vec::new(), free })
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
        self.opt_strs(long).pop()
    }

    /// All values of an option.
    pub fn opt_strs(&self, long: &str) -> Vec<String> {
        match self.setting(long) {
            Some(setting) => setting.values.clone(),
            None => self.matches.opt_strs(long),
        }
    }

    /// Whether the option was given.
    pub fn opt_present(&self, long: &str) -> bool {
        self.matches.opt_present(long) || self.setting(long).is_some()
    }

    /// The value of `long`, unless the flag `no` stands behind it. If the command line has neither, the variable of `no`
    /// counts more than that of `long`.
    pub fn opt_str_unless(&self, long: &str, no: &str) -> Option<String> {
        let last = |name| self.matches.opt_positions(name).last().copied();
        let is_refused = match (last(no), last(long)) {
            (None, None) => self.opt_present(no),
            (no, long) => no > long,
        };
        if is_refused { None } else { self.opt_str(long) }
    }

    /// The value of an option as a number of this range. The error is one line.
    pub fn number<T: TryFrom<u64>>(&self, long: &str, range: impl RangeBounds<u64>) -> Result<Option<T>, String> {
        let Some(text) = self.opt_str(long) else { return Ok(None) };
        number(&text, range).map(Some).map_err(|problem| self.mistake(long, &text, &problem))
    }

    /// The value of an option as an address of this machine or of another one. The error is one line.
    pub fn address(&self, long: &str) -> Result<Option<SocketAddr>, String> {
        let Some(text) = self.opt_str(long) else { return Ok(None) };
        let mistake = |_| self.mistake(long, &text, "expected IP:PORT, like 127.0.0.1:7777 or [::1]:7777");
        text.parse().map(Some).map_err(mistake)
    }

    /// A value that its option can't have, named as it was given: one line.
    pub fn mistake(&self, long: &str, text: &str, problem: &str) -> String {
        format!("{} {text:?}: {problem}", self.name_of(long))
    }

    /// How an option was given, for messages: `--listen`, or `CFP_LISTEN`.
    pub fn name_of(&self, long: &str) -> String {
        self.setting(long).map_or_else(|| format!("--{long}"), |setting| setting.name.clone())
    }

    /// What the environment says of an option that the command line does not have.
    fn setting(&self, long: &str) -> Option<&Setting> {
        let is_given = self.matches.opt_present(long);
        self.settings.iter().find(|setting| setting.option == long && !is_given)
    }
}

/// A number of this range, of digits alone. The error says what is expected.
pub fn number<T: TryFrom<u64>>(text: &str, range: impl RangeBounds<u64>) -> Result<T, String> {
    // `parse` would take `+7`, too.
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_digits && range.contains(value));
    value.and_then(|value| T::try_from(value).ok()).ok_or_else(|| {
        let min = match range.start_bound() {
            Bound::Included(min) => *min,
            Bound::Excluded(below) => below.saturating_add(1),
            Bound::Unbounded => 0,
        };
        match range.end_bound() {
            Bound::Included(max) => format!("expected a number from {min} to {max}"),
            Bound::Excluded(above) => format!("expected a number from {min} to {}", above.saturating_sub(1)),
            Bound::Unbounded => format!("expected a number of at least {min}"),
        }
    })
}

/// A SHA-256: 64 hexadecimal digits, with or without colons between the bytes.
pub fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> = text.chars().filter(|&c| c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
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
    fn the_command_line_wins_over_the_environment() {
        let parse = |words: &[&str], environment: &[(&str, &str)]| {
            let mut spec = Spec::with_variables("X_", &["help"]);
            spec.optopt("c", "control", "", "PATH").optmulti("", "merge", "", "HOST:PORT").optflag(
                "",
                "no-control",
                "",
            );
            spec.optflag("", "help", "");
            let mut arguments = spec.parse(words.iter().map(OsString::from)).unwrap();
            let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
            spec.add_environment(&mut arguments, environment).map(|()| arguments)
        };
        let given = parse(&["--merge", "c"], &[("X_MERGE", "a b"), ("X_CONTROL", "x")]).unwrap();
        assert_eq!((given.opt_strs("merge"), given.opt_str("control")), (vec!["c".to_owned()], Some("x".to_owned())));
        assert_eq!((given.name_of("merge").as_str(), given.name_of("control").as_str()), ("--merge", "X_CONTROL"));
        assert!(given.opt_present("control") && !given.opt_present("no-control"));
        let control = |words: &[&str], environment: &[(&str, &str)]| {
            parse(words, environment).unwrap().opt_str_unless("control", "no-control")
        };
        let both = [("X_CONTROL", "x"), ("X_NO_CONTROL", "1")];
        assert_eq!(control(&[], &both), None);
        assert_eq!(control(&["-c", "y"], &both).as_deref(), Some("y"));
        assert_eq!(control(&["--no-control"], &both[..1]), None);
        assert_eq!(control(&["--no-control", "-c", "y"], &both[..1]).as_deref(), Some("y"));
        assert_eq!(parse(&[], &[("X_HELP", "1")]).unwrap().unknown_variables, ["X_HELP"]);
    }

    #[test]
    fn a_number_is_digits_alone_within_its_range() {
        assert_eq!(number::<u8>("7", 0..=255), Ok(7));
        assert_eq!(number::<u64>("18446744073709551615", 1..), Ok(u64::MAX));
        for wrong in ["", "+7", "-7", " 7", "7 ", "0x7", "7.0", "seven", "0", "11", "18446744073709551616"] {
            let error = number::<u8>(wrong, 1..=10).unwrap_err();
            assert_eq!(error, "expected a number from 1 to 10", "{wrong:?}");
        }
        assert_eq!(number::<u64>("1", 2..).unwrap_err(), "expected a number of at least 2");
        assert_eq!(number::<u64>("4", 2..4).unwrap_err(), "expected a number from 2 to 3");
        let given = parse(&["--control", "a\nb", "--merge", "127.0.0.1:1"]).unwrap();
        let error = given.number::<u32>("control", ..=9).unwrap_err();
        assert_eq!(error, "--control \"a\\nb\": expected a number from 0 to 9");
        assert!(given.address("control").is_err_and(|error| error.contains("expected IP:PORT")));
        assert_eq!(given.address("merge"), Ok(Some("127.0.0.1:1".parse().unwrap())));
    }

    #[test]
    fn a_fingerprint_is_sixty_four_digits_however_they_are_written() {
        let expected = Some([0xAB; 32]);
        assert_eq!(fingerprint(&"ab".repeat(32)), expected);
        assert_eq!(fingerprint(&["AB"; 32].join(":")), expected);
        for wrong in ["", "ab", &"ab".repeat(33), &"ab".repeat(31), &"zz".repeat(32), &"a".repeat(63)] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
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
