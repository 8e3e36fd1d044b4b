//! From the values of keys to the types of the settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::types::{ControlSocket, HostRecord};
use super::value::{Row, Value};
use crate::client::Hardware;
use crate::fetch::{PublicKey, Url};
use crate::message::Name;
use crate::query::NamePattern;
use crate::resolve::Endpoint;

impl Row {
    /// Takes out a value that is there because there was no fault.
    pub(super) fn take<T: Setting>(&mut self, key: &'static str) -> T {
        let value = self.values.remove(key);
        value.and_then(T::of).expect("a test holds the settings against the table of keys")
    }
}

/// A type of the settings that some kind of value becomes.
pub(super) trait Setting: Sized {
    fn of(value: Value) -> Option<Self>;
}

macro_rules! settings {
    ($($variant:ident => $type:ty),+ $(,)?) => {
        $(impl Setting for $type {
            fn of(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        })+
    };
}

settings! {
    Switch => bool,
    Socket => ControlSocket,
    Number => i8,
    Number => u8,
    Number => u16,
    Number => u32,
    Number => u64,
    Numbers => Vec<u64>,
    Word => &'static str,
    Text => String,
    Listener => Option<SocketAddr>,
    Addresses => Vec<SocketAddr>,
    Endpoints => Vec<Endpoint>,
    Networks => Vec<IpNet>,
    V4 => Option<Ipv4Addr>,
    V6 => Option<Ipv6Addr>,
    Ips => Vec<IpAddr>,
    Hardware => Option<Hardware>,
    Hardwares => Vec<Hardware>,
    Patterns => Vec<NamePattern>,
    Instant => Option<Timestamp>,
    Name => Box<Name>,
    Url => Option<Url>,
    Digest => Option<[u8; 32]>,
    PublicKey => Option<PublicKey>,
    Names => Vec<Name>,
    Texts => Vec<String>,
    Hosts => Vec<HostRecord>,
    Rows => Vec<Row>,
}
