//! Captures of Wireshark (draft-ietf-opsawg-pcapng): sections of blocks.

use std::io;

use jiff::Timestamp;

use super::{MAX_PACKET, Order};
use crate::scan::Settings;
use crate::scan::account::Sink;
use crate::scan::packet::{Frame, Packets};
use crate::scan::window::Window;

/// The longest block that is believed; longer than any packet with its options.
const MAX_BLOCK: usize = 16 << 20;

/// How many interfaces a section may have.
const MAX_INTERFACES: usize = 4096;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const OBSOLETE: u32 = 2;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// One interface of a section.
struct Interface {
    link: u32,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds that are added to each time.
    offset: i64,
}

/// Reads a capture to its end.
pub(in crate::scan) fn read(window: &mut Window, settings: &Settings, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut packets = Packets::new(&settings.ports);
    let read = blocks(window, &mut packets, sink);
    packets.end(sink);
    read
}

fn blocks(window: &mut Window, packets: &mut Packets<'_>, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut order = Order::Little;
    let mut interfaces = Vec::new();
    loop {
        let have = window.need(12)?;
        if have.is_empty() || sink.is_stopped() {
            break;
        }
        // The order of octets is known only from inside of a section's first block.
        if have.starts_with(&SECTION.to_be_bytes()) {
            order = match have.get(8..12) {
                Some([0x1A, 0x2B, 0x3C, 0x4D]) => Order::Big,
                Some([0x4D, 0x3C, 0x2B, 0x1A]) => Order::Little,
                _ => return Err(io::Error::other("a section is neither in one order of octets nor in the other")),
            };
            interfaces.clear();
        }
        let (Some(kind), Some(length), true) = (order.u32(have, 0), order.u32(have, 4), have.len() >= 12) else {
            return Err(io::Error::other("the capture is cut in the middle of a block"));
        };
        let length = length as usize;
        if !(12..=MAX_BLOCK).contains(&length) || !length.is_multiple_of(4) {
            return Err(io::Error::other(format!("a block is said to have {length} octets, which no block has")));
        }
        let have = window.need(length)?;
        let Some(body) = have.get(8..length - 4) else {
            return Err(io::Error::other("the capture is cut in the middle of a block"));
        };
        match kind {
            INTERFACE if interfaces.len() < MAX_INTERFACES => interfaces.push(interface(body, order)),
            INTERFACE => return Err(io::Error::other("a section has more than 4096 interfaces")),
            ENHANCED | OBSOLETE => {
                sink.begin();
                packet(body, kind, (order, &interfaces), packets, sink);
            }
            SIMPLE => {
                sink.begin();
                sink.unread("the packet has no time");
            }
            _ => {}
        }
        window.consume(length);
        window.fruitful();
    }
    Ok(())
}

fn packet(
    body: &[u8],
    kind: u32,
    (order, interfaces): (Order, &[Option<Interface>]),
    packets: &mut Packets<'_>,
    sink: &mut Sink<'_>,
) {
    let number = match kind {
        ENHANCED => order.u32(body, 0),
        _ => order.u16(body, 0).map(u32::from),
    };
    let (Some(number), [Some(high), Some(low), Some(length), Some(whole)]) =
        (number, [4, 8, 12, 16].map(|at| order.u32(body, at)))
    else {
        return sink.unread("the block is cut");
    };
    let Some(Some(interface)) = interfaces.get(number as usize) else {
        return sink.unread("the packet is of an interface that is not told of, or not as interfaces are");
    };
    let packet =
        body.get(20..).and_then(|rest| rest.get(..length as usize)).filter(|packet| packet.len() <= MAX_PACKET);
    let Some(packet) = packet else { return sink.unread("the packet is longer than its block") };
    match interface.instant(u64::from(high) << 32 | u64::from(low)) {
        Some(at) => {
            let frame = Frame { link: interface.link, octets: packet, cut: whole > length };
            packets.packet(frame, at, sink);
        }
        None => sink.unread("the time is none"),
    }
}

impl Interface {
    fn instant(&self, units: u64) -> Option<Timestamp> {
        let seconds = i64::try_from(units / self.resolution).ok()?.checked_add(self.offset)?;
        let nano = u128::from(units % self.resolution) * 1_000_000_000 / u128::from(self.resolution);
        Timestamp::new(seconds, i32::try_from(nano).ok()?).ok()
    }
}

fn interface(body: &[u8], order: Order) -> Option<Interface> {
    let mut of = Interface { link: u32::from(order.u16(body, 0)?), resolution: 1_000_000, offset: 0 };
    let mut options = body.get(8..)?;
    while let (Some(code), Some(length)) = (order.u16(options, 0), order.u16(options, 2)) {
        let length = usize::from(length);
        let Some(value) = options.get(4..4 + length) else { break };
        match (code, value) {
            (0, _) => break,
            // The exponent of ten, or of two where the first bit is set.
            (9, [exponent @ 0..=18]) => of.resolution = 10u64.pow(u32::from(*exponent)),
            (9, [exponent @ 0x80..=0xBF]) => of.resolution = 1 << (exponent & 0x3F),
            // Finer than any clock; times of it would be read wrongly.
            (9, _) => return None,
            (14, value @ [_, _, _, _, _, _, _, _]) => {
                let (first, second) = (order.u32(value, 0)?, order.u32(value, 4)?);
                let (high, low) = if order == Order::Big { (first, second) } else { (second, first) };
                of.offset = (u64::from(high) << 32 | u64::from(low)).cast_signed();
            }
            (_, _) => {}
        }
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(of)
}
