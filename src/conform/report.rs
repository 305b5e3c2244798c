//! What is told: lines for people, JSON, and JUnit's XML.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::{Value, json};

use super::bytes::{all_hex, described, grouped};
use super::case::{Deviation, SECTIONS, Section, Seen, Sent, Verdict, is_decision, is_in};

/// A case that was run.
#[derive(Debug)]
pub struct Entry {
    /// Its ID.
    pub id: &'static str,
    /// What must hold.
    pub claim: &'static str,
    /// The RFC's sentence.
    pub quote: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How many cases ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// That hold.
    pub ok: usize,
    /// That do not.
    pub failed: usize,
    /// That are read in another way.
    pub noted: usize,
    /// That were not run.
    pub skipped: usize,
}

impl Counts {
    /// Of these.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Counts {
        let mut counts = Counts::default();
        for entry in entries {
            *match entry.verdict {
                Verdict::Ok => &mut counts.ok,
                Verdict::Fail(_) => &mut counts.failed,
                Verdict::Note(_) => &mut counts.noted,
                Verdict::Skipped(_) => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// All of them.
    pub fn all(self) -> usize {
        self.ok + self.failed + self.noted + self.skipped
    }
}

fn section_of(id: &str) -> Option<Section> {
    SECTIONS.into_iter().find(|section| is_in(id, section.number))
}

fn heading(section: Section) -> String {
    format!("{}. {}", section.number, section.title)
}

/// What was told already: one mistake of a server often makes dozens of cases fail, and each would take a dozen lines.
#[derive(Debug, Default)]
pub struct Told {
    /// Why cases are skipped.
    reasons: Vec<String>,
    /// What to look at, and the case that said so first.
    hints: Vec<(String, &'static str)>,
}

/// The line of a case, and under it, what was seen in place of what should have come.
pub fn line(out: &mut dyn Write, entry: &Entry, told: &mut Told) -> io::Result<()> {
    let word = entry.verdict.word();
    writeln!(out, "  {word:<7}  {:<6} {}", entry.id, entry.claim)?;
    match &entry.verdict {
        Verdict::Skipped(why) if told.reasons.contains(why) => {}
        Verdict::Skipped(why) => {
            row(out, "because", why)?;
            told.reasons.push(why.clone());
        }
        verdict => {
            if let Some(deviation) = verdict.deviation() {
                // That a value is different says little: there, the bytes are needed.
                let hint = deviation.hint.as_ref().filter(|hint| !hint.contains("is different"));
                if let Some((hint, first)) = hint.and_then(|hint| told.hints.iter().find(|(known, _)| known == hint)) {
                    row(out, "look at", &format!("{hint} (as {first})"))?;
                    return out.flush();
                }
                told.hints.extend(hint.map(|hint| (hint.clone(), entry.id)));
                let group = entry.id.split_once('.').map_or(entry.id, |(group, _)| group).trim_start_matches('C');
                if is_decision(entry.id) {
                    row(out, "silent", &format!("another reading of what the RFC leaves open; ours is {group}"))?;
                } else {
                    row(out, "RFC", &format!("{group}: {}", entry.quote))?;
                }
                explain(out, deviation)?;
            }
        }
    }
    out.flush()
}

/// The heading of a section, before its first line.
pub fn title(out: &mut dyn Write, id: &str) -> io::Result<()> {
    section_of(id).map_or(Ok(()), |section| writeln!(out, "\n{}", heading(section)))
}

fn row(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    const INDENT: &str = "                  ";
    writeln!(out, "{INDENT}{name:<9} {}", text.replace('\n', &format!("\n{INDENT}{:<10}", "")))
}

fn explain(out: &mut dyn Write, deviation: &Deviation) -> io::Result<()> {
    let tell = |out: &mut dyn Write, who: &str, what: &str| match who {
        "" => row(out, "", what),
        who => row(out, "", &format!("{who}: {what}")),
    };
    for sent in &deviation.sent {
        row(out, "sent", &grouped(&sent.bytes))?;
        tell(out, &sent.by, &described(&sent.bytes))?;
    }
    for (name, seen) in [("expected", &deviation.expected), ("seen", &deviation.seen)] {
        match seen {
            Seen::Bytes(bytes) => {
                row(out, name, &grouped(bytes))?;
                tell(out, &deviation.by, &described(bytes))?;
            }
            seen if deviation.by.is_empty() => row(out, name, &seen.to_string())?,
            seen => row(out, name, &format!("{seen}   ({})", deviation.by))?,
        }
    }
    deviation.hint.as_ref().map_or(Ok(()), |hint| row(out, "look at", hint))
}

/// A table with a row for each section, and the sum.
pub fn summary(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    writeln!(out, "\n{:<60} {:>5} {:>5} {:>5} {:>7}", "", "ok", "FAIL", "note", "skipped")?;
    let mut table = |name: &str, counts: Counts| {
        let [ok, failed, noted, skipped] =
            [counts.ok, counts.failed, counts.noted, counts.skipped].map(|count| match count {
                0 => "-".to_owned(),
                count => count.to_string(),
            });
        writeln!(out, "{name:<60} {ok:>5} {failed:>5} {noted:>5} {skipped:>7}")
    };
    for section in SECTIONS {
        let counts = Counts::of(entries.iter().filter(|entry| is_in(entry.id, section.number)));
        if counts.all() > 0 {
            table(&heading(section), counts)?;
        }
    }
    let counts = Counts::of(entries);
    table("all", counts)?;
    let end = match counts {
        Counts { failed: 1.., .. } => {
            "Begin with the first FAIL: others may follow from it. The RFC says that it must hold."
        }
        Counts { ok: 0, noted: 0, .. } => "Nothing was checked.",
        Counts { noted: 1.., .. } => "Nothing fails. A note is another reading of what the RFC leaves open.",
        _ => "Nothing fails.",
    };
    if counts.skipped > 0 {
        let skipped = counts.skipped;
        writeln!(out, "\nNot run: {skipped}. What they need stands below the first of each.")?;
    }
    writeln!(out, "\n{end}")
}

fn seen_as_json(seen: &Seen) -> Value {
    match seen {
        Seen::Bytes(bytes) => json!({"bytes": all_hex(bytes), "packet": described(bytes)}),
        Seen::End => json!({"end": true}),
        Seen::Nothing => json!({"nothing": true}),
        Seen::Words(words) => json!({"words": words}),
    }
}

/// All of it as JSON. What a case does not have is null.
pub fn json(subject: &str, entries: &[Entry]) -> Value {
    let sent = |sent: &Sent| json!({"by": sent.by, "bytes": all_hex(&sent.bytes), "packet": described(&sent.bytes)});
    let each = |entry: &Entry| {
        let deviation = entry.verdict.deviation();
        let why = if let Verdict::Skipped(why) = &entry.verdict { Some(why) } else { None };
        json!({
            "id": entry.id,
            "section": section_of(entry.id).map(|section| section.number),
            "source": if is_decision(entry.id) { "decision" } else { "RFC" },
            "claim": entry.claim,
            "quote": entry.quote,
            "verdict": entry.verdict.word(),
            "seconds": entry.seconds,
            "why": why,
            "sent": deviation.map(|it| it.sent.iter().map(sent).collect::<Vec<_>>()),
            "by": deviation.map(|it| &it.by),
            "expected": deviation.map(|it| seen_as_json(&it.expected)),
            "seen": deviation.map(|it| seen_as_json(&it.seen)),
            "hint": deviation.and_then(|it| it.hint.as_ref()),
        })
    };
    let counts = Counts::of(entries);
    json!({
        "version": 1,
        "subject": subject,
        "cases": entries.iter().map(each).collect::<Vec<_>>(),
        "summary": {"ok": counts.ok, "FAIL": counts.failed, "note": counts.noted, "skipped": counts.skipped},
    })
}

/// All of it as JUnit's XML: a suite for each section.
pub fn junit(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let mut writer = Writer::new_with_indent(out, b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attribute(("name", "cfp-conform")).write_inner_content(|writer| {
        for section in SECTIONS {
            let cases: Vec<&Entry> = entries.iter().filter(|entry| is_in(entry.id, section.number)).collect();
            if !cases.is_empty() {
                suite(writer, section, &cases)?;
            }
        }
        Ok(())
    })?;
    writer.get_mut().flush()
}

fn suite<W: Write>(writer: &mut Writer<W>, section: Section, cases: &[&Entry]) -> io::Result<()> {
    let counts = Counts::of(cases.iter().copied());
    let seconds: f64 = cases.iter().map(|entry| entry.seconds).sum();
    let attributes = [
        ("name", heading(section)),
        ("tests", counts.all().to_string()),
        ("failures", counts.failed.to_string()),
        ("errors", "0".to_owned()),
        ("skipped", counts.skipped.to_string()),
        ("time", format!("{seconds:.3}")),
    ];
    let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
    writer
        .create_element("testsuite")
        .with_attributes(attributes)
        .write_inner_content(|writer| cases.iter().try_for_each(|entry| case(writer, entry)))?;
    Ok(())
}

fn case<W: Write>(writer: &mut Writer<W>, entry: &Entry) -> io::Result<()> {
    let (name, time) = (format!("{} {}", entry.id, entry.claim), format!("{:.3}", entry.seconds));
    let element = writer.create_element("testcase").with_attributes([
        ("classname", "cfp-conform"),
        ("name", name.as_str()),
        ("time", time.as_str()),
    ]);
    let told = |deviation: &Deviation| {
        let mut text = Vec::new();
        // Writing into memory does not fail.
        let _ = explain(&mut text, deviation);
        String::from_utf8_lossy(&text).into_owned()
    };
    match &entry.verdict {
        Verdict::Ok => element.write_empty()?,
        Verdict::Skipped(why) => element.write_inner_content(|writer| {
            writer.create_element("skipped").with_attribute(("message", why.as_str())).write_empty().map(|_| ())
        })?,
        Verdict::Fail(deviation) => element.write_inner_content(|writer| {
            let failure = writer.create_element("failure").with_attribute(("message", entry.quote));
            failure.write_text_content(BytesText::new(&told(deviation))).map(|_| ())
        })?,
        Verdict::Note(deviation) => element.write_inner_content(|writer| {
            let text = format!("note: another reading of what the RFC leaves open\n{}", told(deviation));
            writer.create_element("system-out").write_text_content(BytesText::new(&text)).map(|_| ())
        })?,
    };
    Ok(())
}
