//! The words of `ban` and `unban`: a nickname or a network, and perhaps for how long.

use ipnet::IpNet;

use crate::core::state::bans::Banned;
use crate::wire::Nickname;

/// What `ban` wants. A nickname may have blanks and may end like a duration; in quotes, it is what it is:
///
/// ```text
///  192.0.2.7           2001:db8::/32 2h       ana         two words 30m       "agent 60"       "192.0.2.7" 1d
/// ```
///
/// Returns what to ban, and for how many milliseconds; `None` means without an end. `is_nickname` says whether a client
/// has exactly that nickname, which then is meant. The error is the text behind `error`.
pub fn parse_ban(text: &str, is_nickname: impl Fn(&str) -> bool) -> Result<(Banned, Option<u64>), String> {
    let expected =
        || "expected ban NICKNAME, ban ADDRESS or ban ADDRESS/BITS, then perhaps a duration like 30m".to_owned();
    let text = text.trim_matches(' ');
    if let Some((nickname, rest)) = quoted(text) {
        let duration_ms = match rest.trim_matches(' ') {
            "" => None,
            duration => Some(duration_ms(duration).ok_or_else(expected)?),
        };
        return Ok((nickname_of(&nickname).ok_or_else(expected)?, duration_ms));
    }
    if text.starts_with('"') {
        return Err(expected());
    }
    if is_nickname(text) {
        return Ok((nickname_of(text).ok_or_else(expected)?, None));
    }
    let (whom, duration_ms) = match text.rsplit_once(' ').map(|(whom, last)| (whom, duration_ms(last))) {
        Some((whom, Some(duration_ms))) => (whom.trim_end_matches(' '), Some(duration_ms)),
        _ => (text, None),
    };
    Ok((network_of(whom).or_else(|| nickname_of(whom)).ok_or_else(expected)?, duration_ms))
}

/// What `unban` wants.
pub fn parse_unban(text: &str) -> Result<Banned, String> {
    let text = text.trim_matches(' ');
    let banned = match quoted(text) {
        Some((nickname, "")) => nickname_of(&nickname),
        Some(_) => None,
        None if text.starts_with('"') => None,
        None => network_of(text).or_else(|| nickname_of(text)),
    };
    banned.ok_or_else(|| "expected unban NICKNAME, unban ADDRESS or unban ADDRESS/BITS".to_owned())
}

fn nickname_of(text: &str) -> Option<Banned> {
    Nickname::parse(text).map(|nickname| Banned::Nickname(nickname.as_str().into()))
}

fn network_of(text: &str) -> Option<Banned> {
    let network =
        text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| address.into()));
    network.map(Banned::network)
}

/// A text in quotes, and the text behind it. In quotes, a backslash comes before a quote or another backslash, or
/// begins `\u{…}`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?.chars();
    let mut unquoted = String::new();
    loop {
        match rest.next()? {
            '"' => return Some((unquoted, rest.as_str())),
            '\\' => match rest.next()? {
                'u' => {
                    let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                    unquoted.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    rest = after.chars();
                }
                plain => unquoted.push(plain),
            },
            plain => unquoted.push(plain),
        }
    }
}

/// A number and its unit: seconds, minutes, hours, days, weeks; without one, seconds.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_seconds: u64 = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|&number| is_number && number > 0)?;
    number.checked_mul(unit_seconds)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nickname(text: &str) -> Banned {
        Banned::Nickname(text.into())
    }

    fn network(text: &str) -> Banned {
        Banned::network(text.parse().unwrap())
    }

    #[test]
    fn a_ban_names_a_nickname_or_a_network_and_perhaps_a_duration() {
        for (text, banned, seconds) in [
            ("ana", nickname("ana"), None),
            ("two words", nickname("two words"), None),
            ("two words 30m", nickname("two words"), Some(1800)),
            ("ana 60", nickname("ana"), Some(60)),
            ("ana 2h", nickname("ana"), Some(7200)),
            ("ana 1w", nickname("ana"), Some(604_800)),
            ("ana 2x", nickname("ana 2x"), None),
            ("ana 0", nickname("ana 0"), None),
            ("ana +5", nickname("ana +5"), None),
            ("2h", nickname("2h"), None),
            ("\"agent 60\"", nickname("agent 60"), None),
            ("\"agent 60\" 1d", nickname("agent 60"), Some(86_400)),
            ("\"a\\\"b\\\\c\\u{202e}\"", nickname("a\"b\\c\u{202e}"), None),
            ("agent 007", nickname("agent 007"), None),
            ("192.0.2.7", network("192.0.2.7/32"), None),
            ("192.0.2.7/24 1d", network("192.0.2.0/24"), Some(86_400)),
            ("2001:db8::1 5s", network("2001:db8::1/128"), Some(5)),
            ("::ffff:192.0.2.7", network("192.0.2.7/32"), None),
            ("::ffff:192.0.2.0/120", network("192.0.2.0/24"), None),
            ("\"192.0.2.7\"", nickname("192.0.2.7"), None),
        ] {
            let parsed = parse_ban(text, |name| name == "agent 007");
            assert_eq!(parsed, Ok((banned.clone(), seconds.map(|s| s * 1000))), "{text}");
            if seconds.is_none() {
                assert_eq!(parse_unban(text), Ok(banned), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_ban_is_an_error() {
        let long = "x".repeat(65);
        for text in ["", "  ", "\"ana", "\"ana\" later", "\"ana\" 0", "a\tb", "\"\\u{zz}\"", "\" ana\"", &long] {
            assert!(parse_ban(text, |_| false).is_err(), "{text:?}");
        }
        assert!(parse_unban("\"ana\" 30m").is_err() && parse_unban("\"ana").is_err());
        // Too long to be counted: no duration.
        assert_eq!(parse_ban("ana 99999999999999999999", |_| false).unwrap().1, None);
    }

    #[test]
    fn what_is_listed_can_be_taken_back_as_it_stands() {
        for banned in [nickname("two \"words\" \\ \u{202e}"), nickname("192.0.2.7"), network("2001:db8::/32")] {
            assert_eq!(parse_unban(&banned.to_string()), Ok(banned));
        }
    }
}
