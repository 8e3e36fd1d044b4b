//! The kernel's neighbour table, asked over netlink (rtnetlink(7)): which hardware address answers for an address on the
//! networks that this machine is attached to. Reading it needs no privilege.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::client::{Device, Hardware, MAX_DEVICES, Source};

/// The largest piece that the kernel answers with, in octets, with room to spare.
const PIECE: usize = 64 << 10;
/// How long the kernel may take for a piece, in seconds.
const PATIENCE: i64 = 2;

/// Returns the neighbours at present, at most [`MAX_DEVICES`]. An address that two of them have is left out: link-local
/// addresses may be there once on each network.
pub(super) fn read() -> io::Result<Vec<Device>> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let asked = NetlinkPayload::from(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()));
    let mut message = NetlinkMessage::new(header, asked);
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    sendto(socket.as_raw_fd(), &octets, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut found = BTreeMap::new();
    receive(&socket, |neighbour| {
        if let Some((address, hardware)) = told(neighbour)
            && (found.len() < MAX_DEVICES || found.contains_key(&address))
        {
            let one = found.entry(address).or_insert(Some(hardware));
            *one = one.filter(|known| *known == hardware);
        }
    })?;
    let device = |(address, hardware): (IpAddr, Option<Hardware>)| {
        Some(Device { address, hardware: Some(hardware?), name: None, source: Source::Neighbour })
    };
    Ok(found.into_iter().filter_map(device).collect())
}

/// Takes the pieces of the answer to their end.
fn receive(socket: &OwnedFd, mut take: impl FnMut(&NeighbourMessage)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = recv(socket.as_raw_fd(), &mut piece, MsgFlags::empty())?;
        let mut rest = &piece[..length];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) => take(&neighbour),
                _ => {}
            }
            // Messages begin at multiples of four octets.
            let length = (message.header.length as usize).max(1).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Returns what a neighbour tells, where the kernel has found it.
fn told(neighbour: &NeighbourMessage) -> Option<(IpAddr, Hardware)> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    if !matches!(neighbour.header.state, Reachable | Stale | Delay | Probe | Permanent) {
        return None;
    }
    let address = neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    let hardware = neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => octets.as_slice().try_into().ok().map(Hardware),
        _ => None,
    })?;
    (!address.is_multicast() && hardware.0 != [0; 6]).then_some((address, hardware))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_without_privilege() {
        // What it knows depends on the machine; that it can be asked does not.
        let devices = read().unwrap();
        assert!(devices.iter().all(|device| device.hardware.is_some() && device.source == Source::Neighbour));
    }
}
