//! Watches lease files: reads each again when it has changed, and keeps what it said while it cannot be read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::libc;

use super::lease::{Format, LeaseFile, Leases};
use crate::client::{Device, Source};

/// The largest lease file that is read, in octets; one lease takes some hundred.
const MAX_FILE: u64 = 64 << 20;
/// How old a change has to be before the time of change tells that there was no other since, in seconds.
const SETTLED: i64 = 2;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), changed }
    }
}

/// One lease file with what it said last.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) file: LeaseFile,
    /// The states of the file, and of the parts that Kea keeps beside it, when they were read; empty for never.
    stamps: Vec<(PathBuf, Stamp)>,
    leases: Leases,
    /// What was told of the file last, so that it is told once.
    told: Option<String>,
}

impl Watched {
    pub(super) fn new(file: LeaseFile) -> Self {
        Self { file, stamps: Vec::new(), leases: Leases::default(), told: None }
    }

    /// Reads the file where it has changed.
    pub(super) fn look(&mut self, now: Timestamp) {
        let stamps = self.present();
        let settled = stamps.iter().all(|(_, stamp)| now.as_second().abs_diff(stamp.changed.0) as i64 > SETTLED);
        if stamps == self.stamps && settled && !stamps.is_empty() {
            return;
        }
        match self.read() {
            // What was written meanwhile is read the next time.
            Ok(leases) if self.present() == stamps => {
                self.stamps = stamps;
                self.leases = leases;
                self.tell_of_lines();
            }
            Ok(_) => {}
            Err(error) => {
                self.stamps.clear();
                self.tell(format!("this lease file cannot be read: {error}"));
            }
        }
    }

    /// Returns the states of the file and of its parts, as far as they are there.
    fn present(&self) -> Vec<(PathBuf, Stamp)> {
        let stamp = |path: PathBuf| Some((path.clone(), Stamp::of(&std::fs::metadata(&path).ok()?)));
        parts(&self.file.path).into_iter().chain([self.file.path.clone()]).filter_map(stamp).collect()
    }

    fn read(&self) -> io::Result<Leases> {
        let text = read_text(&self.file.path)?;
        let format = self.file.format.unwrap_or_else(|| Format::of(&text));
        let mut leases = Leases::default();
        if format == Format::Kea {
            for part in parts(&self.file.path) {
                match read_text(&part) {
                    Ok(text) => leases.read(format, &text),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        leases.read(format, &text);
        Ok(leases)
    }

    fn tell_of_lines(&mut self) {
        let Leases { not_understood, first_line, left_out, .. } = self.leases;
        match first_line {
            Some(line) => self.tell(format!("{not_understood} lines are not understood, the first is line {line}")),
            None if left_out > 0 => self.tell(format!("{left_out} leases are left out: there are too many")),
            None => self.told = None,
        }
    }

    /// Tells the operator, unless that was told last. What is counted may grow without being told again.
    fn tell(&mut self, what: String) {
        let kind = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        if self.told.as_deref().map(kind).as_deref() != Some(&kind(&what)) {
            tracing::warn!(file = %self.file.path.display(), "{what}; the rest of what is known of clients is used");
        }
        self.told = Some(what);
    }

    pub(super) const fn not_understood(&self) -> usize {
        self.leases.not_understood
    }

    /// Returns the devices whose leases have not ended by `now`.
    pub(super) fn devices(&self, now: Timestamp) -> impl Iterator<Item = Device> + '_ {
        let lasting = self.leases.by_address.iter().filter(move |(_, lease)| lease.until.is_none_or(|end| now < end));
        let told = lasting.filter(|(_, lease)| lease.hardware.is_some() || lease.name.is_some());
        told.map(|(address, lease)| Device {
            address: *address,
            hardware: lease.hardware,
            name: lease.name.clone(),
            source: Source::Lease,
        })
    }
}

/// Returns what Kea has beside its lease file while it cleans that up, in the order of reading: the result of a cleanup,
/// else that of the one before with what it works on.
fn parts(path: &Path) -> Vec<PathBuf> {
    let part = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let completed = part(".completed");
    if completed.exists() { vec![completed] } else { vec![part(".2"), part(".1")] }
}

/// Reads a regular file; octets that are no text are replaced.
fn read_text(path: &Path) -> io::Result<String> {
    // A pipe would keep us waiting for its other end.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn addresses(watched: &Watched, now: i64) -> Vec<String> {
        watched.devices(at(now)).map(|device| device.address.to_string()).collect()
    }

    fn line(end: u64, last: u8) -> String {
        format!("{end} 00:00:5e:00:53:{last:02x} 10.0.0.{last} * *\n")
    }

    #[test]
    fn a_file_is_read_when_it_changes_and_kept_while_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let mut watched = Watched::new(LeaseFile { path: path.clone(), format: None });
        watched.look(at(1000));
        assert!(addresses(&watched, 1000).is_empty() && watched.told.is_some());
        std::fs::write(&path, line(2000, 1) + &line(3000, 2)).unwrap();
        watched.look(at(1000));
        assert_eq!(addresses(&watched, 1999), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(addresses(&watched, 2000), ["10.0.0.2"], "the first has ended");
        assert_eq!(watched.told, None);
        std::fs::remove_file(&path).unwrap();
        watched.look(at(1000));
        assert_eq!(addresses(&watched, 1000).len(), 2);
        // Put in its place, as servers do.
        let other = folder.path().join("other");
        std::fs::write(&other, line(2000, 3)).unwrap();
        std::fs::rename(&other, &path).unwrap();
        watched.look(at(1000));
        assert_eq!(addresses(&watched, 1000), ["10.0.0.3"]);
        // Written anew in the same instant, to the same size.
        let stamp = std::fs::metadata(&path).unwrap();
        std::fs::write(&path, line(2000, 4)).unwrap();
        File::open(&path).unwrap().set_modified(stamp.modified().unwrap()).unwrap();
        watched.look(at(stamp.mtime() + 1));
        assert_eq!(addresses(&watched, 1000), ["10.0.0.4"]);
    }

    #[test]
    fn what_is_no_lease_file_is_told_and_hangs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(MAX_FILE + 1).unwrap();
        for (path, word) in [(pipe, "regular"), (large, "64 MiB"), (folder.path().to_owned(), "regular")] {
            let mut watched = Watched::new(LeaseFile { path, format: None });
            watched.look(at(1000));
            assert!(watched.told.as_deref().is_some_and(|told| told.contains(word)), "{:?}", watched.told);
        }
    }

    #[test]
    fn octets_that_are_no_text_cost_only_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let mut octets = b"2000 00:00:5e:00:53:01 10.0.0.1 caf\xe9 *\n\xff\xfe\x00\n".to_vec();
        octets.extend_from_slice(line(2000, 2).as_bytes());
        std::fs::write(&path, octets).unwrap();
        let mut watched = Watched::new(LeaseFile { path, format: Some(Format::Dnsmasq) });
        watched.look(at(1000));
        assert_eq!(addresses(&watched, 1000), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(watched.not_understood(), 2);
    }

    #[test]
    fn while_kea_cleans_up_nothing_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kea-leases4.csv");
        let write = |suffix: &str, last: u8, state: u8| {
            let text = format!(
                "address,hwaddr,valid_lifetime,expire,hostname,state\n10.0.0.{last},00:00:5e:00:53:01,9,2000,,{state}\n"
            );
            std::fs::write(folder.path().join(format!("kea-leases4.csv{suffix}")), text).unwrap();
        };
        let mut watched = Watched::new(LeaseFile { path, format: None });
        for (suffix, last, state, expected) in [
            ("", 1, 0, vec!["10.0.0.1"]),
            (".2", 2, 0, vec!["10.0.0.1", "10.0.0.2"]),
            (".1", 3, 0, vec!["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
            ("", 2, 2, vec!["10.0.0.3"]),
            (".completed", 4, 0, vec!["10.0.0.4"]),
        ] {
            write(suffix, last, state);
            watched.look(at(1000));
            assert_eq!(addresses(&watched, 1000), expected, "{suffix}");
        }
    }
}
