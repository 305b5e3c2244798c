//! R11: a server that is not routed, or does not speak to a routed one, uses none of the routed codes.

use std::collections::BTreeSet;

use cfp::limits::{LINK_FIELD_MAX_BYTES, TLS_FIRST_BYTE};
use cfp::wire::{Decoder, Unreadable};

use super::pipes::Owner;

/// Reads what a server writes to another one, if not both are routed.
#[derive(Debug)]
pub struct CodeCheck(Option<Decoder>);

impl CodeCheck {
    pub fn new(writer: Owner, reader: Owner, routed: &BTreeSet<Owner>) -> CodeCheck {
        let are_servers = matches!((writer, reader), (Owner::Host(_), Owner::Host(_) | Owner::Foreigner(_)));
        let are_routed = routed.contains(&writer) && routed.contains(&reader);
        let is_checked = are_servers && !are_routed;
        CodeCheck(is_checked.then(|| Decoder::with_message_max(LINK_FIELD_MAX_BYTES as usize)))
    }

    /// `head` are the first bytes that were ever written.
    pub fn on_written(&mut self, head: &[u8], bytes: &[u8]) {
        let is_encrypted = head.first() == Some(&TLS_FIRST_BYTE);
        let Some(decoder) = self.0.as_mut().filter(|_| !is_encrypted) else { return };
        decoder.feed(bytes);
        while let Some(read) = decoder.next() {
            assert_ne!(read, Err(Unreadable::UnknownCode), "R11: a code that the other server does not know");
        }
    }
}
