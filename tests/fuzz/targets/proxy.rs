//! A PROXY header: any bytes are one, the beginning of one, or neither, and more bytes never take back what was said.
#![no_main]
#![allow(clippy::indexing_slicing, missing_docs)]

use cfp::limits::PROXY_HEADER_MAX_BYTES;
use cfp::core::engine::proxy_header::{Preamble, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = scan(data);
    if let Preamble::Header { len, .. } = whole {
        assert!(len <= data.len() && len <= PROXY_HEADER_MAX_BYTES);
        assert_eq!(scan(&data[..len]), whole);
    }
    for cut in 0..data.len() {
        match scan(&data[..cut]) {
            Preamble::Incomplete => {}
            said => return assert_eq!(said, whole, "said at {cut}"),
        }
    }
});
