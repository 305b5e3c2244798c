//! Writes the files, from what `--help` says.

use std::fmt::Write as _;

use super::help;

/// What a shell may offer for the value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It has no value.
    Flag,
    /// Files.
    Files,
    /// Folders.
    Folders,
    /// These words.
    Words(Vec<String>),
    /// Nothing: nobody can guess the value.
    Nothing,
}

/// An option.
#[derive(Debug)]
pub struct CliOption {
    pub long: String,
    pub short: Option<char>,
    pub hint: String,
    pub text: String,
    pub is_repeated: bool,
    pub offer: Offer,
}

/// A program and its options.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    pub options: Vec<CliOption>,
}

const ORIGIN: &str = "tests/completions.rs writes this file.";

impl Program {
    pub fn new(name: &'static str, usage: &str, commands: &[&str]) -> Program {
        let option = |(forms, text): &(String, String)| {
            let mut words = forms.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
            let short = words.next_if(|word| !word.starts_with("--")).and_then(|word| word.chars().nth(1));
            let long = words.next().unwrap().trim_start_matches('-').to_owned();
            let hint = words.next().unwrap_or_default().to_owned();
            let offer = match hint.as_str() {
                "" => Offer::Flag,
                "FILE" | "PATH" => Offer::Files,
                "DIR" => Offer::Folders,
                "COMMAND" if !commands.is_empty() => {
                    // `forget` is there twice, with two kinds of arguments.
                    let mut words: Vec<String> =
                        commands.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
                    words.dedup();
                    Offer::Words(words)
                }
                _ => Offer::Nothing,
            };
            let text = text.split_once(" [CFP_").map_or(text.as_str(), |(text, _)| text).to_owned();
            CliOption { long, short, hint, is_repeated: text.contains("may be repeated"), text, offer }
        };
        Program { name, options: help::options(usage).iter().map(option).collect() }
    }

    /// The files with their paths.
    pub fn files(&self) -> Vec<(String, String)> {
        let name = self.name;
        vec![
            (format!("docs/completions/{name}.bash"), self.bash()),
            (format!("docs/completions/_{name}"), self.zsh()),
            (format!("docs/completions/{name}.fish"), self.fish()),
        ]
    }

    /// The forms of the options whose value is like this, with `|` between them.
    fn forms(&self, is_wanted: impl Fn(&Offer) -> bool) -> String {
        let options = self.options.iter().filter(|option| is_wanted(&option.offer));
        options.flat_map(CliOption::forms).collect::<Vec<String>>().join(" | ")
    }

    fn bash(&self) -> String {
        let name = self.name;
        let mut text = format!("# Completions of {name} for bash. {ORIGIN}\n\n_{}() {{\n", name.replace('-', "_"));
        text.push_str(
            "    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}\n    \
             COMPREPLY=()\n    \
             # --option=value are three words.\n    \
             if [[ $current == = ]]; then\n        current=\n    \
             elif [[ $option == = ]]; then\n        option=${COMP_WORDS[COMP_CWORD - 2]}\n    fi\n    \
             case $option in\n",
        );
        let offers = [(Offer::Files, "-f"), (Offer::Folders, "-d")];
        for (offer, flag) in offers {
            let forms = self.forms(|known| *known == offer);
            if !forms.is_empty() {
                text.push_str(&format!(
                    "        {forms})\n            compopt -o filenames\n            \
                     mapfile -t COMPREPLY < <(compgen {flag} -- \"$current\")\n            return\n            ;;\n"
                ));
            }
        }
        for option in &self.options {
            if let Offer::Words(words) = &option.offer {
                let (forms, words) = (option.forms().join(" | "), words.join(" "));
                text.push_str(&format!(
                    "        {forms})\n            mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$current\")\n            \
                     return\n            ;;\n"
                ));
            }
        }
        let forms = self.forms(|offer| *offer == Offer::Nothing);
        text.push_str(&format!("        {forms})\n            return\n            ;;\n    esac\n"));
        let all: Vec<String> = self.options.iter().map(|option| format!("--{}", option.long)).collect();
        text.push_str("    local options='\n");
        for words in all.chunks(6) {
            writeln!(text, "        {}", words.join(" ")).unwrap();
        }
        text.push_str("    '\n    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n}\n\n");
        writeln!(text, "complete -F _{} {name}", name.replace('-', "_")).unwrap();
        text
    }

    fn zsh(&self) -> String {
        let mut text = format!("#compdef {}\n# Completions for zsh. {ORIGIN}\n\n_arguments -s", self.name);
        for option in &self.options {
            // What may be repeated excludes nothing; of the others, one form excludes the other.
            let mut forms: Vec<String> = option.forms();
            let excluded = if option.is_repeated { "*".to_owned() } else { format!("({})", forms.join(" ")) };
            if option.offer != Offer::Flag {
                forms.iter_mut().for_each(|form| form.push(if form.starts_with("--") { '=' } else { '+' }));
            }
            let forms = match forms.as_slice() {
                [form] => form.clone(),
                _ => format!("'{{{}}}'", forms.join(",")),
            };
            let described = option.text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]");
            let hint = option.hint.replace(':', "\\:");
            let action = match &option.offer {
                Offer::Flag => String::new(),
                Offer::Files => format!(":{hint}:_files"),
                Offer::Folders => format!(":{hint}:_files -/"),
                Offer::Words(words) => format!(":{hint}:({})", words.join(" ")),
                Offer::Nothing => format!(":{hint}: "),
            };
            write!(text, " \\\n    '{excluded}{forms}[{described}]{action}'").unwrap();
        }
        text.push('\n');
        text
    }

    fn fish(&self) -> String {
        let mut text = format!("# Completions of {} for fish. {ORIGIN}\n\ncomplete -c {} -f\n", self.name, self.name);
        for option in &self.options {
            let short = option.short.map_or(String::new(), |short| format!(" -s {short}"));
            let value = match &option.offer {
                Offer::Flag => String::new(),
                Offer::Files => " -r -F".to_owned(),
                Offer::Folders => " -x -a '(__fish_complete_directories)'".to_owned(),
                Offer::Words(words) => format!(" -x -a '{}'", words.join(" ")),
                Offer::Nothing => " -x".to_owned(),
            };
            let described = option.text.replace('\\', "\\\\").replace('\'', "\\'");
            writeln!(text, "complete -c {}{short} -l {}{value} -d '{described}'", self.name, option.long).unwrap();
        }
        text
    }
}

impl CliOption {
    /// `-i`, `--id`.
    fn forms(&self) -> Vec<String> {
        self.short.map(|short| format!("-{short}")).into_iter().chain([format!("--{}", self.long)]).collect()
    }
}

/// `/etc/default/cfp-server`: every variable, and an example of its value.
pub fn default_file(usage: &str) -> String {
    let mut text = String::from(
        "# The options of cfp-server, as cfp-server(1) describes them. After a change: systemctl restart cfp-server\n\
         # A list has commas or blanks between its values. A flag is 1 or 0. A line without a value is a mistake.\n",
    );
    for (forms, about) in help::options(usage) {
        let Some((about, name)) = about.trim_end_matches(']').rsplit_once(" [") else { continue };
        let hint = forms.split(' ').next_back().unwrap();
        // Examples are of the kind that the option takes, and defaults are those of --help.
        let default = about.split_once("(default ").map(|(_, rest)| rest.split_once(')').unwrap().0);
        let number = default.filter(|default| default.starts_with(|char: char| char.is_ascii_digit()));
        let example = match (name, hint) {
            ("CFP_ID", _) => "1",
            ("CFP_CONTROL", _) => "/run/cfp/control",
            ("CFP_ADVERTISE", _) => "192.0.2.7:7777",
            ("CFP_METRICS", _) => "127.0.0.1:9100",
            ("CFP_USERS", _) => "/etc/cfp/users",
            ("CFP_TLS_CERT", _) => "/etc/cfp/cert.pem",
            ("CFP_TLS_KEY", _) => "/etc/cfp/key.pem",
            ("CFP_PEER_CA", _) => "/etc/cfp/peer-ca.pem",
            ("CFP_PROXY_FROM", _) => "192.0.2.1",
            (_, "HOST:PORT") => "\"192.0.2.8:7777, chat.example:7777\"",
            (_, "CIDR") => "\"192.0.2.0/24, 198.51.100.7\"",
            (_, "FILE" | "PATH") => "/etc/cfp/file",
            (_, "N") => "1000",
            (_, "BYTES") => number.unwrap_or("1000000"),
            (_, "SECONDS" | "IP:PORT") => number.unwrap_or("60"),
            _ => "1",
        };
        let mut first = about[..1].to_uppercase();
        first.push_str(&about[1..]);
        write!(text, "\n# {}.\n#{name}={example}\n", first.replace("; may be repeated", "")).unwrap();
    }
    text
}
