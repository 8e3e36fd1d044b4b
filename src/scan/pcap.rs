//! Captures of libpcap (draft-ietf-opsawg-pcap). Those of Wireshark are in `ng`.

pub(super) mod ng;

use std::io;

use jiff::Timestamp;

use super::Settings;
use super::account::Sink;
use super::packet::{Frame, Packets};
use super::window::Window;

/// The longest packet that is believed, as libpcap has it.
pub(super) const MAX_PACKET: usize = 256 << 10;

/// The order of octets in which a capture was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    pub(super) fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = octets.get(at..at + 2)?.try_into().ok()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(octets),
            Self::Little => u16::from_le_bytes(octets),
        })
    }

    pub(super) fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = octets.get(at..at + 4)?.try_into().ok()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(octets),
            Self::Little => u32::from_le_bytes(octets),
        })
    }
}

/// Reads a capture to its end.
pub(super) fn read(window: &mut Window, settings: &Settings, sink: &mut Sink<'_>) -> io::Result<()> {
    let head = window.need(24)?;
    let (order, nano) = match head {
        [0xD4, 0xC3, 0xB2, 0xA1, ..] => (Order::Little, false),
        [0x4D, 0x3C, 0xB2, 0xA1, ..] => (Order::Little, true),
        [0xA1, 0xB2, 0x3C, 0x4D, ..] => (Order::Big, true),
        _ => (Order::Big, false),
    };
    // The upper bits may tell the length of a checksum.
    let Some(link) = order.u32(head, 20).map(|link| link & 0xFFFF) else {
        sink.end("its header is cut");
        return Ok(());
    };
    window.consume(24);
    let mut packets = Packets::new(&settings.ports);
    loop {
        let have = window.need(16)?;
        if have.is_empty() || sink.is_stopped() {
            break;
        }
        sink.begin();
        let fields = [0, 4, 8, 12].map(|at| order.u32(have, at));
        let [Some(seconds), Some(fraction), Some(length), Some(whole)] = fields else {
            sink.end("the capture is cut in the middle of a packet");
            break;
        };
        let length = length as usize;
        if length > MAX_PACKET {
            sink.end(format!("a packet is said to have {length} octets, which is more than captures hold"));
            break;
        }
        let have = window.need(16 + length)?;
        let Some(packet) = have.get(16..16 + length) else {
            sink.end("the capture is cut in the middle of a packet");
            break;
        };
        let nanoseconds = if nano { Some(fraction) } else { fraction.checked_mul(1000) };
        let at = nanoseconds.and_then(|nano| Timestamp::new(i64::from(seconds), i32::try_from(nano).ok()?).ok());
        match at {
            Some(at) => packets.packet(Frame { link, octets: packet, cut: whole as usize > length }, at, sink),
            None => sink.unread("the time is none"),
        }
        window.consume(16 + length);
        window.fruitful();
    }
    packets.end(sink);
    Ok(())
}
