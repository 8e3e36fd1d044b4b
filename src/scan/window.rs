//! The part of a stream that is looked at: as much as is asked for, and never more than its bound.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is read at once, and how much of a stream that may be short.
const STEP: usize = 256 << 10;
const FIRST_STEP: usize = 4 << 10;

/// The longest line that is read; nothing that tells of a query is longer.
pub(super) const MAX_LINE: usize = 1 << 20;

/// How many octets of what is packed may come in a row without a query, where they are packed more tightly than logs are:
/// what is packed with care would else be unpacked for days.
const MAX_BARREN: u64 = 64 << 20;

/// How many octets of a log come out of one that is packed, at most.
const TIGHT: u64 = 200;

/// A stream, and the part of it that was read and not yet consumed.
pub(super) struct Window {
    from: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// What has come since the last query, and how much had been read of the file before.
    barren: u64,
    passed_before: u64,
    passed: Arc<AtomicU64>,
}

/// A line, its end taken off.
pub(super) enum Line<'w> {
    Whole(&'w [u8]),
    /// The last one, which has no end and may be cut.
    Last(&'w [u8]),
    /// It is longer than [`MAX_LINE`], and was passed over.
    TooLong,
}

impl Window {
    /// `passed` counts what is read of the file as it lies there.
    pub(super) fn new(from: Box<dyn Read + Send>, passed: Arc<AtomicU64>) -> Self {
        Self { from, buffer: Vec::new(), start: 0, end: 0, ended: false, barren: 0, passed_before: 0, passed }
    }

    /// Returns what is there, which is at least `least` octets where the stream has as many.
    pub(super) fn need(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.end - self.start < least && !self.ended {
            self.fill(least)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Takes `count` octets off that [`Self::need`] has returned.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Says that something could be read.
    pub(super) const fn fruitful(&mut self) {
        self.barren = 0;
    }

    fn fill(&mut self, least: usize) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.barren == 0 {
            self.passed_before = self.passed.load(Ordering::Relaxed);
        }
        let step = self.buffer.len().clamp(FIRST_STEP, STEP);
        let room = least.max(self.end + step).max(self.buffer.len());
        self.buffer.resize(room, 0);
        let read = loop {
            match self.from.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.ended = read == 0;
        self.end += read;
        self.barren += read as u64;
        let packed = self.passed.load(Ordering::Relaxed).saturating_sub(self.passed_before);
        if self.barren > MAX_BARREN && self.barren / TIGHT > packed {
            return Err(io::Error::other(format!(
                "{} MiB in a row have no query in them, and are packed more tightly than logs are",
                MAX_BARREN >> 20
            )));
        }
        Ok(())
    }

    /// Returns the next line, or `None` at the end.
    pub(super) fn line(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut looked = 0;
        let mut too_long = false;
        loop {
            let have = &self.buffer[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', &have[looked..]).map(|at| looked + at) {
                let (start, end) = (self.start, self.start + at);
                self.start = end + 1;
                return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(trimmed(&self.buffer[start..end])) }));
            }
            looked = have.len();
            if looked > MAX_LINE {
                too_long = true;
                self.start = self.end;
                looked = 0;
            }
            if self.ended {
                let (start, end) = (self.start, self.end);
                self.start = end;
                return Ok(match too_long {
                    true => Some(Line::TooLong),
                    false if start == end => None,
                    false => Some(Line::Last(&self.buffer[start..end])),
                });
            }
            self.fill(looked + 1)?;
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: Vec<u8>) -> Vec<Option<Vec<u8>>> {
        let mut window = Window::new(Box::new(io::Cursor::new(text)), Arc::default());
        let mut found = Vec::new();
        while let Some(line) = window.line().unwrap() {
            found.push(match line {
                Line::Whole(line) | Line::Last(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert!(window.buffer.len() <= MAX_LINE + 3 * STEP, "{}", window.buffer.len());
        found
    }

    #[test]
    fn lines_of_megabytes_are_passed_over_and_the_next_is_read() {
        let long = vec![b'x'; 5 << 20];
        let text =
            [b"a\r\n\n".to_vec(), long.clone(), b"\nb\n".to_vec(), vec![b'y'; MAX_LINE], b"\nc".to_vec()].concat();
        let some = |text: &[u8]| Some(text.to_vec());
        assert_eq!(lines(text), [some(b"a"), some(b""), None, some(b"b"), some(&vec![b'y'; MAX_LINE]), some(b"c")]);
        assert_eq!(lines(long), [None]);
        assert_eq!(lines(Vec::new()), []);
    }

    #[test]
    fn what_never_says_anything_comes_to_an_end() {
        let mut window = Window::new(Box::new(io::repeat(0)), Arc::default());
        let error = window.line().err().unwrap();
        assert!(error.to_string().contains("64 MiB"), "{error}");
    }

    #[test]
    fn a_log_with_few_queries_in_it_is_read_to_its_end() {
        let (passed, long) = (Arc::<AtomicU64>::default(), MAX_BARREN * 2);
        let counted = Counted { from: io::repeat(b'x').take(long), passed: Arc::clone(&passed) };
        let mut window = Window::new(Box::new(counted), passed);
        assert!(matches!(window.line(), Ok(Some(Line::TooLong))));
        assert!(matches!(window.line(), Ok(None)));
    }

    struct Counted<R> {
        from: R,
        passed: Arc<AtomicU64>,
    }

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.from.read(buffer)?;
            self.passed.fetch_add(read as u64 / 20, Ordering::Relaxed);
            Ok(read)
        }
    }
}
