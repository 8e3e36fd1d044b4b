//! Messages as octets: queries made by hand, and exchanges in which nothing stands between test and program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;

pub const A: u16 = 1;
pub const SOA: u16 = 6;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const HTTPS: u16 = 65;

pub const NOERROR: u8 = 0;
pub const FORMERR: u8 = 1;
pub const SERVFAIL: u8 = 2;
pub const NXDOMAIN: u8 = 3;
pub const REFUSED: u8 = 5;

/// One attempt at an answer that comes at once where it comes at all.
pub const SHORT: Duration = Duration::from_millis(200);

/// A query under construction.
#[derive(Debug, Clone)]
pub struct Asking {
    pub id: u16,
    /// The second line of the header: QR, opcode and flags (RFC 1035, section 4.1.1).
    pub flags: u16,
    /// Owner name in wire form.
    pub name: Vec<u8>,
    pub record_type: u16,
    pub class: u16,
    /// Version and payload size of an OPT record (RFC 6891), if there is to be one, and whether DO is set.
    pub edns: Option<(u8, u16, bool)>,
}

impl Asking {
    pub fn of(name: &str, record_type: u16) -> Self {
        Self { id: rand::random(), flags: 0x0100, name: name_wire(name), record_type, class: 1, edns: None }
    }

    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            wire.extend(word.to_be_bytes());
        }
        wire.extend(&self.name);
        wire.extend(self.record_type.to_be_bytes());
        wire.extend(self.class.to_be_bytes());
        if let Some((version, payload, dnssec_ok)) = self.edns {
            wire.extend([0, 0, 41]);
            wire.extend(payload.to_be_bytes());
            wire.extend([0, version, u8::from(dnssec_ok) << 7, 0, 0, 0]);
        }
        wire
    }
}

/// Returns a query for `name` with RD, a random id and no EDNS.
pub fn query(name: &str, record_type: u16) -> Vec<u8> {
    Asking::of(name, record_type).to_wire()
}

/// Returns the wire form of a name without escapes.
pub fn name_wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Returns the answer that a server would give to `query`: one A record for each of `addresses`.
pub fn reply(query: &[u8], rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let end = question_end(query);
    let mut wire = query[..end].to_vec();
    wire[2] |= 0x80;
    wire[3] = 0x80 | rcode;
    wire[6..12].copy_from_slice(&[0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    for address in addresses {
        wire.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4]);
        wire.extend(address);
    }
    wire
}

/// Returns the answer to `query` that there is nothing of the kind in the zone of the name that it asks for.
pub fn nodata(query: &[u8]) -> Vec<u8> {
    let mut wire = reply(query, 0, &[]);
    wire[9] = 1;
    wire.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 1, 0, 0, 22, 0, 0]);
    wire.extend([0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]);
    wire
}

/// Returns the type that a query asks for.
pub fn question_type(query: &[u8]) -> u16 {
    let end = question_end(query);
    u16::from_be_bytes([query[end - 4], query[end - 3]])
}

/// Returns the name that a query asks for, as text in the case it was sent in.
pub fn question_name(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let label = &query[at + 1..at + 1 + usize::from(query[at])];
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += 1 + usize::from(query[at]);
    }
    labels.join(".")
}

/// Returns the name that a query asks for, in lower case: upstreams are asked with capitals of our own.
pub fn asked_name(query: &[u8]) -> String {
    question_name(query).to_ascii_lowercase()
}

fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

pub fn rcode(answer: &[u8]) -> u8 {
    answer[3] & 0x0f
}

pub fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// Takes a message apart with an independent parser.
pub fn parse(message: &[u8]) -> Message {
    Message::from_vec(message).unwrap_or_else(|error| panic!("the answer is malformed: {error}\n{message:02x?}"))
}

/// Sends one datagram and returns the answer with the same id, if one comes in time.
pub fn udp_once(server: SocketAddr, query: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let here: SocketAddr = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(here).unwrap();
    socket.connect(server).unwrap();
    // A refused datagram before it shows as an error on sending; the caller asks again.
    socket.send(query).ok()?;
    let start = Instant::now();
    let mut buffer = [0; 65535];
    while let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left)).unwrap();
        let length = socket.recv(&mut buffer).ok()?;
        if length >= 12 && buffer[..2] == query[..2] {
            return Some(buffer[..length].to_vec());
        }
    }
    None
}

/// Sends a query over UDP and returns the answer.
///
/// # Panics
/// Where none comes within ten seconds.
pub fn udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    udp_once(server, query, Duration::from_secs(10)).expect("an answer over UDP within 10 s")
}

/// A TCP connection that carries messages (RFC 1035, section 4.2.2).
pub struct Stream(pub TcpStream);

impl Stream {
    pub fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&framed(message))
    }

    pub fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message)?;
        Ok(message)
    }

    pub fn ask(&mut self, message: &[u8]) -> std::io::Result<Vec<u8>> {
        self.send(message)?;
        self.receive()
    }
}

/// Returns a message with its length in front.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut wire = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    wire.extend(message);
    wire
}
