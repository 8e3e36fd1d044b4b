//! Files of the past, read one after the other, with progress on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use jiff::tz::{Offset, TimeZone};

use crate::cli::output::plain;
use crate::clock;
use crate::scan::{Account, Format, Input, OpenError, Seen, Settings};

/// What is read, and what it does not say of itself.
#[derive(Debug, Args)]
pub(in crate::cli) struct FileArgs {
    /// Captures and logs; `-` for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Take the files for this format, rather than what their content shows.
    #[arg(long, value_name = "FORMAT")]
    input: Option<Format>,
    /// The year of the first line, for logs whose times tell none. It goes on by itself where December is followed by January.
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i16).range(1970..=9000))]
    year: Option<i16>,
    /// The zone of logs whose times tell none: UTC, an offset such as +02:00, or a name such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", value_parser = read_zone)]
    zone: Option<TimeZone>,
    /// The ports at which packets of a capture are queries.
    #[arg(long, value_name = "PORT", value_delimiter = ',', default_values_t = [53])]
    port: Vec<u16>,
}

/// What came of one file.
#[derive(Debug)]
pub(in crate::cli) struct FileRead {
    pub(in crate::cli) path: String,
    pub(in crate::cli) format: Format,
    pub(in crate::cli) account: Account,
}

fn read_zone(text: &str) -> Result<TimeZone, String> {
    let offset = || {
        let (sign, rest) =
            text.strip_prefix('+').map(|rest| (1, rest)).or(text.strip_prefix('-').map(|rest| (-1, rest)))?;
        let (hours, minutes) = rest.split_once(':')?;
        let number = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() == 2);
        let seconds = number(hours)? * 3600 + number(minutes).filter(|minutes| *minutes < 60)? * 60;
        Offset::from_seconds(sign * seconds).ok()
    };
    match text {
        "UTC" | "Z" => Ok(TimeZone::UTC),
        _ => match offset() {
            Some(offset) => Ok(offset.to_time_zone()),
            None => TimeZone::get(text).map_err(|_| {
                "it is neither UTC nor an offset such as +02:00 nor a zone of this system's database, such as Europe/Berlin"
                    .to_owned()
            }),
        },
    }
}

impl FileArgs {
    /// Opens every file, and then reads each to its end; `each` is given every query with its file and place, as long as
    /// it returns true.
    ///
    /// # Errors
    /// Where a file cannot be opened, or is nothing that is known; then nothing is read.
    pub(in crate::cli) fn read(&self, each: &mut dyn FnMut(&Seen, &str, u64) -> bool) -> anyhow::Result<Vec<FileRead>> {
        let settings =
            Settings { format: self.input, ports: self.port.clone(), year: self.year, zone: self.zone.clone() };
        let passed = Arc::new(AtomicU64::new(0));
        let (mut inputs, mut faults) = (Vec::new(), Vec::new());
        for path in &self.files {
            match Input::open(path, &settings, &passed) {
                Ok(input) => inputs.push(input),
                // As logs are that were rotated when nobody asked.
                Err(empty @ OpenError::Empty { .. }) => {
                    let _ = writeln!(io::stderr(), "{}", plain(&empty.to_string()));
                }
                Err(error) => faults.push(anyhow::Error::from(error)),
            }
        }
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{fault:#}")).collect();
            bail!(faults.join("\ninterdict: "));
        }
        let whole = inputs.iter().map(|input| input.length).sum::<Option<u64>>();
        let (done, ended) = mpsc::channel();
        let progress = io::stderr().is_terminal().then(|| {
            let passed = Arc::clone(&passed);
            std::thread::spawn(move || tell(&passed, whole, &ended))
        });
        let mut read = Vec::new();
        let mut go_on = true;
        for input in inputs {
            let (path, format) = (input.path.display().to_string(), input.format);
            let account = input.read(&settings, &mut |seen, place| {
                go_on = go_on && each(seen, &path, place);
                go_on
            });
            read.push(FileRead { path, format, account });
            if !go_on {
                break;
            }
        }
        drop(done);
        // A thread that only tells cannot have failed in a way that matters.
        let _ = progress.map(std::thread::JoinHandle::join);
        Ok(read)
    }
}

/// Tells how far reading has come, twice a second, until it has ended.
fn tell(passed: &AtomicU64, whole: Option<u64>, ended: &mpsc::Receiver<()>) {
    let begun = clock::monotonic();
    let mut shown = false;
    while ended.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
        let line = progress(passed.load(Ordering::Relaxed), whole, clock::monotonic().duration_since(begun));
        // Nobody is left to tell where standard error is closed.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
        shown = true;
    }
    if shown {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

fn progress(passed: u64, whole: Option<u64>, took: Duration) -> String {
    let mebi = |octets: u64| octets >> 20;
    let rate = passed.saturating_mul(1000) / (took.as_millis() as u64).max(1);
    let rest = match whole {
        Some(whole) if rate > 0 => format!(", {} s left", whole.saturating_sub(passed) / rate),
        _ => String::new(),
    };
    let of = whole.map_or_else(String::new, |whole| format!(" of {}", mebi(whole)));
    format!("{}{of} MiB, {} MiB/s{rest}", mebi(passed), mebi(rate))
}

/// Tells what was not read where the output has no room for it (`beside`), and fails where a file was not read to its end.
pub(in crate::cli) fn complete(files: &[FileRead], beside: bool) -> anyhow::Result<()> {
    let mut stderr = io::stderr().lock();
    for FileRead { path, format, account } in files.iter().filter(|_| beside) {
        for (place, why) in &account.unread.first {
            let _ = writeln!(stderr, "{}", plain(&format!("{path}: {} {place}: {why}", format.unit())));
        }
        let more = account.unread.count - account.unread.first.len() as u64;
        if more > 0 {
            let _ = writeln!(stderr, "{}", plain(&format!("{path}: {more} more could not be read")));
        }
    }
    for FileRead { path, format, .. } in files.iter().filter(|file| file.account.queries == 0) {
        let ports =
            if matches!(format, Format::Pcap | Format::Pcapng) { " to a port that was looked at (--port)" } else { "" };
        let _ = writeln!(stderr, "{}", plain(&format!("{path}: there is no query in it{ports}")));
    }
    let cut = files.iter().filter_map(|file| Some((file, file.account.ended.as_ref()?)));
    let cut: Vec<_> = cut
        .map(|(file, ended)| {
            format!("{} was not read to its end: {} {}: {}", file.path, file.format.unit(), ended.place, ended.why)
        })
        .collect();
    if cut.is_empty() { Ok(()) } else { Err(Faulty(cut).into()) }
}

/// Files that were not read to their end, one text each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\ninterdict: "))]
struct Faulty(Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_or_an_offset() {
        for (text, seconds) in [("UTC", 0), ("Z", 0), ("+02:00", 7200), ("-05:30", -19_800)] {
            assert_eq!(read_zone(text).unwrap().to_fixed_offset().unwrap().seconds(), seconds, "{text}");
        }
        assert!(read_zone("Europe/Berlin").is_ok());
        for text in ["", "+2", "+02:60", "+99:00", "Nowhere/Land", "+2:00"] {
            assert!(read_zone(text).unwrap_err().contains("+02:00"), "{text}");
        }
    }

    #[test]
    fn progress_tells_the_time_that_is_left_where_the_end_is_known() {
        let second = Duration::from_secs(1);
        assert_eq!(progress(10 << 20, Some(30 << 20), second), "10 of 30 MiB, 10 MiB/s, 2 s left");
        assert_eq!(progress(10 << 20, None, second), "10 MiB, 10 MiB/s");
        assert_eq!(progress(0, Some(30 << 20), Duration::ZERO), "0 of 30 MiB, 0 MiB/s");
    }
}
