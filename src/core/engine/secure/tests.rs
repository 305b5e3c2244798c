//! The layer alone, over a kernel and with a cipher that do as they are told.

use std::cell::Cell;
use std::collections::VecDeque;

use super::*;

/// A kernel that answers writes as it is told, then takes everything.
#[derive(Debug, Default)]
struct Kernel {
    answers: VecDeque<Result<usize, ErrorKind>>,
    taken: Vec<u8>,
    writes: usize,
    reads: usize,
    is_shut: bool,
}

impl Socket for Kernel {
    fn read(&mut self, _: &mut [u8]) -> io::Result<Received> {
        self.reads += 1;
        Ok(Received::plain(1, 1))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        self.writes += 1;
        let count = self.answers.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
        self.taken.extend(&bytes[..count]);
        Ok(Sent::plain(count, bytes.len()))
    }

    fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<Sent> {
        Ok(Sent { bytes: 5, is_stuck: false })
    }

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(3)
    }

    fn take_peeked(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(4)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.is_shut = true;
        Ok(())
    }

    fn set_keepalive(&mut self, _: Keepalive) {}
}

/// A record is its bytes in brackets, an end is a full stop, and a dialler says hello.
#[derive(Debug)]
struct Brackets {
    is_handshaking: bool,
    refuses: bool,
    opens: Cell<usize>,
}

impl Cipher for Brackets {
    fn open(&mut self, _: &mut [u8], _: &mut [u8], out: &mut Vec<u8>) -> Result<Opened, Refusal> {
        self.opens.set(self.opens.get() + 1);
        out.extend(b"hello");
        Ok(Opened::default())
    }

    fn seal(&mut self, _: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.refuses {
            return Err(Refusal::Plaintext);
        }
        out.extend([b"[", plain, b"]"].concat());
        Ok(())
    }

    fn seal_end(&mut self, _: &mut [u8], out: &mut Vec<u8>) {
        out.push(b'.');
    }

    fn is_handshaking(&self) -> bool {
        self.is_handshaking
    }

    fn certified_ids(&self) -> Option<&[ServerId]> {
        Some(&[ServerId(9)])
    }
}

#[derive(Debug)]
struct Maker;

impl Ciphers for Maker {
    type Cipher = Brackets;

    fn accept(&self) -> Option<Brackets> {
        None
    }

    fn is_required(&self) -> bool {
        false
    }
}

fn brackets(is_handshaking: bool) -> Brackets {
    Brackets { is_handshaking, refuses: false, opens: Cell::new(0) }
}

fn secure(is_handshaking: bool) -> Secure<Kernel, Maker> {
    Secure::dialled(Kernel::default(), &Shared::new(Maker), brackets(is_handshaking))
}

fn encrypted(secure: &mut Secure<Kernel, Maker>) -> &mut Encrypted<Brackets> {
    match &mut secure.layer {
        Layer::Encrypted(encryption) => &mut encryption.state,
        _ => panic!("it is encrypted"),
    }
}

fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

#[test]
fn a_record_is_begun_with_once_it_is_whole_or_can_never_be_one() {
    let cases: &[(&[u8], bool)] = &[
        (b"", false),
        (b"\x16", false),
        (b"\x16\x03", false),
        (b"\x16\x02", true),
        (b"\x16\x03\x03\x00", false),
        (b"\x16\x03\x03\x00\x02", false),
        (b"\x16\x03\x03\x00\x02a", false),
        (b"\x16\x03\x03\x00\x02ab", true),
        (b"\x16\x03\x03\x00\x02abc", true),
        // The longest, and one byte more.
        (b"\x16\x03\x03\x41\x00", false),
        (b"\x16\x03\x03\x41\x01", true),
    ];
    for (input, expected) in cases {
        assert_eq!(begins_with_record(input), *expected, "{input:?}");
    }
    assert_eq!(5 + 0x4100, RECORD_MAX_BYTES);
}

#[test]
fn pieces_are_taken_as_they_lie_there_if_they_are_in_one_slice() {
    let take = |texts: &[&str]| {
        let slices: Vec<IoSlice<'_>> = texts.iter().map(|text| IoSlice::new(text.as_bytes())).collect();
        let mut rest = Rest::of(&slices);
        let mut pieces = Vec::new();
        loop {
            let mut gathered = Vec::new();
            let piece = rest.take(4, &mut gathered);
            let (text, start) = (String::from_utf8_lossy(piece).into_owned(), piece.as_ptr());
            let is_in = |slice: &IoSlice<'_>| slice.as_ptr_range().contains(&start);
            if text.is_empty() {
                return pieces;
            }
            pieces.push((text, slices.iter().any(is_in)));
        }
    };
    let pieces =
        |expected: &[(&str, bool)]| expected.iter().map(|&(text, is)| (text.to_owned(), is)).collect::<Vec<_>>();
    assert_eq!(take(&[]), pieces(&[]));
    assert_eq!(take(&["abcdefghi"]), pieces(&[("abcd", true), ("efgh", true), ("i", true)]));
    assert_eq!(take(&["abcd", "x"]), pieces(&[("abcd", true), ("x", true)]));
    assert_eq!(take(&["abcdef", "xyz"]), pieces(&[("abcd", true), ("efxy", false), ("z", true)]));
    assert_eq!(take(&["abc", "", "defg"]), pieces(&[("abcd", false), ("efg", true)]));
    assert_eq!(take(&["a", "b", "c", "d", "e"]), pieces(&[("abcd", false), ("e", true)]));
}

/// What the kernel answers; what the write comes to, what the kernel has then, and how many bytes wait.
type Case<'a> = (&'a [Result<usize, ErrorKind>], Result<Sent, ErrorKind>, &'a [u8], usize);

#[test]
fn a_record_that_was_sealed_is_sent_whatever_the_kernel_answers() {
    use ErrorKind::{ConnectionReset, Interrupted, NotConnected, WouldBlock};
    let stuck = |bytes| Ok(Sent { bytes, is_stuck: true });
    let done = |bytes| Ok(Sent { bytes, is_stuck: false });
    let cases: &[Case<'_>] = &[
        (&[], done(2), b"[hi]", 0),
        (&[Err(Interrupted)], done(2), b"[hi]", 0),
        (&[Err(Interrupted), Err(Interrupted), Ok(1)], stuck(2), b"[", 3),
        (&[Err(WouldBlock)], stuck(2), b"", 4),
        (&[Err(NotConnected)], stuck(2), b"", 4),
        (&[Ok(3)], stuck(2), b"[hi", 1),
        (&[Err(ConnectionReset)], Err(ConnectionReset), b"", 0),
        (&[Err(Interrupted), Err(WouldBlock)], stuck(2), b"", 4),
        (&[Err(Interrupted), Err(ConnectionReset)], Err(ConnectionReset), b"", 4),
    ];
    for (answers, expected, taken, unsent) in cases {
        let mut secure = secure(false);
        secure.socket.answers.extend(*answers);
        assert_eq!(kind(secure.write(b"hi")), *expected, "{answers:?}");
        assert_eq!((&secure.socket.taken[..], secure.unsent_bytes()), (*taken, *unsent), "{answers:?}");
        if expected.is_ok() {
            // What is left comes before what is next.
            assert_eq!(kind(secure.write(b"ho")), done(2));
            assert_eq!(secure.socket.taken, b"[hi][ho]", "{answers:?}");
        }
    }
}

#[test]
fn nothing_is_sealed_while_an_earlier_record_waits() {
    let mut secure = secure(false);
    secure.socket.answers.extend([Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock), Ok(1)]);
    assert_eq!(kind(secure.write(b"hi")), Ok(Sent { bytes: 2, is_stuck: true }));
    assert_eq!(kind(secure.write(b"ho")), Err(ErrorKind::WouldBlock), "the kernel took nothing");
    assert_eq!(kind(secure.write(b"ho")), Ok(Sent { bytes: 0, is_stuck: true }), "it took a part of the first");
    assert_eq!((secure.unsent_bytes(), secure.socket.writes), (3, 3));
    encrypted(&mut secure).input = Vec::with_capacity(100);
    let unsent_capacity = encrypted(&mut secure).unsent.capacity();
    assert_eq!(secure.held_bytes(), 100 + unsent_capacity);
}

#[test]
fn a_dialler_says_hello_once_and_nothing_else_before_the_handshake_is_over() {
    let mut secure = secure(true);
    assert_eq!(kind(secure.write(b"hi")), Err(ErrorKind::WouldBlock));
    assert_eq!(secure.socket.taken, b"hello");
    assert_eq!(encrypted(&mut secure).cipher.opens.get(), 1);
    // What has come waits for its turn, in which it is handled.
    encrypted(&mut secure).input = b"answer".to_vec();
    assert_eq!(kind(secure.write(b"")), Ok(Sent { bytes: 0, is_stuck: false }));
    assert_eq!(encrypted(&mut secure).cipher.opens.get(), 1);
    assert!(secure.is_handshaking() && secure.is_encrypted());
    encrypted(&mut secure).cipher.is_handshaking = false;
    assert!(!secure.is_handshaking());
    assert_eq!(kind(secure.write(b"hi")), Ok(Sent { bytes: 2, is_stuck: false }));
    assert_eq!(secure.socket.taken, b"hello[hi]");
    assert_eq!(encrypted(&mut secure).cipher.opens.get(), 1);
    assert_eq!(secure.certified_ids(), Some(&[ServerId(9)][..]));
}

#[test]
fn a_hello_that_waits_for_the_kernel_is_said_once() {
    let mut secure = secure(true);
    secure.socket.answers.extend([Err(ErrorKind::NotConnected), Ok(2)]);
    assert_eq!(kind(secure.write(b"hi")), Err(ErrorKind::WouldBlock));
    assert_eq!(kind(secure.write(b"hi")), Ok(Sent { bytes: 0, is_stuck: true }));
    assert_eq!(kind(secure.write(b"")), Ok(Sent { bytes: 0, is_stuck: false }));
    assert_eq!(secure.socket.taken, b"hello");
}

#[test]
fn what_is_broken_swallows_its_output_and_throws_away_its_input() {
    let mut secure = secure(true);
    encrypted(&mut secure).is_broken = true;
    assert_eq!(kind(secure.write(b"hi")), Ok(Sent { bytes: 2, is_stuck: false }));
    assert_eq!(secure.socket.taken, b"");
    assert!(!secure.is_handshaking());
    assert_eq!(kind(secure.advance_handshake(&mut [0; 8])), Err(ErrorKind::WouldBlock));
    assert_eq!(kind(secure.read(&mut [0; 8])), Ok(Received::plain(1, 1)));
    assert!(encrypted(&mut secure).input.is_empty());
    secure.shutdown_write().unwrap();
    assert_eq!((secure.socket.taken.as_slice(), secure.socket.is_shut), (&b""[..], true));
}

#[test]
fn a_cipher_that_seals_no_more_breaks_the_connection() {
    let mut secure = secure(false);
    encrypted(&mut secure).cipher.refuses = true;
    assert!(secure.write(b"hi").is_err());
    assert!(encrypted(&mut secure).is_broken);
}

#[test]
fn the_end_is_said_once_after_all_that_waits_and_never_in_a_handshake() {
    let mut one = secure(false);
    one.socket.answers.extend([Err(ErrorKind::WouldBlock), Ok(4)]);
    one.write(b"hi").unwrap();
    assert_eq!(kind(one.shutdown_write()), Err(ErrorKind::WouldBlock));
    assert!(!one.socket.is_shut);
    one.shutdown_write().unwrap();
    assert_eq!((one.socket.taken.as_slice(), one.socket.is_shut), (&b"[hi]."[..], true));
    let mut other = secure(true);
    other.shutdown_write().unwrap();
    assert_eq!((other.socket.taken.as_slice(), other.socket.is_shut), (&b""[..], true));
}

#[test]
fn what_is_not_encrypted_goes_through_as_it_is() {
    let mut plain = Secure::<_, Maker>::plain(Kernel::default());
    assert_eq!((plain.peek(&mut []).unwrap(), plain.take_peeked(&mut []).unwrap()), (3, 4));
    assert_eq!(plain.write_vectored(&[]).unwrap().bytes, 5);
    assert!(!plain.is_encrypted() && !plain.is_handshaking());
    assert_eq!((plain.certified_ids(), plain.unsent_bytes(), plain.held_bytes()), (None, 0, 0));
}
