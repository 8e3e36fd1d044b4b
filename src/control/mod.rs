//! Commands that change what a running daemon does, over a Unix socket.
//!
//! One connection carries one request, a line of JSON, and one reply, another. Who commands is what the kernel says of the
//! peer, never what a request says. Commands are handed to the daemon one after the other; nothing here carries one out
//! but the keeping of waivers, and nothing here decides a name.

mod actor;
mod client;
mod form;
mod register;
mod server;
mod shown;
mod socket;
mod terms;
mod unrecorded;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use actor::Actor;
pub use client::{AskError, ask};
pub use register::{Entry, Kept, Mark, Opened, Refusal, Register, RegisterError, State, newer};
pub use server::{Call, serve};
pub use shown::{Listed, ShownAnswer, ShownCache, ShownClock};
pub use socket::{BindError, bind};
pub use terms::{Limits, describe, grant, harmless, person, quoted, reason, term};
pub use unrecorded::Unrecorded;

/// The version of requests that this program sends and takes.
const VERSION: u32 = 1;
/// The longest request, in octets, its line feed included.
const MAX_REQUEST: usize = 64 << 10;
/// The longest reply, in octets: a list of every waiver that a register holds is shorter.
const MAX_REPLY: u64 = 64 << 20;

/// What a peer sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u32,
    command: Command,
}

/// What a daemon can be told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Grant an exception; where four eyes are asked for, it waits to be confirmed.
    WaiverAdd(Asked),
    /// List waivers: those that are open, or all that are still known.
    WaiverList { all: bool },
    /// Show one waiver with everything that became of it.
    WaiverShow { id: String },
    /// End a waiver before its time.
    WaiverRevoke { id: String, reason: String },
    /// Put a waiver in force that somebody else has added.
    WaiverConfirm { id: String },
    /// Only monitor for so many seconds: lift every prohibition for everyone.
    MonitorOnly { seconds: u64, reason: String },
    /// End that before its time.
    MonitorOnlyStop { reason: Option<String> },
    /// Fetch a list now, or all that are fetched.
    ListsRefresh { name: Option<String> },
    /// Fetch a catalogue or an order now, or all that are fetched.
    PolicyFetch { name: Option<String> },
    /// Put in force what was fetched, if it is the set with this digest.
    PolicyActivate { digest: String, reason: String },
    /// Tell how far the system clock is trusted.
    ClockShow,
    /// Take the system clock for right as it is, ahead of what was expected.
    ClockAccept { reason: String },
    /// Forget the instants seen, and take the system clock as it is, also where that is earlier.
    ClockReset { reason: String },
    /// Tell how many answers are kept.
    CacheStats,
    /// Show the answers that are kept of a name.
    CacheShow { name: String },
    /// Forget kept answers: those of a name, with those below it or without, or all.
    CacheFlush { name: Option<String>, below: bool },
    /// Destroy the keys of a month, such as `2026-11`: whose its records are is not to be told any more.
    PrivacyForget { month: String, reason: String },
    /// Keep everything from now on.
    LedgerHold { reason: String },
    /// End that.
    LedgerRelease { reason: String },
    /// Record that somebody has confirmed the removal of a product from a device: its hardware address, or its address.
    DeviceRemoved { device: String, person: String, reason: String },
    /// Withdraw such a confirmation.
    DeviceWithdraw { device: String, person: String, reason: String },
    /// Send a notice that says that it is a test, by each way at once.
    NoticeTest,
    /// Sign the log with a new key, and for so many days with the one before too.
    LedgerRotateKey { overlap_days: u16, reason: String },
}

/// The waiver that somebody asks for, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub order: Option<String>,
    /// Services of that order's catalogue; without an order one, as `CATALOGUE/SERVICE`.
    pub services: Vec<String>,
    /// Names, or `*.NAME` for all below one.
    pub names: Vec<String>,
    /// Groups, addresses or networks.
    pub clients: Vec<String>,
    pub reason: String,
    pub approver: String,
    pub ticket: Option<String>,
    /// The first instant; the present one where there is none.
    pub from: Option<Timestamp>,
    pub end: End,
}

/// When a waiver ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    At(Timestamp),
    /// So many seconds after it begins.
    After(u64),
}

impl Default for End {
    fn default() -> Self {
        Self::After(0)
    }
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, or what was asked for is shown.
    Done {
        /// For people, one text a line.
        told: Vec<String>,
        /// For programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown: Option<serde_json::Value>,
    },
    /// Nothing was changed, for these reasons.
    Refused { told: Vec<String> },
}

impl Reply {
    /// Returns the answer that it is done.
    pub fn done(told: impl Into<String>) -> Self {
        Self::Done { told: vec![told.into()], shown: None }
    }

    /// Returns the answer that it is refused.
    pub fn refused(told: impl Into<String>) -> Self {
        Self::Refused { told: vec![told.into()] }
    }
}
