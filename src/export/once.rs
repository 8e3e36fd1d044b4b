//! The records of a period, written once: without a daemon, without a position.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;

use super::event::{Clients, Event, Origin};
use super::format::{Encoding, json_line, otlp};
use super::sink::Frames;
use crate::ledger::{self, KeyError, KeyRing, ReadError};

/// Which records are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// Only what is not over before this instant.
    pub from: Option<Timestamp>,
    /// Only what begins before this instant.
    pub to: Option<Timestamp>,
    /// Only leaves with larger numbers.
    pub after: Option<u64>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Once {
    pub events: u64,
    /// How many leaves are not there, between or before those that are.
    pub missed: u64,
    /// How many lines of the journal are damaged.
    pub damaged: u64,
    /// How many events tell less of their client than was asked for, since the file of its key holds none.
    pub unreadable: u64,
    /// The number of the last leaf, to go on behind it.
    pub last: Option<u64>,
}

/// Why not everything could be written.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("cannot read the journal")]
    Journal(#[source] ReadError),
    #[error("cannot decrypt clients; ask as the daemon's user, or with other `--clients`")]
    Keys(#[source] KeyError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes what the journal has of a period.
///
/// # Errors
/// Where journal or keys cannot be read, or `out` not written.
pub fn once(
    journal: &Path,
    keys: &mut KeyRing,
    origin: &Origin,
    (period, encoding, clients): (Period, Encoding, Clients),
    out: &mut dyn Write,
) -> Result<Once, OnceError> {
    let mut done = Once::default();
    let from = period.after.map_or(0, |after| after.saturating_add(1));
    let mut missing = None;
    if encoding == Encoding::Dnstap {
        Frames(&mut *out).start()?;
    }
    for read in ledger::read(journal, from) {
        match read {
            Ok(leaf) => {
                let seq = leaf.seq;
                if let Some((first, last)) = missing.take() {
                    let event = Event::missed(first, last, Event::instant_of(&leaf));
                    if period.takes(&event) {
                        done.missed += last - first + 1;
                        done.write(&event, origin, encoding, out)?;
                    }
                }
                let (event, unreadable) = Event::of_leaf(leaf, clients, keys);
                if period.takes(&event) {
                    match unreadable {
                        None => {}
                        // Nobody can read it, so that it holds up nothing.
                        Some(KeyError::NotAKey { .. }) => done.unreadable += 1,
                        Some(error) => return Err(OnceError::Keys(error)),
                    }
                    done.write(&event, origin, encoding, out)?;
                    done.last = Some(seq);
                }
            }
            Err(ReadError::Missing { first, last, .. }) => missing = Some((first, last)),
            Err(ReadError::Line { .. }) => done.damaged += 1,
            Err(error @ (ReadError::Open { .. } | ReadError::Read { .. })) => return Err(OnceError::Journal(error)),
        }
    }
    if encoding == Encoding::Dnstap {
        Frames(&mut *out).stop()?;
    }
    Ok(done)
}

impl Period {
    /// Returns whether an event is of the period; what tells no instant is of every one.
    fn takes(&self, event: &Event) -> bool {
        let Some((from, until)) = event.span() else { return true };
        self.from.is_none_or(|first| until >= first) && self.to.is_none_or(|end| from < end)
    }
}

impl Once {
    fn write(&mut self, event: &Event, origin: &Origin, encoding: Encoding, out: &mut dyn Write) -> io::Result<()> {
        self.events += 1;
        match encoding {
            Encoding::Text(text) => writeln!(out, "{}", text.write(event, origin)),
            Encoding::Otlp => {
                writeln!(out, "{}", json_line(&otlp::request(std::slice::from_ref(event), origin)))
            }
            Encoding::Dnstap => Frames(out).event(event, origin),
        }
    }
}
