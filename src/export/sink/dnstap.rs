//! dnstap over Frame Streams (farsightsec.github.io/fstrm), in both directions: the receiver says at the end that it has
//! read everything.

use std::io::{self, Read as _, Write};

use super::wire::{Address, Wire};
use super::{SendError, Sink};
use crate::export::event::{Event, Origin};
use crate::export::format::dnstap::{CONTENT_TYPE, frames};

/// Types of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;
/// The field of control frames that tells the content type.
const FIELD_CONTENT_TYPE: u32 = 1;
/// The longest control frame that is read, in octets, as the standard has it.
const MAX_CONTROL: u32 = 512;

/// Frames that are written to a file or a connection.
pub(in crate::export) struct Frames<W>(pub(in crate::export) W);

impl<W: Write> Frames<W> {
    /// Says that frames of dnstap begin.
    pub(in crate::export) fn start(&mut self) -> io::Result<()> {
        self.control(START, true)
    }

    /// Says that no more come.
    pub(in crate::export) fn stop(&mut self) -> io::Result<()> {
        self.control(STOP, false)
    }

    fn control(&mut self, kind: u32, typed: bool) -> io::Result<()> {
        let mut frame = kind.to_be_bytes().to_vec();
        if typed {
            frame.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
            frame.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
            frame.extend_from_slice(CONTENT_TYPE);
        }
        self.0.write_all(&0_u32.to_be_bytes())?;
        self.0.write_all(&(frame.len() as u32).to_be_bytes())?;
        self.0.write_all(&frame)?;
        self.0.flush()
    }

    /// Writes what an event says as frames of data.
    pub(in crate::export) fn event(&mut self, event: &Event, origin: &Origin) -> io::Result<()> {
        for frame in frames(event, origin) {
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            self.0.write_all(&length.to_be_bytes())?;
            self.0.write_all(&frame)?;
        }
        Ok(())
    }
}

impl Frames<Wire> {
    /// Reads a control frame of this type.
    fn expect(&mut self, kind: u32) -> io::Result<()> {
        let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut word = || {
            let mut octets = [0; 4];
            self.0.read_exact(&mut octets).map(|()| u32::from_be_bytes(octets))
        };
        if word()? != 0 {
            return Err(wrong("it sent data, where Frame Streams want a control frame"));
        }
        let length = word()?;
        if !(4..=MAX_CONTROL).contains(&length) {
            return Err(wrong("it sent a control frame that is too long"));
        }
        let found = word()?;
        let mut rest = vec![0; length as usize - 4];
        self.0.read_exact(&mut rest)?;
        if found == kind { Ok(()) } else { Err(wrong("it sent another control frame than Frame Streams want here")) }
    }

    fn begin(to: &Address) -> io::Result<Self> {
        let mut frames = Self(Wire::connect(to)?);
        frames.control(READY, true)?;
        frames.expect(ACCEPT)?;
        frames.start()?;
        Ok(frames)
    }
}

/// A connection over which frames go.
pub(super) struct Stream {
    to: Address,
    frames: Option<Frames<Wire>>,
}

impl Stream {
    pub(super) const fn new(to: Address) -> Self {
        Self { to, frames: None }
    }
}

impl Sink for Stream {
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        // What is told of nothing but look-ups needs no connection for anything else.
        let mut octets = Frames(Vec::new());
        let written: io::Result<()> = events.iter().try_for_each(|event| octets.event(event, origin));
        let to = self.to.to_string();
        let failed = |source| SendError::Send { to: to.clone(), source };
        written.map_err(failed)?;
        if octets.0.is_empty() {
            return Ok(());
        }
        let mut frames = match self.frames.take() {
            Some(frames) => frames,
            None => Frames::begin(&self.to).map_err(|source| SendError::Connect { to: to.clone(), source })?,
        };
        frames.0.write_all(&octets.0).and_then(|()| frames.0.flush()).map_err(failed)?;
        self.frames = Some(frames);
        Ok(())
    }

    /// Ends the stream: FINISH comes behind everything that was read.
    fn confirm(&mut self) -> Result<(), SendError> {
        let Some(mut frames) = self.frames.take() else { return Ok(()) };
        let ended = frames.stop().and_then(|()| frames.expect(FINISH));
        ended.map_err(|source| SendError::Send { to: self.to.to_string(), source })
    }

    fn is_eager(&self) -> bool {
        false
    }
}
