//! Asks a resolver as fast as it answers, and checks each answer; or answers queries with next to nothing, as the floor.
//!
//! `generator ask --server ADDRESS --kind cached|blocked|sunk|flood|missed|mixed [--seconds N] [--pid PID] [--rate N] [--code N] [--tcp] [--clients N]`
//! prints one line: kind, queries, thousand queries a second, µs of CPU of PID a query, p50, p99 and p99.9 in µs, wrong, lost, MiB.
//! Of `flood` each name is another one that is sunk. `--clients` has so many addresses of 127.64.0.0/10 ask in turn.
//! With `--tcp`, over eight connections with 64 queries under way on each.
//! `generator ready --server ADDRESS [--code N]` prints after how many seconds a listed name is first answered with its code.
//! `generator echo ADDRESS` sends back what it gets, marked as a response. `generator warm --server ADDRESS` asks once
//! for each name that is to be cached.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program for developers")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use interdict::datagram::{self, BATCH, Incoming, Letter, Wait};
use interdict::message::{Class, Name, RecordType, Writer, flag};
use interdict::query::{LocalEnd, Peer};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many names each kind has, but for those that are missed: of them each is another.
const NAMES: u64 = 10_000;
const SOCKETS: usize = 16;
/// Queries under way on one socket.
const WINDOW: usize = 16;
const CONNECTIONS: usize = 8;
/// Queries under way on one connection.
const PIPELINED: usize = 64;
/// Up to so many queries a second the generator leaves its core to others in between; latencies then say nothing.
const CALM: f64 = 10_000.0;
const PATIENCE: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |key: &str| {
        let at = arguments.iter().position(|argument| argument == key)?;
        arguments.get(at + 1).cloned()
    };
    match arguments.first().map(String::as_str) {
        Some("echo") => echo(arguments[1].parse().unwrap()),
        Some("warm") => warm(value("--server").unwrap().parse().unwrap()),
        Some("ready") => {
            let code = value("--code").map_or(3, |text| text.parse().unwrap());
            println!("{:.3}", ready(value("--server").unwrap().parse().unwrap(), code));
        }
        Some("ask") => {
            let kind = value("--kind").unwrap();
            let mut run = Run {
                server: value("--server").unwrap().parse().unwrap(),
                seconds: value("--seconds").map_or(3.0, |text| text.parse().unwrap()),
                pid: value("--pid").map(|text| text.parse().unwrap()),
                rate: value("--rate").map(|text| text.parse().unwrap()),
                code: value("--code").map_or(3, |text| text.parse().unwrap()),
                random: SmallRng::seed_from_u64(rand::random()),
                clients: value("--clients").map_or(0, |text| text.parse().unwrap()),
                missed: 0,
                salt: rand::random(),
            };
            match arguments.iter().any(|argument| argument == "--tcp") {
                true => run.measure_streams(&kind),
                false => run.measure(&kind),
            }
        }
        _ => println!("usage: see the head of benches/peers/generator.rs"),
    }
}

/// The least that a resolver on ordinary sockets can do.
fn echo(address: SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    let mut room = Incoming::batch();
    let mut letters: Vec<Letter> = (0..BATCH).map(|_| Letter::new()).collect();
    loop {
        let Ok(received) = datagram::receive(&socket, &mut room, Wait::First) else { continue };
        for (incoming, letter) in room[..received].iter().zip(&mut letters) {
            letter.message.clear();
            letter.message.extend_from_slice(incoming.octets());
            letter.message[2] |= 0x80;
            letter.message[3] = 0x80;
            letter.address_to(&incoming.peer().unwrap());
        }
        datagram::send(&socket, &mut letters[..received], |_| {});
    }
}

fn warm(server: SocketAddr) {
    let socket = UdpSocket::bind(any(server)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut message = Vec::new();
    let mut answer = [0; 4096];
    for number in 0..NAMES {
        write(&mut message, number as u16, &format!("c{number}.cached.bench"));
        for _ in 0..5 {
            socket.send(&message).unwrap();
            if socket.recv(&mut answer).is_ok() {
                break;
            }
        }
    }
}

/// Returns the seconds until a listed name gets its code.
fn ready(server: SocketAddr, code: u8) -> f64 {
    let begun = Instant::now();
    let socket = UdpSocket::bind(any(server)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut message, mut answer) = (Vec::new(), [0; 4096]);
    for id in 0..60_000 {
        write(&mut message, id, &format!("b{}.blocked.bench", NAMES - 1));
        // Late answers to queries before it are passed over.
        let mut came = socket.send(&message).and_then(|_| socket.recv(&mut answer));
        while came.is_ok() && answer[..2] != message[..2] {
            came = socket.recv(&mut answer);
        }
        if came.is_ok() && answer[3] & 15 == code {
            return begun.elapsed().as_secs_f64();
        }
        if came.is_err() {
            // Nobody listens yet, which the system tells at once.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    f64::NAN
}

fn any(server: SocketAddr) -> &'static str {
    if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }
}

fn write(out: &mut Vec<u8>, id: u16, name: &str) {
    let name: Name = name.parse().unwrap();
    let mut writer = Writer::new(out, id, flag::RECURSION_DESIRED);
    writer.question(name.as_wire(), RecordType::A, Class::IN);
    writer.opt(1232, 0, false, &[]);
}

struct Run {
    server: SocketAddr,
    seconds: f64,
    pid: Option<u32>,
    rate: Option<f64>,
    /// The response code that withheld names get.
    code: u8,
    random: SmallRng,
    /// How many addresses ask in turn; none for that of the machine.
    clients: u32,
    missed: u64,
    salt: u32,
}

/// A connection that waits for nothing.
struct Stream {
    socket: TcpStream,
    slots: Vec<Slot>,
    leaving: Vec<u8>,
    came: Vec<u8>,
}

impl Stream {
    fn to(server: SocketAddr) -> Self {
        let socket = TcpStream::connect(server).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let idle = Slot { message: Vec::new(), before: Vec::new(), sent: Instant::now(), withheld: false, open: false };
        Self { socket, slots: vec![idle; PIPELINED], leaving: Vec::new(), came: Vec::new() }
    }

    fn write(&mut self) {
        if let Ok(written) = self.socket.write(&self.leaving) {
            self.leaving.drain(..written);
        }
    }

    fn read(&mut self) {
        let mut room = [0; 1 << 16];
        match self.socket.read(&mut room) {
            Ok(0) => panic!("the server closed a connection under load"),
            Ok(length) => self.came.extend_from_slice(&room[..length]),
            Err(_) => {}
        }
    }
}

/// One query under way.
#[derive(Clone)]
struct Slot {
    message: Vec<u8>,
    /// The message before, whose answer may come late and with the same id.
    before: Vec<u8>,
    sent: Instant,
    withheld: bool,
    open: bool,
}

#[derive(Default)]
struct Told {
    answered: u64,
    wrong: u64,
    lost: u64,
    waited: Vec<u32>,
}

impl Run {
    fn question(&mut self, kind: &str) -> (String, bool) {
        let number = self.random.random_range(0..NAMES);
        match kind {
            "cached" | "echo" => (format!("c{number}.cached.bench"), false),
            "blocked" => (format!("b{number}.blocked.bench"), true),
            "sunk" => (format!("b{number}.upd.kaspersky.com"), true),
            "flood" => {
                self.missed += 1;
                (format!("f{}-{}.upd.kaspersky.com", self.missed, self.salt), true)
            }
            "missed" => {
                self.missed += 1;
                (format!("m{}-{}.missed.bench", self.missed, self.salt), false)
            }
            // Of twenty, one is missed and three are withheld.
            _ => match self.random.random_range(0..20) {
                0 => self.question("missed"),
                1..=3 => self.question("blocked"),
                _ => self.question("cached"),
            },
        }
    }

    fn ask(&mut self, kind: &str, slot: &mut Slot, at: usize, now: Instant) {
        let (name, withheld) = self.question(kind);
        let id = self.random.random::<u16>() & !(PIPELINED as u16 - 1) | at as u16;
        std::mem::swap(&mut slot.message, &mut slot.before);
        write(&mut slot.message, id, &name);
        (slot.sent, slot.withheld, slot.open) = (now, withheld, true);
    }

    fn peer(&self, client: u32) -> Peer {
        let address = std::net::Ipv4Addr::from(0x7F40_0000 + client);
        Peer::direct(self.server, Some(LocalEnd { address: address.into(), interface: 0 }))
    }

    fn measure(&mut self, kind: &str) {
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|_| {
                let socket = UdpSocket::bind(any(self.server)).unwrap();
                if self.clients == 0 {
                    socket.connect(self.server).unwrap();
                }
                socket
            })
            .collect();
        let begun = Instant::now();
        let idle = Slot { message: Vec::new(), before: Vec::new(), sent: begun, withheld: false, open: false };
        let mut slots = vec![vec![idle; WINDOW]; SOCKETS];
        let mut room = Incoming::batch();
        let mut letters: Vec<Letter> = (0..BATCH).map(|_| Letter::new()).collect();
        let mut told = Told::default();
        let cpu_before = self.pid.map(cpu);
        let (mut asked, mut client) = (0_f64, 0);
        loop {
            let now = Instant::now();
            let elapsed = now.duration_since(begun).as_secs_f64();
            if elapsed > self.seconds {
                break;
            }
            for (socket, slots) in sockets.iter().zip(&mut slots) {
                if let Ok(received) = datagram::receive(socket, &mut room, Wait::Never) {
                    let now = Instant::now();
                    room[..received]
                        .iter()
                        .for_each(|incoming| self.take(kind, incoming.octets(), slots, now, &mut told));
                }
                let mut ready = 0;
                for (at, slot) in slots.iter_mut().enumerate() {
                    let late = slot.open && now.saturating_duration_since(slot.sent) > PATIENCE;
                    told.lost += u64::from(late);
                    let due = self.rate.is_none_or(|rate| asked < rate * elapsed);
                    if (slot.open && !late) || !due {
                        continue;
                    }
                    asked += 1.0;
                    self.ask(kind, slot, at, now);
                    letters[ready].message.clone_from(&slot.message);
                    if self.clients > 0 {
                        client = (client + 1) % self.clients;
                        letters[ready].address_to(&self.peer(client));
                    }
                    ready += 1;
                }
                datagram::send(socket, &mut letters[..ready], |_| {});
            }
            if self.rate.is_some_and(|rate| rate <= CALM) {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        self.tell(kind, begun, cpu_before, told);
    }

    /// As [`Self::measure`], over connections.
    fn measure_streams(&mut self, kind: &str) {
        let mut streams: Vec<Stream> = (0..CONNECTIONS).map(|_| Stream::to(self.server)).collect();
        let mut told = Told::default();
        let cpu_before = self.pid.map(cpu);
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < self.seconds {
            for stream in &mut streams {
                let now = Instant::now();
                for at in 0..PIPELINED {
                    if !stream.slots[at].open {
                        self.ask(kind, &mut stream.slots[at], at, now);
                        let message = &stream.slots[at].message;
                        stream.leaving.extend_from_slice(&(message.len() as u16).to_be_bytes());
                        stream.leaving.extend_from_slice(message);
                    }
                }
                stream.write();
                stream.read();
                let mut rest = &stream.came[..];
                while let [high, low, tail @ ..] = rest
                    && let Some(message) = tail.get(..usize::from(u16::from_be_bytes([*high, *low])))
                {
                    self.take(kind, message, &mut stream.slots, Instant::now(), &mut told);
                    rest = &tail[message.len()..];
                }
                let left = rest.len();
                stream.came.drain(..stream.came.len() - left);
            }
        }
        self.tell(&format!("{kind}-tcp"), begun, cpu_before, told);
    }

    fn tell(&self, kind: &str, begun: Instant, cpu_before: Option<f64>, mut told: Told) {
        let elapsed = begun.elapsed().as_secs_f64();
        let used = self.pid.map(|pid| cpu(pid) - cpu_before.unwrap_or_default());
        told.waited.sort_unstable();
        let quantile = |of: f64| told.waited.get((told.waited.len() as f64 * of) as usize).copied().unwrap_or_default();
        println!(
            "{kind} {} {:.1} {:.2} {} {} {} {} {} {:.0}",
            told.answered,
            told.answered as f64 / elapsed / 1e3,
            used.unwrap_or_default() / 1e3 / told.answered as f64,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            told.wrong,
            told.lost,
            self.pid.map_or(0.0, memory),
        );
    }

    /// Checks an answer: its id, its question, its code, and whether it has records.
    fn take(&self, kind: &str, octets: &[u8], slots: &mut [Slot], now: Instant, told: &mut Told) {
        let at = usize::from(octets[1]) % slots.len();
        let slot = &mut slots[at];
        let question_end = slot.message.len() - 11;
        if !slot.open || octets[..2] != slot.message[..2] {
            return;
        }
        let same = octets.get(12..question_end) == Some(&slot.message[12..question_end]);
        if !same
            && octets.get(..2) == slot.before.get(..2)
            && octets.get(12..).unwrap_or_default().starts_with(&slot.before[12..slot.before.len() - 11])
        {
            return;
        }
        slot.open = false;
        told.answered += 1;
        told.waited.push(u32::try_from(now.saturating_duration_since(slot.sent).as_micros()).unwrap_or(u32::MAX));
        let records = octets[6] | octets[7];
        let right = match slot.withheld {
            true => octets[3] & 15 == self.code,
            false => octets[3] & 15 == 0 && (records > 0 || kind == "echo"),
        };
        told.wrong += u64::from(!same || !right || octets[2] & 0x80 == 0);
    }
}

/// Nanoseconds of CPU that the process and all its threads took; those of threads that are gone are not in it.
fn cpu(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let times = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    times.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum()
}

/// MiB that the process holds, its share of shared pages (PSS).
fn memory(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<f64>().ok());
    pss.unwrap_or_default() / 1024.0
}
