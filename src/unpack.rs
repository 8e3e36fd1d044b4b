//! What gzip or zstd has compressed, unpacked within a bound on its size; of streams, within one on memory.

mod stream;

use std::io::{self, Read};

pub use stream::stream;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// How octets were compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952; several members follow each other as one text.
    Gzip,
    /// RFC 8878; several frames follow each other as one text.
    Zstd,
}

/// Why octets could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("unpacked, it is larger than {most} octets")]
    TooLarge { most: u64 },
    #[error("it ends in the middle: the compressed data are cut or damaged")]
    Damaged(#[source] io::Error),
}

impl Packing {
    /// Finds out by the first octets how all of them were compressed; `None` where they were not.
    pub fn of(octets: &[u8]) -> Option<Self> {
        match octets {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Self::Zstd),
            // A skippable frame may come first (RFC 8878, section 3.1.2).
            [first, 0x2A, 0x4D, 0x18, ..] if first & 0xF0 == 0x50 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Unpacks all of `octets`, to at most `most` octets.
    ///
    /// # Errors
    /// Where that is too little, or where they are cut or damaged.
    pub fn unpack(self, octets: &[u8], most: u64) -> Result<Vec<u8>, UnpackError> {
        let mut text = Vec::new();
        match self {
            Self::Gzip => take(flate2::read::MultiGzDecoder::new(octets), &mut text, most)?,
            Self::Zstd => {
                let mut rest = octets;
                while !rest.is_empty() {
                    rest = frame(rest, &mut text, most)?;
                }
            }
        }
        Ok(text)
    }
}

/// Reads `from` to its end, so that `text` has at most `most` octets.
fn take(from: impl Read, text: &mut Vec<u8>, most: u64) -> Result<(), UnpackError> {
    let left = most.saturating_sub(text.len() as u64);
    from.take(left + 1).read_to_end(text).map_err(UnpackError::Damaged)?;
    if text.len() as u64 > most { Err(UnpackError::TooLarge { most }) } else { Ok(()) }
}

/// Unpacks one frame, and returns what stands behind it.
fn frame<'o>(octets: &'o [u8], text: &mut Vec<u8>, most: u64) -> Result<&'o [u8], UnpackError> {
    let damaged = |error: FrameDecoderError| UnpackError::Damaged(io::Error::other(error));
    let mut rest = octets;
    let mut decoder = match StreamingDecoder::<_, FrameDecoder>::new(&mut rest) {
        Ok(decoder) => decoder,
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            // Its magic number and length come before what is skipped.
            let behind = usize::try_from(length).ok().and_then(|length| octets.get(length.checked_add(8)?..));
            return behind.ok_or_else(|| UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        Err(error) => return Err(damaged(error)),
    };
    take(&mut decoder, text, most)?;
    let decoder = decoder.into_frame_decoder();
    if let (Some(told), Some(found)) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum())
        && told != found
    {
        return Err(UnpackError::Damaged(io::Error::other("the checksum is another")));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const TEXT: &[u8] = b"0.0.0.0 ads.example\n0.0.0.0 more.ads.example\n";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn both_kinds_are_told_by_their_first_octets_and_unpacked() {
        assert_eq!(Packing::of(TEXT), None);
        for (packed, packing) in [(gzip(TEXT), Packing::Gzip), (zstd(TEXT), Packing::Zstd)] {
            assert_eq!(Packing::of(&packed), Some(packing));
            assert_eq!(packing.unpack(&packed, 1 << 20).unwrap(), TEXT);
            let twice = [packed.clone(), packed].concat();
            assert_eq!(packing.unpack(&twice, 1 << 20).unwrap(), [TEXT, TEXT].concat(), "{packing:?} twice");
        }
        let skipped = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(TEXT)].concat();
        assert_eq!(Packing::of(&skipped).unwrap().unpack(&skipped, 1 << 20).unwrap(), TEXT);
    }

    #[test]
    fn what_is_cut_changed_or_too_large_is_refused() {
        let large = vec![b'a'; 1 << 20];
        for (packed, packing) in [(gzip(&large), Packing::Gzip), (zstd(&large), Packing::Zstd)] {
            assert!(matches!(packing.unpack(&packed, 1000), Err(UnpackError::TooLarge { most: 1000 })), "{packing:?}");
            assert_eq!(packing.unpack(&packed, 1 << 20).unwrap().len(), 1 << 20);
        }
        for (packed, packing) in [(gzip(TEXT), Packing::Gzip), (zstd(TEXT), Packing::Zstd)] {
            for length in 1..packed.len() {
                assert!(packing.unpack(&packed[..length], 1 << 20).is_err(), "{packing:?} cut to {length}");
            }
        }
        // A frame of zstd that asks for a window of more than 128 MiB is none that we hold memory for.
        assert!(Packing::Zstd.unpack(&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xFF, 0x01, 0, 0], 1 << 20).is_err());
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed as usize >> 8
        };
        for (packed, packing) in [(gzip(TEXT), Packing::Gzip), (zstd(TEXT), Packing::Zstd)] {
            for _ in 0..5000 {
                let mut changed = packed.clone();
                let length = changed.len();
                (0..=next() % 4).for_each(|_| changed[next() % length] = next() as u8);
                // Whatever comes of it, nothing breaks, and no more comes than was asked for.
                assert!(packing.unpack(&changed, 4096).map_or(0, |text| text.len()) <= 4096);
            }
        }
        let mut changed = zstd(TEXT);
        *changed.last_mut().unwrap() ^= 1;
        assert!(Packing::Zstd.unpack(&changed, 1 << 20).is_err(), "a checksum ends the frame");
    }
}
