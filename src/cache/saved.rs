//! Kept answers as octets, for the time between a stop and the next start.
//!
//! Each is a message as an upstream would send it, with its TTLs lessened by its age, so that whoever reads it back treats it
//! like any answer: nothing that was decided of it is written.

use std::io::{self, Write};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Entry, Key, question_of};
use crate::message::{HEADER, MAX_NAME, Writer, flag, u16_at};
use crate::query::Question;

/// What the octets begin with; another number where they have another shape.
const MAGIC: &[u8; 16] = b"interdict-kept-2";
/// Which boot of the machine it is: the system has another number for each.
pub type Boot = [u8; 16];

/// The digest that they end with (SHA-256), of all before it.
const DIGEST: usize = 32;

/// Writes answers.
#[derive(Debug)]
pub struct Saver<W> {
    out: W,
    digest: Sha256,
    message: Vec<u8>,
}

impl<W: Write> Saver<W> {
    /// Starts with the time at which they were kept still: the boot, and how long ago it was.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn new(out: W, (boot, since): (Boot, Duration)) -> io::Result<Self> {
        let mut saver = Self { out, digest: Sha256::new(), message: Vec::new() };
        saver.write(MAGIC)?;
        saver.write(&boot)?;
        saver.write(&u64::try_from(since.as_millis()).unwrap_or(u64::MAX).to_be_bytes())?;
        Ok(saver)
    }

    /// Writes the answer of a key that is `age` seconds old. Failures are left out, and what is stale.
    ///
    /// # Errors
    /// As the writer has them.
    pub(super) fn add(&mut self, key: &[u8], entry: &Entry, age: u32) -> io::Result<()> {
        let Some((question, _, _)) = question_of(key) else { return Ok(()) };
        if entry.is_failure() || age >= entry.body.lifetime {
            return Ok(());
        }
        let mut body = entry.body.clone();
        body.grow_older(age);
        self.message.clear();
        let Question { name, record_type, class } = &question;
        let mut message = std::mem::take(&mut self.message);
        let mut writer = Writer::new(&mut message, 0, flag::RESPONSE | body.flags);
        writer.question(name.as_wire(), *record_type, *class);
        writer.octets().extend_from_slice(&body.octets);
        let [answer, authority, additional] = body.counts;
        writer.set_counts(answer, authority, additional);
        if let Some(error) = &body.extended_error {
            let length = u16::try_from(error.len()).map_err(io::Error::other)?;
            writer.opt(0, 0, false, &[&[0, 15], &length.to_be_bytes(), error]);
        }
        // What is longer than a message may be was none; there is no such answer.
        if let (Ok(of_key), Ok(of_message)) = (u16::try_from(key.len()), u16::try_from(message.len())) {
            self.write(&of_key.to_be_bytes())?;
            self.write(key)?;
            self.write(&body.lifetime.to_be_bytes())?;
            self.write(&of_message.to_be_bytes())?;
            self.write(&message)?;
        }
        self.message = message;
        Ok(())
    }

    /// Ends with the digest.
    ///
    /// # Errors
    /// As the writer has them.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.digest.finalize())?;
        Ok(self.out)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.digest.update(octets);
        self.out.write_all(octets)
    }
}

/// Answers that were written and have come through whole.
#[derive(Debug)]
pub struct Saved<'a> {
    /// The boot in which they were kept, and how long after it they still were.
    pub boot: Boot,
    pub since: Duration,
    rest: &'a [u8],
}

/// One of them.
#[derive(Debug)]
pub struct SavedAnswer<'a> {
    pub key: Key,
    pub question: Question,
    /// Who was asked, by the number of the view.
    pub generation: u32,
    /// How long it might be kept still, in seconds.
    pub lifetime: u32,
    /// The whole message; whether it can be read is for the reader to find out.
    pub message: &'a [u8],
}

impl<'a> Saved<'a> {
    /// Reads what a [`Saver`] has written; `None` where it is anything else, or not whole.
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let (content, digest) = octets.split_at_checked(octets.len().checked_sub(DIGEST)?)?;
        let rest = content.strip_prefix(MAGIC)?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let is_whole = Sha256::digest(content)[..] == *digest;
        is_whole.then_some(Self { boot: *boot, since: Duration::from_millis(u64::from_be_bytes(*since)), rest })
    }

    fn part(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(part)
    }

    fn length(&mut self) -> Option<usize> {
        self.part(2).and_then(|octets| u16_at(octets, 0)).map(usize::from)
    }
}

impl<'a> Iterator for Saved<'a> {
    type Item = SavedAnswer<'a>;

    /// Ends where one cannot be read, since nobody knows then where the next one begins.
    fn next(&mut self) -> Option<Self::Item> {
        let length = self.length().filter(|length| *length <= MAX_NAME + 9)?;
        let key = Key::from_octets(self.part(length)?)?;
        let (question, _, _) = question_of(key.as_octets())?;
        let generation = u32::from_be_bytes(*key.as_octets().last_chunk()?);
        let lifetime = u32::from_be_bytes(*self.part(4)?.first_chunk()?);
        let length = self.length().filter(|length| *length >= HEADER)?;
        let message = self.part(length)?;
        Some(SavedAnswer { key, question, generation, lifetime, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, Class, Name, RecordType, ResponseView};
    use crate::query::Subjects;

    fn kept(flags: u16, octets: &[u8], error: Option<&[u8]>) -> Entry {
        let body = Body {
            flags,
            counts: [1, 0, 0],
            octets: octets.into(),
            ttls: [6].into(),
            minimums: Box::default(),
            lifetime: 300,
            extended_error: error.map(Into::into),
        };
        Entry {
            body,
            subjects: Subjects::default(),
            private: false,
            ech_removed: false,
            matched: false,
            epoch: (0, 0),
            stored: Duration::ZERO,
            failed: None,
            renewed: crate::cache::Claim::default(),
        }
    }

    const RECORD: &[u8] = b"\xC0\x0C\x00\x01\x00\x01\x00\x00\x01\x2C\x00\x04\xC0\x00\x02\x07";

    fn key() -> Vec<u8> {
        let name: Name = "a.example".parse().unwrap();
        [name.as_wire(), b"\x00\x01\x00\x01\x01\x00\x00\x00\x07"].concat()
    }

    fn written(entries: &[(Entry, u32)]) -> Vec<u8> {
        let mut saver = Saver::new(Vec::new(), ([7; 16], Duration::from_millis(1500))).unwrap();
        entries.iter().for_each(|(entry, age)| saver.add(&key(), entry, *age).unwrap());
        saver.finish().unwrap()
    }

    #[test]
    fn what_was_written_is_read_as_a_message_that_has_grown_older() {
        let (key, stays) = (key(), kept(flag::AUTHENTIC_DATA, RECORD, Some(&[0, 3])));
        let octets = written(&[(stays.clone(), 100), (kept(2, &[], None), 0), (stays, 300)]);
        let mut saved = Saved::read(&octets).unwrap();
        assert_eq!((saved.boot, saved.since), ([7; 16], Duration::from_millis(1500)));
        let answer = saved.next().unwrap();
        assert_eq!((answer.key.as_octets(), answer.generation, answer.lifetime), (&key[..], 7, 200));
        assert_eq!((answer.question.record_type, answer.question.class), (RecordType::A, Class::IN));
        let response = ResponseView::read(answer.message).unwrap();
        assert_eq!(response.flags() & flag::AUTHENTIC_DATA, flag::AUTHENTIC_DATA);
        assert_eq!(response.extended_error().unwrap()[..], [0, 3]);
        assert_eq!(response.records().next().unwrap().unwrap().ttl, 200);
        assert!(saved.next().is_none(), "neither failures nor what is stale outlives a stop");
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        let octets = written(&[(kept(0, RECORD, None), 0)]);
        for cut in 0..octets.len() {
            assert!(Saved::read(&octets[..cut]).is_none(), "{cut} octets");
            let mut changed = octets.clone();
            changed[cut] ^= 1;
            assert!(Saved::read(&changed).is_none(), "octet {cut} is another");
        }
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let octets = written(&[(kept(0, RECORD, None), 0)]);
        let content = &octets[..octets.len() - DIGEST];
        for at in MAGIC.len() + 24..content.len() {
            let mut changed = content.to_vec();
            changed[at] = changed[at].wrapping_sub(1);
            let digest = Sha256::digest(&changed);
            changed.extend_from_slice(&digest);
            assert!(Saved::read(&changed).unwrap().count() <= 1, "octet {at}");
        }
    }
}
