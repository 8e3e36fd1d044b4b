//! A load of queries in open loop: they leave at the instants of a schedule, whatever became of those before, and every
//! answer is checked. What waits behind a silent server is late from the instant at which it was due.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Sockets that the load comes from, so that each thread of a server has some of it.
const SOCKETS: usize = 8;
/// How often queries leave.
const TICK: Duration = Duration::from_micros(500);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where the question begins in a message.
const HEADER: usize = 12;

/// A question and the code that its answer must have.
pub struct Question {
    pub packet: Vec<u8>,
    pub code: u8,
}

impl Question {
    /// Asks for the address of a name. Its id is filled in when it leaves.
    pub fn new(name: &str, code: u8) -> Self {
        let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            packet.push(u8::try_from(label.len()).expect("labels of a load are short"));
            packet.extend_from_slice(label.as_bytes());
        }
        packet.extend_from_slice(&[0, 0, 1, 0, 1]);
        Self { packet, code }
    }

    /// Returns whether a message answers it as it must be answered.
    pub fn is_answered_by(&self, answer: &[u8]) -> bool {
        let question = &self.packet[HEADER..];
        answer.len() >= self.packet.len()
            && answer[2] & 0x80 != 0
            && answer[3] & 0x0F == self.code
            && &answer[HEADER..HEADER + question.len()] == question
    }
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Report {
    pub sent: u64,
    /// Answers with the right id, question and code.
    pub right: u64,
    /// Anything else that came.
    pub wrong: u64,
    /// The longest time in which no answer came.
    pub silence: Duration,
    /// How late each answer came, ascending.
    pub late: Vec<Duration>,
}

impl Report {
    /// Returns how many queries got no right answer.
    pub const fn lost(&self) -> u64 {
        self.sent - self.right
    }

    /// Returns within which time the share `of` of the answers came.
    pub fn percentile(&self, of: f64) -> Duration {
        let place = (self.late.len() as f64 * of) as usize;
        self.late.get(place).or(self.late.last()).copied().unwrap_or_default()
    }
}

/// A load that is under way.
pub struct Load {
    ended: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<Report>,
}

/// What the two threads of a load share.
struct Shared {
    sockets: Vec<UdpSocket>,
    questions: Arc<Vec<Question>>,
    /// For each socket and id: when the query was due, in nanoseconds since `start`; 0 where none is under way.
    due: Vec<AtomicU64>,
    start: Instant,
    /// Set when the last query has left.
    sent: AtomicBool,
}

impl Shared {
    fn question(&self, socket: usize, id: u16) -> &Question {
        &self.questions[(usize::from(id) * SOCKETS + socket) % self.questions.len()]
    }

    fn due(&self, socket: usize, id: u16) -> &AtomicU64 {
        &self.due[socket << 16 | usize::from(id)]
    }
}

impl Load {
    /// Sends so many queries a second to `server`, until [`Load::end`].
    pub fn start(server: SocketAddr, a_second: u32, questions: Arc<Vec<Question>>) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((server.ip(), 0)).expect("loopback has free ports");
            socket.connect(server).expect("a datagram socket can be connected");
            socket.set_nonblocking(true).expect("a socket can be set not to block");
            socket
        };
        let shared = Arc::new(Shared {
            sockets: (0..SOCKETS).map(|_| socket()).collect(),
            questions,
            due: (0..SOCKETS << 16).map(|_| AtomicU64::new(0)).collect(),
            start: Instant::now(),
            sent: AtomicBool::new(false),
        });
        let ended = Arc::new(AtomicBool::new(false));
        let (ours, until) = (Arc::clone(&shared), Arc::clone(&ended));
        let sender = std::thread::spawn(move || send(&ours, a_second, &until));
        let receiver = std::thread::spawn(move || receive(&shared));
        Self { ended, sender, receiver }
    }

    /// Stops sending, waits for what is still under way, and tells.
    pub fn end(self) -> Report {
        self.ended.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender does not panic");
        let mut report = self.receiver.join().expect("the receiver does not panic");
        report.sent = sent;
        report.late.sort_unstable();
        report
    }
}

fn send(shared: &Shared, a_second: u32, ended: &AtomicBool) -> u64 {
    // Otherwise the kernel may wake a sleeper later than asked for.
    let _ = nix::sys::prctl::set_timerslack(1);
    let (mut sent, mut tick) = (0u64, 0u32);
    let mut packet = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        tick += 1;
        let due = TICK * tick;
        std::thread::sleep(due.saturating_sub(shared.start.elapsed()));
        let wanted = (due.as_secs_f64() * f64::from(a_second)) as u64;
        while sent < wanted {
            let socket = sent as usize % SOCKETS;
            let id = (sent / SOCKETS as u64) as u16;
            packet.clear();
            packet.extend_from_slice(&shared.question(socket, id).packet);
            packet[..2].copy_from_slice(&id.to_be_bytes());
            shared.due(socket, id).store(due.as_nanos() as u64, Ordering::Release);
            // What the kernel does not take is lost, and counted as such.
            let _ = shared.sockets[socket].send(&packet);
            sent += 1;
        }
    }
    shared.sent.store(true, Ordering::Release);
    sent
}

fn receive(shared: &Shared) -> Report {
    let mut report = Report::default();
    let mut answer = [0; 4096];
    let mut last = Duration::ZERO;
    let mut ended_at = None;
    loop {
        let mut waiting: Vec<_> =
            shared.sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        let ready = poll(&mut waiting, PollTimeout::from(50u8)).unwrap_or_default();
        let now = shared.start.elapsed();
        if shared.sent.load(Ordering::Acquire) {
            let since = *ended_at.get_or_insert(now);
            let under_way = || shared.due.iter().any(|due| due.load(Ordering::Relaxed) > 0);
            if ready == 0 && (now.saturating_sub(since) > PATIENCE || !under_way()) {
                return report;
            }
        }
        for (index, socket) in shared.sockets.iter().enumerate() {
            if !waiting[index].any().unwrap_or_default() {
                continue;
            }
            while let Ok(length) = socket.recv(&mut answer) {
                let now = shared.start.elapsed();
                if ended_at.is_none() {
                    report.silence = report.silence.max(now.saturating_sub(last));
                }
                last = now;
                count(shared, index, &answer[..length], now, &mut report);
            }
        }
    }
}

fn count(shared: &Shared, socket: usize, answer: &[u8], now: Duration, report: &mut Report) {
    let Some(id) = answer.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
    let due = shared.due(socket, id).swap(0, Ordering::Acquire);
    if due == 0 || !shared.question(socket, id).is_answered_by(answer) {
        report.wrong += 1;
        return;
    }
    report.right += 1;
    report.late.push(now.saturating_sub(Duration::from_nanos(due)));
}
