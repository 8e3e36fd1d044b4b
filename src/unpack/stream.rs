//! Octets that come one after the other, unpacked as they come. Their number is bounded by whoever reads them.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Packing;

/// The most memory that a frame of zstd may ask for: as much as `zstd` itself gives it unless told otherwise (`--long=27`).
const MAX_WINDOW: u64 = 128 << 20;

/// How much is read at once.
const BUFFER: usize = 128 << 10;

/// Reads `from`, unpacked where its first octets say that it is packed. What is inside is not unpacked once more.
///
/// # Errors
/// Where the first octets cannot be read.
pub fn stream(from: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    let mut from = from;
    from.by_ref().take(4).read_to_end(&mut head)?;
    let packing = Packing::of(&head);
    let whole = io::Cursor::new(head).chain(from);
    Ok(match packing {
        None => Box::new(whole),
        Some(Packing::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))),
        Some(Packing::Zstd) => Box::new(Frames::Between(BufReader::with_capacity(BUFFER, whole))),
    })
}

/// The frames of zstd (RFC 8878, section 3), one after the other.
enum Frames<R: Read> {
    Between(BufReader<R>),
    Within(Box<FrameDecoder>, BufReader<R>),
    Ended,
}

impl<R: Read> Frames<R> {
    /// Opens the next frame, and passes over those that are to be skipped.
    fn open(mut from: BufReader<R>) -> io::Result<Self> {
        loop {
            if from.fill_buf()?.is_empty() {
                return Ok(Self::Ended);
            }
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(MAX_WINDOW);
            match decoder.init(&mut from) {
                Ok(()) => {}
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut from.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    continue;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
            return Ok(Self::Within(Box::new(decoder), from));
        }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // After a failure there is nothing more to read.
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(0),
                Self::Between(from) => *self = Self::open(from)?,
                Self::Within(mut decoder, mut from) => {
                    while decoder.can_collect() == 0 && !decoder.is_finished() {
                        let one = BlockDecodingStrategy::UptoBlocks(1);
                        decoder.decode_blocks(&mut from, one).map_err(io::Error::other)?;
                    }
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        *self = Self::Within(decoder, from);
                        return Ok(read);
                    }
                    if let (Some(told), Some(found)) =
                        (decoder.get_checksum_from_data(), decoder.get_calculated_checksum())
                        && told != found
                    {
                        return Err(io::Error::other("the checksum is another"));
                    }
                    *self = Self::Between(from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn all(octets: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        stream(io::Cursor::new(octets))?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn streams_are_unpacked_as_whole_files_are() {
        let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let skipped = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let twice = [text.clone(), text.clone()].concat();
        for (packed, what) in [
            (twice.clone(), "plain"),
            ([gzip(&text), gzip(&text)].concat(), "gzip"),
            ([zstd(&text), skipped.to_vec(), zstd(&text)].concat(), "zstd"),
        ] {
            assert_eq!(all(packed).unwrap(), twice, "{what}");
        }
        assert_eq!(all(Vec::new()).unwrap(), b"");
        assert_eq!(all(b"ab".to_vec()).unwrap(), b"ab");
    }

    #[test]
    fn what_is_cut_or_changed_is_told() {
        let text = b"27-Nov-2026 04:55:33.123 client".repeat(100);
        for packed in [gzip(&text), zstd(&text)] {
            for length in [5, packed.len() / 2, packed.len() - 1] {
                assert!(all(packed[..length].to_vec()).is_err(), "cut to {length}");
            }
            let mut changed = packed.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(all(changed).is_err());
        }
        // Frames that ask for windows of 8 MiB, and of 256.
        assert!(all(vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 13 << 3, 0x01, 0, 0]).is_ok());
        assert!(all(vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 18 << 3, 0x01, 0, 0]).is_err());
    }
}
