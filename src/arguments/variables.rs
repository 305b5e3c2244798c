//! Options from the environment: `CFP_MAX_CLIENTS=100` says what `--max-clients 100` says.

use std::ffi::OsString;

/// Most names of unknown variables that a warning lists.
const UNKNOWN_LISTED_MAX: usize = 8;
/// Most typing mistakes by which a name counts as a mistyped one of ours.
const MISTAKES_MAX: usize = 2;

/// An option that the environment can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The option's long name.
    pub option: &'static str,
    /// The variable's name.
    pub name: String,
    /// What its value is like.
    pub kind: Kind,
}

/// What the value of a variable is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One value of this form.
    Value(&'static str),
    /// Values of this form, with commas or blanks between them.
    List(&'static str),
    /// Whether a flag is given.
    Flag,
}

/// What the environment says of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option's long name.
    pub option: &'static str,
    /// The variable's name.
    pub name: String,
    /// The option's values. A flag that is given has none.
    pub values: Vec<String>,
}

impl Variable {
    /// The variable of an option: `max-clients` is `CFP_MAX_CLIENTS`.
    pub fn new(prefix: &str, option: &'static str, kind: Kind) -> Variable {
        Variable { option, name: format!("{prefix}{}", capitals(option)), kind }
    }

    /// Reads its value. `None` is a flag that is not given.
    fn read(&self, value: OsString) -> Result<Option<Setting>, String> {
        let name = &self.name;
        let value = value.into_string().map_err(|_| format!("{name}: expected UTF-8"))?;
        let setting = |values| Some(Setting { option: self.option, name: name.clone(), values });
        match self.kind {
            Kind::Value(hint) if value.trim().is_empty() => Err(empty(name, hint)),
            Kind::Value(hint) if value.trim() != value => {
                Err(format!("{name} {value:?}: expected {hint}, without blanks at its ends"))
            }
            Kind::Value(_) => Ok(setting(vec![value])),
            Kind::List(hint) if value.trim().is_empty() => Err(empty(name, hint)),
            Kind::List(hint) => {
                // Between two commas, something is missing; around a comma, blanks mean nothing.
                if value.split(',').any(|part| part.trim().is_empty()) {
                    return Err(format!("{name} {value:?}: expected {hint} on each side of a comma"));
                }
                let words = value.split(|char: char| char == ',' || char.is_whitespace());
                Ok(setting(words.filter(|word| !word.is_empty()).map(str::to_owned).collect()))
            }
            Kind::Flag => match value.to_ascii_lowercase().as_str() {
                "1" | "yes" | "true" => Ok(setting(Vec::new())),
                "0" | "no" | "false" => Ok(None),
                _ => Err(format!("{name} {value:?}: expected 1, yes or true, or 0, no or false")),
            },
        }
    }
}

fn empty(name: &str, hint: &str) -> String {
    format!("{name} is empty: expected {hint}; if the default is wanted, unset it")
}

/// Reads the variables that begin with `prefix`. Returns what they set, and the names that no option has.
///
/// # Errors
/// A value that its option can't have, or a name that is nearly one of ours: an operator who mistyped it would get the
/// default without a word. One line names the variable. No value of a variable that is not ours is ever repeated: it
/// may be a secret.
pub fn read(
    prefix: &str,
    known: &[Variable],
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Setting>, Vec<String>), String> {
    let (mut settings, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let name = name.to_string_lossy();
        let capitals = capitals(&name);
        if !capitals.starts_with(prefix) {
            continue;
        }
        if let Some(variable) = known.iter().find(|known| known.name == name) {
            settings.extend(variable.read(value)?);
        } else if let Some(meant) = known.iter().find(|known| is_nearly(&known.name, &capitals, prefix)) {
            return Err(format!("{name}: no option has this variable; is {} meant?", meant.name));
        } else {
            unknown.push(name.into_owned());
        }
    }
    unknown.sort_unstable();
    Ok((settings, unknown))
}

/// One line about variables that no option has. Kubernetes makes such ones for a service of this name.
pub fn warning(unknown: &[String]) -> Option<String> {
    let listed = unknown.iter().take(UNKNOWN_LISTED_MAX).map(|name| name.escape_debug().to_string());
    let listed = listed.collect::<Vec<String>>().join(", ");
    let more = match unknown.len().saturating_sub(UNKNOWN_LISTED_MAX) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let text = || format!("no option has these variables, which change nothing: {listed}{more}; --help lists ours");
    (!unknown.is_empty()).then(text)
}

/// A name as variables are written.
fn capitals(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// Whether `name` is `known` but for its case, or for few typing mistakes behind the prefix. Short names allow fewer.
fn is_nearly(known: &str, name: &str, prefix: &str) -> bool {
    let behind = |name: &'_ str| -> Vec<char> { name.chars().skip(prefix.len()).collect() };
    let (known, name) = (behind(known), behind(name));
    mistakes(&known, &name) <= MISTAKES_MAX.min(known.len() / 3)
}

/// The least number of letters added, left out, replaced, or swapped with the next one (optimal string alignment).
fn mistakes(wanted: &[char], typed: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=typed.len()).collect();
    for (i, letter) in wanted.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in typed.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut least = at(&last, j) + usize::from(letter != other);
            least = least.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let is_swapped = i > 0 && j > 0 && wanted.get(i - 1) == Some(other) && typed.get(j - 1) == Some(letter);
            if is_swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(wanted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(environment: &[(&str, &str)]) -> Result<(Vec<Setting>, Vec<String>), String> {
        let known = [
            Variable::new("CFP_", "id", Kind::Value("N")),
            Variable::new("CFP_", "merge", Kind::List("HOST:PORT")),
            Variable::new("CFP_", "max-queue", Kind::Value("BYTES")),
            Variable::new("CFP_", "no-guests", Kind::Flag),
        ];
        read("CFP_", &known, environment.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn values(name: &str, value: &str) -> Vec<String> {
        let (settings, unknown) = read_all(&[(name, value)]).unwrap();
        assert_eq!((settings.len(), unknown.len()), (1, 0), "{name}={value}");
        settings[0].values.clone()
    }

    #[test]
    fn a_list_has_commas_or_blanks_between_its_values() {
        assert_eq!(values("CFP_MERGE", "a:1"), ["a:1"]);
        for list in ["a:1,b:2", "a:1 b:2", "a:1, b:2", " a:1\tb:2\n", "a:1 ,b:2"] {
            assert_eq!(values("CFP_MERGE", list), ["a:1", "b:2"], "{list:?}");
        }
        assert_eq!(values("CFP_ID", "7"), ["7"]);
    }

    #[test]
    fn a_flag_is_given_or_not() {
        for yes in ["1", "yes", "true", "YES", "True"] {
            assert!(values("CFP_NO_GUESTS", yes).is_empty());
        }
        for no in ["0", "no", "false", "No"] {
            assert_eq!(read_all(&[("CFP_NO_GUESTS", no)]), Ok((vec![], vec![])));
        }
    }

    #[test]
    fn a_value_that_is_none_is_one_line_that_names_the_variable() {
        for (name, value) in [
            ("CFP_ID", ""),
            ("CFP_ID", " "),
            ("CFP_ID", "7 "),
            ("CFP_MERGE", ""),
            ("CFP_MERGE", ","),
            ("CFP_MERGE", "a:1,"),
            ("CFP_MERGE", "a:1,,b:2"),
            ("CFP_NO_GUESTS", ""),
            ("CFP_NO_GUESTS", "on\n"),
            ("CFP_NO_GUESTS", "2"),
        ] {
            let error = read_all(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(name) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_mistyped_name_is_a_mistake_and_a_foreign_one_is_told() {
        for (typed, meant) in [
            ("CFP_MERGES", "CFP_MERGE"),
            ("CFP_MREGE", "CFP_MERGE"),
            ("CFP_MERG", "CFP_MERGE"),
            ("cfp_id", "CFP_ID"),
            ("CFP-ID", "CFP_ID"),
            ("CFP_MAXQUEUE", "CFP_MAX_QUEUE"),
            ("CFP_NO_GUEST", "CFP_NO_GUESTS"),
        ] {
            let error = read_all(&[(typed, "secret")]).unwrap_err();
            assert!(error.contains(typed) && error.contains(meant) && !error.contains("secret"), "{error}");
        }
        let foreign = ["CFP_SERVER", "CFP_PORT", "CFP_IMAGE", "CFP_PORT_7777_TCP", "CFP_SIM_SEEDS"];
        let (settings, unknown) = read_all(&foreign.map(|name| (name, "secret"))).unwrap();
        assert!(settings.is_empty() && unknown.len() == foreign.len(), "{unknown:?}");
        let line = warning(&unknown).unwrap();
        assert!(foreign.iter().all(|name| line.contains(name)) && !line.contains("secret"), "{line}");
        assert_eq!(read_all(&[("PATH", ""), ("CFPX", ""), ("ACFP_ID", "")]), Ok((vec![], vec![])));
        let many: Vec<String> = (0..20).map(|i| format!("CFP_X\n{i}")).collect();
        assert!(warning(&many).is_some_and(|line| line.contains("12 more") && line.lines().count() == 1));
        assert_eq!(warning(&[]), None);
    }

    #[test]
    fn mistakes_count_letters_added_left_out_replaced_and_swapped() {
        let count = |a: &str, b: &str| mistakes(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (wanted, typed, number) in
            [("merge", "merge", 0), ("merge", "mrege", 1), ("merge", "merges", 1), ("merge", "mrg", 2), ("id", "", 2)]
        {
            assert_eq!((count(wanted, typed), count(typed, wanted)), (number, number), "{wanted} {typed}");
        }
    }
}
