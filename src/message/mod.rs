//! The DNS message: a view on the wire that copies nothing, and building in place. Knows no policy and no socket.

mod body;
mod keepalive;
mod name;
mod spelling;
mod subnet;
mod view;
mod writer;

use std::fmt;
use std::str::FromStr;

pub use body::Body;
pub use keepalive::{asks_keepalive, tell_keepalive};
pub use name::{MAX_LABEL, MAX_NAME, Name, NameError, Suffixes};
pub use spelling::{Capitals, Spelling};
pub use view::{
    HEADER, Opt, QueryView, Record, Records, ResponseView, Section, Unusable, continued, flag, u16_at, u32_at,
    without_opt,
};
pub use writer::{Owner, Writer};

/// A message, or a part of one, that breaks the wire format (RFC 1035, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed")]
pub struct Malformed;

/// The code of the EDNS option for extended errors (RFC 8914, section 2).
pub const EXTENDED_ERROR: u16 = 15;

/// The longest extended error that is passed on, in octets: its code and a sentence.
pub const MAX_EXTENDED_ERROR: usize = 256;

/// The type of a resource record or question (RFC 1035, section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

impl RecordType {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const MD: Self = Self(3);
    pub const MF: Self = Self(4);
    pub const MB: Self = Self(7);
    pub const MG: Self = Self(8);
    pub const MR: Self = Self(9);
    pub const PTR: Self = Self(12);
    pub const HINFO: Self = Self(13);
    pub const MINFO: Self = Self(14);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const RP: Self = Self(17);
    pub const AFSDB: Self = Self(18);
    pub const RT: Self = Self(21);
    pub const SIG: Self = Self(24);
    pub const PX: Self = Self(26);
    pub const AAAA: Self = Self(28);
    pub const NXT: Self = Self(30);
    pub const SRV: Self = Self(33);
    pub const NAPTR: Self = Self(35);
    pub const KX: Self = Self(36);
    pub const DNAME: Self = Self(39);
    pub const OPT: Self = Self(41);
    pub const DS: Self = Self(43);
    pub const RRSIG: Self = Self(46);
    pub const NSEC: Self = Self(47);
    pub const DNSKEY: Self = Self(48);
    pub const NSEC3: Self = Self(50);
    pub const SVCB: Self = Self(64);
    pub const HTTPS: Self = Self(65);
    /// Said of names that do not exist; never asked (RFC 9824, section 3.4).
    pub const NXNAME: Self = Self(128);
    pub const TKEY: Self = Self(249);
    pub const TSIG: Self = Self(250);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const MAILB: Self = Self(253);
    pub const MAILA: Self = Self(254);
    pub const ANY: Self = Self(255);
}

impl fmt::Display for RecordType {
    /// Writes the mnemonic, or `TYPE1234` (RFC 3597, section 5) where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use hickory_proto::rr::RecordType as Known;
        match Known::from(self.0) {
            Known::Unknown(_) => write!(f, "TYPE{}", self.0),
            known => write!(f, "{known}"),
        }
    }
}

impl FromStr for RecordType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if let Some(number) = upper.strip_prefix("TYPE").and_then(|number| number.parse().ok()) {
            return Ok(Self(number));
        }
        hickory_proto::rr::RecordType::from_str(&upper)
            .map(|known| Self(known.into()))
            .map_err(|_| format!("`{text}` is not a record type such as A, AAAA, HTTPS or TYPE65"))
    }
}

/// The class of a record or question (RFC 1035, section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(pub u16);

impl Class {
    pub const IN: Self = Self(1);
    pub const CH: Self = Self(3);
    pub const ANY: Self = Self(255);
}

/// A response code (RFC 1035, section 4.1.1; RFC 6895, section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResponseCode(pub u16);

impl ResponseCode {
    pub const NO_ERROR: Self = Self(0);
    pub const FORM_ERR: Self = Self(1);
    pub const SERV_FAIL: Self = Self(2);
    pub const NX_DOMAIN: Self = Self(3);
    pub const NOT_IMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const NOT_AUTH: Self = Self(9);
    pub const BAD_VERS: Self = Self(16);

    /// Returns the mnemonic of the registry, or `None` for a code without one.
    pub const fn mnemonic(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            7 => "YXRRSET",
            8 => "NXRRSET",
            9 => "NOTAUTH",
            10 => "NOTZONE",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            _ => return None,
        })
    }
}

impl fmt::Display for ResponseCode {
    /// Writes the mnemonic, or `RCODE1234` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}
