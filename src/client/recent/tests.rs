#![allow(clippy::indexing_slicing)]
use super::*;
use crate::wire::ServerId;

fn somebody(nickname: &str) -> Recipient {
    Recipient::new(ServerId(7), nickname)
}

const NOBODY: &str = "nobody of that name is connected there";

/// What an ERROR brings: its line without the reason at its end.
fn error(recent: &mut Recent, now_ms: u64) -> Option<(String, Vec<u32>)> {
    match recent.on_error(ErrorReason::UnknownReceiver, now_ms) {
        Verdict::Answered | Verdict::Expected => None,
        Verdict::Failed { line, stop, .. } => Some((line.replace(&format!(": {NOBODY}"), ""), stop)),
    }
}

/// What is said about files.
fn said(settled: Vec<Settled>) -> Vec<String> {
    settled.into_iter().map(|settled| settled.line.replace(", 0 bytes/s", "")).collect()
}

/// The last chunk of an empty file was written.
fn complete(recent: &mut Recent, transfer_id: u32, line: &str, now_ms: u64) {
    recent.on_file_last(transfer_id, None);
    recent.on_file_written(transfer_id, Rated { line: line.to_owned(), bytes: 0, begun_ms: now_ms }, now_ms);
}

fn line(recent: &mut Recent, now_ms: u64) -> String {
    error(recent, now_ms).unwrap_or_default().0
}

#[test]
fn an_error_names_the_one_message_it_can_be_about() {
    let mut recent = Recent::default();
    recent.on_message_sent(&somebody("bob"), "hi\n", 0);
    assert_eq!(error(&mut recent, 10), Some(("not delivered: message to bob@7 \"hi\\n\"".into(), vec![])));
    assert_eq!(line(&mut recent, 20), "something did not arrive");
}

#[test]
fn the_errors_of_a_file_are_said_once_and_stop_it() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "a.iso"), 65, 0);
    recent.on_file_sent(&somebody("bob"), (3, 30, "a.iso"), 64, 5);
    assert_eq!(error(&mut recent, 10), Some(("stopped: file \"a.iso\" to bob@7".into(), vec![3])));
    for packet in 1..129 {
        assert_eq!(error(&mut recent, 10 + packet), None, "{packet}");
    }
    assert_eq!(line(&mut recent, 200), "something did not arrive");
}

#[test]
fn a_message_that_may_have_failed_is_named_while_the_errors_of_a_stopped_file_come() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "big"), 1000, 0);
    assert_eq!(error(&mut recent, 10).unwrap_or_default().1, [3]);
    for number in 0..6 {
        assert_eq!(error(&mut recent, 20), None);
        recent.on_message_sent(&somebody("bob"), &number.to_string(), 30);
        assert_eq!(line(&mut recent, 40), format!("perhaps not delivered: message to bob@7 \"{number}\""));
        assert_eq!(error(&mut recent, 50), None, "it was named");
    }
    recent.on_message_sent(&somebody("carl"), "x", 60);
    assert_eq!(line(&mut recent, 70), "perhaps not delivered: message to carl@7 \"x\"");
}

#[test]
fn messages_to_the_receiver_of_a_stopped_file_are_named_with_it() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "big"), 1000, 0);
    recent.on_message_sent(&somebody("bob"), "hi", 5);
    assert_eq!(
        line(&mut recent, 10),
        "stopped: file \"big\" to bob@7; perhaps not delivered either: message to bob@7 \"hi\""
    );
    assert_eq!(error(&mut recent, 20), None);
}

#[test]
fn where_several_messages_come_into_question_none_is_blamed_alone() {
    let mut recent = Recent::default();
    recent.on_message_sent(&somebody("bob"), "one", 0);
    recent.on_message_sent(&somebody("bob"), "two", 100);
    let (one, two) = ("message to bob@7 \"one\"", "message to bob@7 \"two\"");
    assert_eq!(line(&mut recent, 110), format!("one of these did not arrive: {one}, {two}"));
    recent.on_message_sent(&somebody("carl"), "three", 200);
    let three = "message to carl@7 \"three\"";
    assert_eq!(line(&mut recent, 210), format!("2 of these did not arrive: {one}, {two}, {three}"));
    assert_eq!(line(&mut recent, 220), format!("not delivered: {one}, {two}, {three}"));
    assert_eq!(line(&mut recent, 230), "something did not arrive");
}

#[test]
fn a_file_that_must_have_failed_is_stopped_whatever_else_may_have() {
    let mut recent = Recent::default();
    recent.on_message_sent(&somebody("bob"), "x", 0);
    recent.on_file_sent(&somebody("ben"), (3, 30, "a.iso"), 65, 0);
    let first = "one of these did not arrive: message to bob@7 \"x\", file \"a.iso\" to ben@7";
    assert_eq!(error(&mut recent, 10), Some((first.into(), vec![])));
    // The message has one ERROR at most, so one of two is the file's.
    assert_eq!(error(&mut recent, 20), Some(("stopped: file \"a.iso\" to ben@7".into(), vec![3])));
    assert_eq!(error(&mut recent, 30), None);
}

#[test]
fn what_is_complete_is_said_to_be_sent_after_a_moment_and_never_to_be_stopped() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "a"), 65, 0);
    complete(&mut recent, 3, "sent a", 100);
    assert!(recent.settled(SENT_WAIT_MS + 99).is_empty() && recent.is_unsettled());
    assert_eq!(said(recent.settled(SENT_WAIT_MS + 100)), ["sent a"]);
    assert!(!recent.is_unsettled());
    recent.on_message_sent(&somebody("bob"), "hi", 1000);
    assert_eq!(error(&mut recent, 1010), Some(("not delivered: message to bob@7 \"hi\"".into(), vec![])));
}

#[test]
fn a_file_that_goes_nowhere_is_not_said_to_be_sent() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "a"), 2, 0);
    complete(&mut recent, 3, "sent a", 0);
    assert_eq!(error(&mut recent, 10), Some(("not delivered whole: file \"a\" to bob@7".into(), vec![])));
    assert_eq!(error(&mut recent, 20), None);
    assert_eq!(said(recent.settled(10_000)), [""; 0]);
    // In doubt that is said.
    recent.on_message_sent(&somebody("bob"), "hi", 20_000);
    recent.on_file_sent(&somebody("bob"), (4, 30, "b"), 2, 20_000);
    complete(&mut recent, 4, "sent b", 20_000);
    assert_eq!(line(&mut recent, 20_010), "one of these did not arrive: message to bob@7 \"hi\", file \"b\" to bob@7");
    assert_eq!(said(recent.settled(30_000)), ["sent b, but it may not have arrived, as was said"]);
}

#[test]
fn at_the_end_everything_complete_is_said() {
    let mut recent = Recent::default();
    for transfer_id in [1, 2] {
        recent.on_file_sent(&somebody("bob"), (transfer_id, 30, "a"), 2, 0);
    }
    complete(&mut recent, 1, "sent a", 0);
    assert_eq!(said(recent.on_end(None, 0)), ["sent a"]);
    complete(&mut recent, 2, "sent a", 0);
    assert_eq!(said(recent.on_end(Some("gone"), 0)), ["may not have arrived whole: file \"a\" to bob@7: gone"]);
    assert_eq!(recent.wait_before_end_ms(100), SENT_WAIT_MS - 100);
    assert_eq!(Recent::default().wait_before_end_ms(100), 0);
}

#[test]
fn a_cancelled_file_is_silent_and_a_message_after_it_is_not() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "a"), 65, 0);
    recent.on_file_cancelled(3, 10);
    assert_eq!(error(&mut recent, 20), None);
    recent.on_message_sent(&somebody("bob"), "hi", 30);
    assert_eq!(line(&mut recent, 40), "perhaps not delivered: message to bob@7 \"hi\"");
}

#[test]
fn a_file_that_waits_long_for_its_receiver_is_still_known() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (3, 30, "a"), 65, 0);
    assert_eq!(error(&mut recent, 10 * ERROR_WAIT_MS).unwrap_or_default().1, [3]);
    assert_eq!(error(&mut recent, 11 * ERROR_WAIT_MS), None);
    assert_eq!(line(&mut recent, 12 * ERROR_WAIT_MS + 1), "something did not arrive");
}

#[test]
fn what_was_sent_long_ago_is_forgotten_and_the_table_stays_small() {
    let mut recent = Recent::default();
    recent.on_message_sent(&somebody("bob"), "old", 0);
    recent.on_message_sent(&somebody("carl"), "new", ERROR_WAIT_MS);
    assert_eq!(line(&mut recent, ERROR_WAIT_MS + 1), "not delivered: message to carl@7 \"new\"");
    for now_ms in 0..1000 {
        recent.on_message_sent(&somebody("bob"), &"é".repeat(500), 100_000 + now_ms);
    }
    assert_eq!(recent.groups.iter().map(|group| group.members.len()).sum::<usize>(), RECENT_MAX);
    let line = line(&mut recent, 101_000);
    assert!(line.ends_with(&format!(", {} more", RECENT_MAX - NAMED_AT_ONCE_MAX)), "{line}");
    // One that was forgotten may be the one that failed.
    for now_ms in 0..10 {
        recent.on_message_sent(&somebody("bob"), "x", 102_000 + now_ms);
    }
    assert!(error(&mut recent, 103_000).is_some());
}

#[test]
fn every_error_of_many_messages_brings_a_line_that_names_them() {
    let mut recent = Recent::default();
    for number in 0..30 {
        recent.on_message_sent(&somebody("bob"), &format!("<{number}>"), 0);
    }
    let lines: Vec<String> = (0..30).map(|_| line(&mut recent, 10)).collect();
    assert!((0..30).all(|number| lines.iter().any(|line| line.contains(&format!("<{number}>")))), "{lines:#?}");
    assert!(lines[29].starts_with("not delivered: "), "{}", lines[29]);
}

#[test]
fn a_file_is_complete_when_its_fence_comes_back_or_after_a_long_time() {
    let bob = somebody("bob");
    let with = (Some(3_000), 3_000 + SENT_WAIT_MS, "sent a, 1.0 kB/s");
    let without = (None, FILE_FENCE_MS + SENT_WAIT_MS, "sent a, 300 bytes/s");
    for (fence_ms, said_ms, line) in [with, without] {
        let mut recent = Recent::default();
        recent.on_file_sent(&bob, (1, 30, "a"), 2, 0);
        let rated = Rated { line: "sent a".into(), bytes: 3_000, begun_ms: 0 };
        recent.on_file_last(1, Some(42));
        recent.on_file_written(1, rated, 0);
        let mut all = Vec::new();
        for now_ms in (0..=2 * FILE_FENCE_MS).step_by(100) {
            if fence_ms == Some(now_ms) {
                assert!(!recent.on_fence(41, now_ms) && recent.on_fence(42, now_ms));
            }
            all.extend(said(recent.settled(now_ms)).into_iter().map(|line| (now_ms, line)));
        }
        assert_eq!(all, [(said_ms, line.to_owned())]);
    }
}

#[test]
fn a_fence_may_come_back_before_the_writing_of_its_file_has_ended() {
    let mut recent = Recent::default();
    recent.on_file_sent(&somebody("bob"), (1, 30, "a"), 2, 0);
    recent.on_file_last(1, Some(42));
    assert!(!recent.on_fence(41, 1_000) && recent.on_fence(42, 1_000));
    recent.on_file_written(1, Rated { line: "sent a".into(), bytes: 3_000, begun_ms: 0 }, 2_000);
    assert_eq!(said(recent.settled(2_000 + SENT_WAIT_MS)), ["sent a, 3.0 kB/s"]);
}

#[test]
fn the_answer_to_a_question_is_not_taken_for_that_of_a_message() {
    let bob = somebody("bob");
    let mut recent = Recent::default();
    assert!(recent.is_quiet(0));
    recent.on_probed();
    assert!(!recent.is_quiet(0));
    recent.on_message_sent(&bob, "hi", 0);
    assert_eq!(recent.on_error(ErrorReason::UnknownServer, 0), Verdict::Answered);
    assert!(matches!(recent.on_error(ErrorReason::UnknownServer, 0), Verdict::Failed { .. }));
}
