//! Packet codes (RFC section 9).

/// The first byte of every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Code {
    /// Login as a guest.
    AuthGst = 0x00,
    /// Login as a registered user.
    AuthUsr = 0x01,
    /// The answer to a login.
    AuthRsp = 0x10,
    /// A public message, as its sender sends it.
    MsgPbl = 0x20,
    /// A private message, as its sender sends it.
    MsgPrv = 0x21,
    /// A public message, as everybody gets it.
    MsgPblInc = 0x30,
    /// A private message, as its receiver gets it.
    MsgPrvInc = 0x31,
    /// A file chunk, as its sender sends it.
    FileChnk = 0x40,
    /// A file chunk, as its receiver gets it.
    FileChnkInc = 0x41,
    /// A packet on its way to a client of another server.
    PckFwd = 0x50,
    /// The request to merge.
    MrgReq = 0xA0,
    /// The answer that accepts a merge.
    MrgRsp = 0xA1,
    /// The answer that declines a merge.
    MrgDecl = 0xA2,
    /// A private message or file chunk could not be delivered.
    Error = 0xF0,
}

impl Code {
    /// Every code, in the order of their numbers.
    pub const ALL: [Code; 14] = [
        Code::AuthGst,
        Code::AuthUsr,
        Code::AuthRsp,
        Code::MsgPbl,
        Code::MsgPrv,
        Code::MsgPblInc,
        Code::MsgPrvInc,
        Code::FileChnk,
        Code::FileChnkInc,
        Code::PckFwd,
        Code::MrgReq,
        Code::MrgRsp,
        Code::MrgDecl,
        Code::Error,
    ];

    /// The code that a byte stands for. 0x32 is read as PCKFWD: the RFC's section 9 lists that code under two numbers,
    /// and some peers may send the other one (D4).
    pub fn from_byte(byte: u8) -> Option<Code> {
        Some(match byte {
            0x00 => Code::AuthGst,
            0x01 => Code::AuthUsr,
            0x10 => Code::AuthRsp,
            0x20 => Code::MsgPbl,
            0x21 => Code::MsgPrv,
            0x30 => Code::MsgPblInc,
            0x31 => Code::MsgPrvInc,
            0x40 => Code::FileChnk,
            0x41 => Code::FileChnkInc,
            0x32 | 0x50 => Code::PckFwd,
            0xA0 => Code::MrgReq,
            0xA1 => Code::MrgRsp,
            0xA2 => Code::MrgDecl,
            0xF0 => Code::Error,
            _ => return None,
        })
    }

    /// Its place in [`Code::ALL`].
    pub fn index(self) -> usize {
        match self {
            Code::AuthGst => 0,
            Code::AuthUsr => 1,
            Code::AuthRsp => 2,
            Code::MsgPbl => 3,
            Code::MsgPrv => 4,
            Code::MsgPblInc => 5,
            Code::MsgPrvInc => 6,
            Code::FileChnk => 7,
            Code::FileChnkInc => 8,
            Code::PckFwd => 9,
            Code::MrgReq => 10,
            Code::MrgRsp => 11,
            Code::MrgDecl => 12,
            Code::Error => 13,
        }
    }

    /// The byte that is sent for it.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The RFC's name.
    pub fn name(self) -> &'static str {
        match self {
            Code::AuthGst => "AUTHGST",
            Code::AuthUsr => "AUTHUSR",
            Code::AuthRsp => "AUTHRSP",
            Code::MsgPbl => "MSGPBL",
            Code::MsgPrv => "MSGPRV",
            Code::MsgPblInc => "MSGPBLINC",
            Code::MsgPrvInc => "MSGPRVINC",
            Code::FileChnk => "FILECHNK",
            Code::FileChnkInc => "FILECHNKINC",
            Code::PckFwd => "PCKFWD",
            Code::MrgReq => "MRGREQ",
            Code::MrgRsp => "MRGRSP",
            Code::MrgDecl => "MRGDECL",
            Code::Error => "ERROR",
        }
    }

    /// Whether a PCKFWD may carry it (D5).
    pub fn is_forwardable(self) -> bool {
        matches!(self, Code::MsgPblInc | Code::MsgPrvInc | Code::FileChnkInc | Code::Error)
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
