//! The header that a proxy puts before a connection's bytes to name the client's address: the PROXY protocol, versions
//! 1 and 2 (D46).
//!
//! ```text
//!  version 1   PROXY TCP4 192.0.2.1 192.0.2.7 40000 7777 CR LF
//!  version 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | 21 | 11 | 000C | c0000201 c0000207 9c40 1e61
//!              signature                             PROXY  TCP4 length
//! ```

use std::net::SocketAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};

use crate::limits::PROXY_HEADER_MAX_BYTES;

/// What begins a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest line of version 1, as its specification has it.
const LINE_MAX_BYTES: usize = 107;

/// What begins a connection that comes through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// A whole header.
    Header {
        /// Its length in bytes; what the connection itself sends begins behind it.
        len: usize,
        /// The client's address, as the proxy names it. `None` if the header names no client (LOCAL, UNKNOWN, UNSPEC, a
        /// Unix socket), or no TCP connection.
        source: Option<SocketAddr>,
    },
    /// The beginning of a header, as far as can be told.
    Incomplete,
    /// No header.
    Other,
}

/// Looks at the first bytes of a connection.
pub fn scan(input: &[u8]) -> Preamble {
    // The parser takes any byte for the blank behind PROXY. So what is a header would depend on how it is cut.
    if !begins_a_header(input) {
        return Preamble::Other;
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(input, config) {
        Ok((_, len)) if len > PROXY_HEADER_MAX_BYTES => Preamble::Other,
        Ok((_, len)) if input.starts_with(b"PROXY ") && len > LINE_MAX_BYTES => Preamble::Other,
        Ok((header, len)) => {
            let address = header.proxied_address().filter(|address| address.protocol == Protocol::Stream);
            Preamble::Header { len, source: address.map(|address| address.source) }
        }
        Err(Error::BufferTooShort) if input.len() < PROXY_HEADER_MAX_BYTES && !is_whole(input) => Preamble::Incomplete,
        Err(_) => Preamble::Other,
    }
}

/// Whether it begins as a header of one of the versions does, as far as it goes.
fn begins_a_header(input: &[u8]) -> bool {
    let begins = |signature: &[u8]| input.iter().zip(signature).all(|(byte, expected)| byte == expected);
    begins(b"PROXY ") || begins(SIGNATURE)
}

/// Whether all of a header of version 2 is there. For one that is too short for its own addresses, the parser asks for
/// more than the header has.
fn is_whole(input: &[u8]) -> bool {
    match input.get(14..16) {
        Some(&[high, low]) if input.starts_with(SIGNATURE) => {
            input.len() >= 16 + usize::from(u16::from_be_bytes([high, low]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    fn header(input: &[u8]) -> Option<(usize, Option<String>)> {
        match scan(input) {
            Preamble::Header { len, source } => Some((len, source.map(|source| source.to_string()))),
            Preamble::Incomplete | Preamble::Other => None,
        }
    }

    /// Headers as proxies send them, and the addresses in them.
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let four = b"\xc0\x00\x02\x01\xc0\x00\x02\x07\x9c\x40\x1e\x61";
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[33]) = (0x20, 0x01, 0x09, 80);
        let with_tlvs = [four, &b"\x04\x00\x03abc\x01\x00\x03cfp"[..]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 192.0.2.7 40000 7777\r\n".to_vec(), Some("192.0.2.1:40000")),
            (b"PROXY TCP6 2001::9 2001:db8::7 40000 7777\r\n".to_vec(), Some("[2001::9]:40000")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(0x21, 0x11, four), Some("192.0.2.1:40000")),
            (version_2(0x21, 0x11, &with_tlvs), Some("192.0.2.1:40000")),
            (version_2(0x21, 0x21, &six), Some("[2001::9]:80")),
            // LOCAL, whatever it names; UNSPEC; a datagram's address; a Unix socket's.
            (version_2(0x20, 0x00, &[]), None),
            (version_2(0x20, 0x11, four), None),
            (version_2(0x21, 0x00, &[]), None),
            (version_2(0x21, 0x12, four), None),
            (version_2(0x21, 0x31, &[b'/'; 216]), None),
        ]
    }

    #[test]
    fn each_kind_of_header_is_read_wherever_it_is_cut_and_nothing_behind_it_is_taken() {
        for (bytes, source) in good() {
            let expected = Some((bytes.len(), source.map(str::to_owned)));
            assert_eq!(header(&bytes), expected, "{bytes:?}");
            let with_more = [&bytes[..], &[0x16, 0x03, 0x01]].concat();
            assert_eq!(header(&with_more), expected);
            for cut in 0..bytes.len() {
                assert_eq!(scan(&bytes[..cut]), Preamble::Incomplete, "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_longest_header_of_each_version_is_one_and_a_byte_more_is_not() {
        let line = |bytes: usize| [&b"PROXY UNKNOWN "[..], &vec![b'x'; bytes - 16], b"\r\n"].concat();
        let binary = |bytes: usize| version_2(0x20, 0x00, &vec![0; bytes - 16]);
        assert_eq!(header(&line(LINE_MAX_BYTES)), Some((LINE_MAX_BYTES, None)));
        assert_eq!(scan(&line(LINE_MAX_BYTES + 1)), Preamble::Other);
        assert_eq!(header(&binary(PROXY_HEADER_MAX_BYTES)), Some((PROXY_HEADER_MAX_BYTES, None)));
        assert_eq!(scan(&binary(PROXY_HEADER_MAX_BYTES + 1)), Preamble::Other);
    }

    #[test]
    fn what_is_no_header_is_known_at_its_first_wrong_byte() {
        let too_long = version_2(0x21, 0x11, &[0; PROXY_HEADER_MAX_BYTES]);
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; PROXY_HEADER_MAX_BYTES]].concat();
        for wrong in [
            &b"\x00"[..],
            b"\x16\x03\x01",
            b"\x50\x00\x00\x00\x09",
            b"PROXX",
            b"PROXY_UNKNOWN\r\n",
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 107], b"\r\n"].concat(),
            b"\r\n\r\r",
            b"PROXY TCP5 192.0.2.1 192.0.2.7 40000 7777\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.7 40000 77777\r\n",
            b"PROXY TCP4 192.0.2.256 192.0.2.7 40000 7777\r\n",
            &version_2(0x31, 0x11, &[0; 12]),
            &version_2(0x21, 0x11, &[0; 11]),
            &too_long,
            &endless,
        ] {
            assert_eq!(scan(wrong), Preamble::Other, "{wrong:?}");
        }
        assert_eq!(scan(&too_long[..PROXY_HEADER_MAX_BYTES]), Preamble::Other, "as much as is ever looked at");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_the_beginning_of_one_or_neither(
            start in 0..14_usize,
            mut bytes in prop::collection::vec(any::<u8>(), 0..1100),
        ) {
            // Mostly near a true one.
            if let Some((good, _)) = good().get(start) {
                let kept = good.len().min(bytes.len());
                let from = usize::from(bytes.first().copied().unwrap_or(0)) % (kept + 1);
                bytes[..from].copy_from_slice(&good[..from]);
            }
            if let Preamble::Header { len, .. } = scan(&bytes) {
                prop_assert!(len <= bytes.len() && len <= PROXY_HEADER_MAX_BYTES);
                prop_assert_eq!(scan(&bytes[..len]), scan(&bytes), "the header alone says the same");
            }
        }
    }
}
