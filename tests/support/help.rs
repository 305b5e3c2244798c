//! What `--help` and the control socket's `help` say, taken apart.
#![allow(dead_code, reason = "each test program uses a part of it")]

use cfp::core::session::operator::HELP;

/// The options of a `--help`, in order: how each is written (`-l, --listen IP:PORT`), and the text beside it.
pub fn options(help: &str) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    for line in help.split_once("Options:\n").unwrap().1.lines().take_while(|line| !line.trim().is_empty()) {
        let trimmed = line.trim_start();
        if trimmed.starts_with('-') {
            // Forms and text are columns, so what tells an argument from the text is that it is in capitals.
            let is_capital = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || ":@".contains(char);
            let is_form = |word: &&str| word.starts_with('-') || word.chars().all(is_capital);
            let forms: Vec<&str> = trimmed.split_whitespace().take_while(is_form).collect();
            let text: Vec<&str> = trimmed.split_whitespace().skip(forms.len()).collect();
            options.push((forms.join(" "), text.join(" ")));
        } else {
            let text = &mut options.last_mut().unwrap().1;
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(trimmed);
        }
    }
    options
}

/// The commands of the control socket, in order, with their arguments.
pub fn commands() -> Vec<&'static str> {
    HELP.lines().map(|line| line.split('\t').next().unwrap()).collect()
}
