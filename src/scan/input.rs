//! Files and standard input, plain or packed, opened and told apart.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::account::{Account, Sink};
use super::window::Window;
use super::{Format, Seen, Settings, detect, dnstap, pcap, pihole, text};
use crate::unpack;

/// How much of a file is looked at to find out what it is.
const HEAD: usize = 512 << 10;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: its content is none of {}; where it is one all the same, say with --input which", path.display(), known())]
    Unknown { path: PathBuf },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("{} is a database, which is read where it lies: give the file itself, unpacked", path.display())]
    NoFile { path: PathBuf },
}

fn known() -> String {
    let words: Vec<_> = Format::ALL.iter().map(|format| format.as_str()).collect();
    words.join(", ")
}

/// One file, of which it is known what it is.
pub struct Input {
    pub path: PathBuf,
    pub format: Format,
    /// How long it is as it lies there, in octets; absent for pipes.
    pub length: Option<u64>,
    window: Window,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file, or standard input where `path` is `-`. What is read of it as it lies there is added to `passed`.
    ///
    /// # Errors
    /// Where it cannot be read, or is nothing that is known.
    pub fn open(path: &Path, settings: &Settings, passed: &Arc<AtomicU64>) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Read { path: path.to_owned(), source };
        let (raw, length): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(failed)?;
            let kind = file.metadata().map_err(failed)?;
            (Box::new(file), kind.is_file().then_some(kind.len()))
        };
        let counted = Counted { from: raw, passed: Arc::clone(passed) };
        let mut window = Window::new(unpack::stream(counted).map_err(failed)?, Arc::clone(passed));
        let head = window.need(HEAD).map_err(failed)?;
        let head = &head[..head.len().min(HEAD)];
        if head.is_empty() {
            return Err(OpenError::Empty { path: path.to_owned() });
        }
        match settings.format.or_else(|| detect::detect(head)) {
            // Whether the database is packed is told by its first octets, which a database never has.
            Some(Format::PiHole) if length.is_none() || !is_plain(path) => {
                Err(OpenError::NoFile { path: path.to_owned() })
            }
            Some(format) => Ok(Self { path: path.to_owned(), format, length, window }),
            None => Err(OpenError::Unknown { path: path.to_owned() }),
        }
    }

    /// Reads it to its end, and gives each query with its place to `each`, as long as that returns true.
    pub fn read(mut self, settings: &Settings, each: &mut dyn FnMut(&Seen, u64) -> bool) -> Account {
        let mut sink = Sink::new(each);
        let read = match self.format {
            Format::PiHole => pihole::read(&self.path, &mut sink),
            format => read(&mut self.window, format, settings, &mut sink),
        };
        if let Err(error) = read {
            sink.end(error.to_string());
        }
        sink.account
    }
}

/// Reads a stream to its end.
pub(super) fn read(window: &mut Window, format: Format, settings: &Settings, sink: &mut Sink<'_>) -> io::Result<()> {
    match format {
        Format::Pcap => pcap::read(window, settings, sink),
        Format::Pcapng => pcap::ng::read(window, settings, sink),
        Format::Dnstap => dnstap::read(window, sink),
        Format::PiHole => Err(io::Error::other("a database is no stream")),
        Format::Bind
        | Format::Unbound
        | Format::Dnsmasq
        | Format::PowerDns
        | Format::Zeek
        | Format::Suricata
        | Format::AdGuard
        | Format::Squid
        | Format::Interdict => text::read(window, format, settings, sink),
    }
}

/// Returns whether a file is a database as it lies there.
fn is_plain(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && head == detect::SQLITE
}

/// Counts what goes through.
struct Counted {
    from: Box<dyn Read + Send>,
    passed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.passed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
