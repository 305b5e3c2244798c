//! The name that a received file gets. What the sender calls it is hostile until shown otherwise.

use super::escape::{beginning, is_treacherous};
use super::limits::SAVED_NAME_MAX_BYTES;

/// A name that is safe in any folder: no path, not hidden, not reserved, nothing invisible, not too long.
///
/// Takes the last part of a path. A character that a name cannot hold becomes `_` or is removed. If nothing is left,
/// the file is called `file`.
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe: String = last
        .chars()
        .filter(|&char| !is_treacherous(char))
        .map(|char| if matches!(char, '<' | '>' | ':' | '"' | '|' | '?' | '*') { '_' } else { char })
        .collect();
    // A dot in front hides a file, a hyphen makes an option of it, a tilde a home folder.
    safe = safe.trim_start_matches(|char: char| char == '.' || char.is_whitespace()).to_owned();
    if safe.starts_with(['-', '~']) {
        safe.replace_range(..1, "_");
    }
    shorten(&mut safe, SAVED_NAME_MAX_BYTES);
    // Some systems drop dots and blanks at the end, and so make another name of it.
    safe.truncate(safe.trim_end_matches(|char: char| char == '.' || char.is_whitespace()).len());
    if is_reserved(&safe) {
        safe.insert(0, '_');
    }
    if safe.is_empty() { "file".to_owned() } else { safe }
}

/// The name with a number before its extension: `photo.jpg` becomes `photo-2.jpg`.
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, extension) = split_extension(name);
    format!("{stem}-{number}{extension}")
}

fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

/// Names that are devices on Windows, whatever their extension: files may end up on a shared disk.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered.is_some_and(|rest| {
            matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
}

/// Cuts the name in its stem, so that a sensible extension stays.
fn shorten(name: &mut String, max_bytes: usize) {
    if name.len() <= max_bytes {
        return;
    }
    let (stem, extension) = split_extension(name);
    let extension = if extension.len() <= 20 { extension.to_owned() } else { String::new() };
    *name = beginning(stem, max_bytes - extension.len()).to_owned() + &extension;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hostile_name_becomes_a_harmless_one() {
        let names = [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("..", "file"),
            (".", "file"),
            ("a/..", "file"),
            ("a/", "file"),
            (" ", "file"),
            (".bashrc", "bashrc"),
            ("...x", "x"),
            ("-rf", "_rf"),
            ("~root", "_root"),
            ("a\nb\u{1b}[2J.txt", "ab[2J.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("\u{202e}.hidden", "hidden"),
            ("nul\u{200b}", "_nul"),
            ("NUL", "_NUL"),
            ("con.txt", "_con.txt"),
            ("Lpt1.log", "_Lpt1.log"),
            ("console.txt", "console.txt"),
            ("a:b*c?.txt", "a_b_c_.txt"),
            ("trailing. . ", "trailing"),
            ("日本語.txt", "日本語.txt"),
        ];
        for (name, safe) in names {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        assert_eq!(numbered("photo.jpg", 1), "photo-1.jpg");
        assert_eq!(numbered("a.tar.gz", 12), "a.tar-12.gz");
        assert_eq!(numbered("README", 3), "README-3");
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let safe = safe_name(&format!("{}.jpeg", "é".repeat(125)));
        assert!(safe.ends_with("é.jpeg") && safe.len() <= SAVED_NAME_MAX_BYTES, "{safe}");
    }

    proptest! {
        #[test]
        fn every_name_comes_out_safe_and_stays_so(name in prop_oneof![
            ".{0,255}", "[./\\\\~ -]{0,20}", "(?i)(con|nul|com1|aux)[. \u{200b}]{0,3}[a-z]{0,3}"
        ]) {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= SAVED_NAME_MAX_BYTES + 1);
            prop_assert!(!safe.contains(['/', '\\', '\0']));
            prop_assert!(!safe.starts_with(['.', '-', '~', ' ']) && !safe.ends_with(['.', ' ']));
            prop_assert!(!safe.chars().any(is_treacherous));
            prop_assert!(!is_reserved(&safe));
            prop_assert_eq!(safe_name(&safe), safe);
        }
    }
}
