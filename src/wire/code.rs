//! Packet codes (RFC section 9).

use super::listed::listed;

listed! {
    /// The first byte of every packet.
    pub enum Code {
        /// Login as a guest.
        AuthGst = 0x00 => "AUTHGST";
        /// Login as a registered user.
        AuthUsr = 0x01 => "AUTHUSR";
        /// The answer to a login.
        AuthRsp = 0x10 => "AUTHRSP";
        /// A public message, as its sender sends it.
        MsgPbl = 0x20 => "MSGPBL";
        /// A private message, as its sender sends it.
        MsgPrv = 0x21 => "MSGPRV";
        /// A public message, as the server delivers it.
        MsgPblInc = 0x30 => "MSGPBLINC";
        /// A private message, as its receiver gets it.
        MsgPrvInc = 0x31 => "MSGPRVINC";
        /// A file chunk, as its sender sends it.
        FileChnk = 0x40 => "FILECHNK";
        /// A file chunk, as its receiver gets it.
        FileChnkInc = 0x41 => "FILECHNKINC";
        /// A packet on its way to a client of another server.
        PckFwd = 0x50 => "PCKFWD";
        /// A packet on its way through a routed network (D32).
        Relay = 0x51 => "RELAY";
        /// The links of one server of a routed network (D29).
        Links = 0x52 => "LINKS";
        /// What goes to one server through the sender has to wait, or may go on (D35).
        Hold = 0x53 => "HOLD";
        /// The first packet on a routed link (D28).
        Hello = 0x54 => "HELLO";
        /// The request to merge.
        MrgReq = 0xA0 => "MRGREQ";
        /// The answer that accepts a merge.
        MrgRsp = 0xA1 => "MRGRSP";
        /// The answer that declines a merge.
        MrgDecl = 0xA2 => "MRGDECL";
        /// A private message or file chunk could not be delivered.
        Error = 0xF0 => "ERROR";
    }
}

/// What each byte stands for: every packet is looked up here.
#[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
static BY_BYTE: [Option<Code>; 256] = {
    let mut codes = [None; 256];
    let mut index = 0;
    while index < Code::ALL.len() {
        codes[Code::ALL[index] as usize] = Some(Code::ALL[index]);
        index += 1;
    }
    codes[0x32] = Some(Code::PckFwd);
    codes
};

impl Code {
    /// The code that a byte stands for. 0x32 is read as PCKFWD: the RFC's section 9 lists that code under two numbers,
    /// and some peers may send the other one (D4).
    pub fn from_byte(byte: u8) -> Option<Code> {
        BY_BYTE.get(usize::from(byte)).copied().flatten()
    }

    /// Whether it means something on the links of a routed network only (D24). Elsewhere it is an unknown code (D2).
    pub fn is_routed(self) -> bool {
        matches!(self, Code::Relay | Code::Links | Code::Hold | Code::Hello)
    }

    /// The byte that is sent for it.
    pub fn byte(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for code in Code::ALL {
            assert_eq!(Code::from_byte(code.byte()), Some(code));
            assert_eq!(Code::ALL[code.index()], code);
        }
        assert_eq!(Code::from_byte(0x32), Some(Code::PckFwd));
        assert_eq!((0..=255).filter_map(Code::from_byte).count(), Code::ALL.len() + 1);
    }
}
