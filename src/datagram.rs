//! Datagrams in batches, by recvmmsg(2) and sendmmsg(2). The only file that makes these calls.
//!
//! What it gains: a system call for up to [`BATCH`] datagrams instead of one. The safe wrappers of `nix` do not do: its
//! `sendmmsg` takes one set of control messages for all datagrams, while each answer has to leave from the address that its
//! query was sent to, and its `recvmmsg` keeps the lengths that the kernel wrote for the datagrams before.
//!
//! Why it is sound:
//!
//! - `mmsghdr` and `iovec` consist of integers and pointers alone, so that all bits zero is a value of them.
//! - Both are made anew on the stack for each call, and are gone when it returns. The kernel keeps no address.
//! - Every address in them comes from a `&mut` to an element of the slice that was handed in, which nothing else touches
//!   until the call has returned; the elements of the slice lie apart, and so do the fields whose addresses are taken.
//! - Every length in them is that of the field at the address, or less.
//! - The kernel writes octets and integers, of which all bits are values: `Incoming` holds nothing else. Of what `Letter`
//!   holds the kernel only reads, and only octets that are initialised.
//! - The counts that are returned are bounded by those that were handed over, whatever the kernel says.

#![allow(unsafe_code, reason = "the proof stands above; no library has a safe call that does this")]
#![allow(clippy::unnecessary_cast, reason = "the C libraries do not agree on the types of lengths")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::libc;

use crate::query::{LocalEnd, MAX_PAYLOAD, Peer};

/// How many datagrams are taken or sent by one call at most. More gains nothing that could be measured.
pub const BATCH: usize = 32;
/// The longest datagram that is taken whole; honest ones are far shorter, but not every server keeps to what it is asked.
pub const MAX_DATAGRAM: usize = 4096;

/// Whether a call may wait for the first datagram; it never waits for a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as the socket's own timeout says.
    First,
    Never,
}

/// An address in the kernel's form: family, port, then `sockaddr_in` or `sockaddr_in6`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Address([u8; size_of::<libc::sockaddr_in6>()]);

/// One control message, which is all that the sockets in use send or take: the local end.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    data: [u8; CONTROL_DATA],
}

/// The length of `in6_pktinfo`, the longer of the two, up to the alignment of a header.
const CONTROL_DATA: usize = 24;
// The data follow their header at once, as CMSG_DATA has it.
const _: () = assert!(size_of::<Control>() == size_of::<libc::cmsghdr>() + CONTROL_DATA);

/// Room for a datagram that is taken, and what the kernel told of it.
pub struct Incoming {
    address: Address,
    address_length: usize,
    control: Control,
    control_length: usize,
    length: usize,
    octets: [u8; MAX_DATAGRAM],
}

/// A datagram to send. Its memory is used again for the next one.
pub struct Letter {
    /// What is sent.
    pub message: Vec<u8>,
    address: Address,
    address_length: usize,
    control: Control,
    control_length: usize,
}

impl Incoming {
    /// Returns room for one call.
    pub fn batch() -> Box<[Self]> {
        let empty = || Self {
            address: Address::EMPTY,
            address_length: 0,
            control: Control::EMPTY,
            control_length: 0,
            length: 0,
            octets: [0; MAX_DATAGRAM],
        };
        (0..BATCH).map(|_| empty()).collect()
    }

    /// Returns what came, cut to [`MAX_DATAGRAM`].
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Returns who sent it to which address of ours; `None` where the kernel does not tell who.
    pub fn peer(&self) -> Option<Peer> {
        let remote = self.address.read(self.address_length)?;
        Some(Peer::direct(remote, self.control.read(self.control_length)))
    }
}

impl Letter {
    /// Returns a letter without words or address.
    pub fn new() -> Self {
        Self {
            message: Vec::with_capacity(2 * usize::from(MAX_PAYLOAD)),
            address: Address::EMPTY,
            address_length: 0,
            control: Control::EMPTY,
            control_length: 0,
        }
    }

    /// Addresses it to a peer, from the address that the peer asked. Without an address, it goes where the socket is
    /// connected to.
    pub fn address_to(&mut self, peer: &Peer) {
        self.address_length = self.address.write(peer.remote);
        self.control_length = peer.local.map_or(0, |local| self.control.write(local));
    }
}

impl Default for Letter {
    fn default() -> Self {
        Self::new()
    }
}

impl Address {
    const EMPTY: Self = Self([0; size_of::<libc::sockaddr_in6>()]);

    fn read(&self, length: usize) -> Option<SocketAddr> {
        let octets = &self.0;
        let family = i32::from(u16::from_ne_bytes([octets[0], octets[1]]));
        let port = u16::from_be_bytes([octets[2], octets[3]]);
        if family == libc::AF_INET && length >= size_of::<libc::sockaddr_in>() {
            let address: [u8; 4] = octets[4..8].try_into().ok()?;
            return Some(SocketAddr::from((Ipv4Addr::from(address), port)));
        }
        if family != libc::AF_INET6 || length < octets.len() {
            return None;
        }
        let address: [u8; 16] = octets[8..24].try_into().ok()?;
        let flow = u32::from_ne_bytes(octets[4..8].try_into().ok()?);
        let scope = u32::from_ne_bytes(octets[24..28].try_into().ok()?);
        Some(std::net::SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope).into())
    }

    /// Returns how many octets the address takes.
    fn write(&mut self, address: SocketAddr) -> usize {
        let octets = &mut self.0;
        octets[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v4.ip().octets());
                octets[8..16].fill(0);
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                octets[8..24].copy_from_slice(&v6.ip().octets());
                octets[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                octets.len()
            }
        }
    }
}

impl Control {
    const EMPTY: Self = Self {
        // SAFETY: all bits zero is a value of a struct of integers.
        header: unsafe { std::mem::zeroed() },
        data: [0; CONTROL_DATA],
    };

    /// The place of `ipi_addr` in `in_pktinfo`, whose second field is the address that an answer leaves from.
    const V4_DESTINATION: std::ops::Range<usize> = 8..12;

    fn read(&self, length: usize) -> Option<LocalEnd> {
        let Self { header, data } = self;
        let told = length.min(header.cmsg_len as usize).checked_sub(size_of::<libc::cmsghdr>())?;
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if told >= size_of::<libc::in_pktinfo>() => {
                let interface = i32::from_ne_bytes(data[..4].try_into().ok()?);
                let address: [u8; 4] = data[Self::V4_DESTINATION].try_into().ok()?;
                Some(LocalEnd { address: IpAddr::from(address), interface: u32::try_from(interface).unwrap_or(0) })
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if told >= size_of::<libc::in6_pktinfo>() => {
                let address: [u8; 16] = data[..16].try_into().ok()?;
                let interface = u32::from_ne_bytes(data[16..20].try_into().ok()?);
                Some(LocalEnd { address: IpAddr::from(address), interface })
            }
            _ => None,
        }
    }

    /// Returns how many octets the message takes.
    fn write(&mut self, local: LocalEnd) -> usize {
        let Self { header, data } = self;
        *data = [0; CONTROL_DATA];
        let length = match local.address {
            IpAddr::V4(v4) => {
                (header.cmsg_level, header.cmsg_type) = (libc::IPPROTO_IP, libc::IP_PKTINFO);
                // Interface 0: the routes decide which way the answer goes.
                data[4..8].copy_from_slice(&v4.octets());
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(v6) => {
                (header.cmsg_level, header.cmsg_type) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);
                data[..16].copy_from_slice(&v6.octets());
                data[16..20].copy_from_slice(&local.interface.to_ne_bytes());
                size_of::<libc::in6_pktinfo>()
            }
        };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + length) as _;
        // The room of a control message is a whole number of words.
        size_of::<libc::cmsghdr>() + length.next_multiple_of(align_of::<libc::cmsghdr>())
    }
}

// SAFETY: all bits zero is a value of a struct of integers and pointers.
const NO_HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };
const NO_PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Takes what came, as many as [`BATCH`] and `into` hold, and returns how many.
///
/// # Errors
/// As recvmmsg(2) has it; `WouldBlock` where nothing came.
pub fn receive(socket: &UdpSocket, into: &mut [Incoming], wait: Wait) -> io::Result<usize> {
    let into = &mut into[..];
    let count = into.len().min(BATCH);
    let mut parts = [NO_PART; BATCH];
    let mut headers = [NO_HEADER; BATCH];
    for ((incoming, part), header) in into.iter_mut().zip(&mut parts).zip(&mut headers) {
        *part = libc::iovec { iov_base: incoming.octets.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM };
        let header = &mut header.msg_hdr;
        header.msg_iov = &raw mut *part;
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut incoming.address).cast();
        header.msg_namelen = size_of::<Address>() as libc::socklen_t;
        header.msg_control = (&raw mut incoming.control).cast();
        header.msg_controllen = size_of::<Control>() as _;
    }
    let flags = match wait {
        Wait::First => libc::MSG_WAITFORONE,
        Wait::Never => libc::MSG_DONTWAIT,
    };
    let descriptor = socket.as_raw_fd();
    // SAFETY: `count` headers are filled in, with the addresses of fields of `into` and of `parts`, which live until here.
    let result =
        unsafe { libc::recvmmsg(descriptor, headers.as_mut_ptr(), count as _, flags as _, std::ptr::null_mut()) };
    let received = usize::try_from(result).map_err(|_| io::Error::last_os_error())?.min(count);
    for (incoming, header) in into.iter_mut().zip(&headers[..received]) {
        incoming.length = (header.msg_len as usize).min(MAX_DATAGRAM);
        incoming.address_length = header.msg_hdr.msg_namelen as usize;
        incoming.control_length = header.msg_hdr.msg_controllen as usize;
    }
    Ok(received)
}

/// Sends every letter, waiting for nothing, and tells the places of those that the system did not take. One that is
/// refused does not keep the others back.
pub fn send(socket: &UdpSocket, letters: &mut [Letter], mut refused: impl FnMut(usize)) {
    let mut sent = 0;
    while sent < letters.len() {
        match send_batch(socket, &mut letters[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                refused(sent);
                sent += 1;
            }
        }
    }
}

/// Returns how many left; an error is that of the first.
fn send_batch(socket: &UdpSocket, letters: &mut [Letter]) -> io::Result<usize> {
    let count = letters.len().min(BATCH);
    let mut parts = [NO_PART; BATCH];
    let mut headers = [NO_HEADER; BATCH];
    for ((letter, part), header) in letters.iter_mut().zip(&mut parts).zip(&mut headers) {
        *part = libc::iovec { iov_base: letter.message.as_mut_ptr().cast(), iov_len: letter.message.len() };
        let header = &mut header.msg_hdr;
        header.msg_iov = &raw mut *part;
        header.msg_iovlen = 1;
        if letter.address_length > 0 {
            header.msg_name = (&raw mut letter.address).cast();
            header.msg_namelen = letter.address_length.min(size_of::<Address>()) as libc::socklen_t;
        }
        if letter.control_length > 0 {
            header.msg_control = (&raw mut letter.control).cast();
            header.msg_controllen = letter.control_length.min(size_of::<Control>()) as _;
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let descriptor = socket.as_raw_fd();
    // SAFETY: `count` headers are filled in, with the addresses of fields of `letters` and of `parts`, which live until here.
    let result = unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), count as _, flags as _) };
    Ok(usize::try_from(result).map_err(|_| io::Error::last_os_error())?.min(count))
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("length", &self.length).field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to = self.address.read(self.address_length);
        f.debug_struct("Letter").field("length", &self.message.len()).field("to", &to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
