//! Drives an exchange in a task: each datagram leaves from a port of its own that the system chooses at random.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::channel::Channel;
use super::exchange::{Action, Exchange, Failed, Failure, MOST_PAST, Past, Verdict};
use super::upstream::{Condition, Endpoint, Group, Tried};
use crate::clock;
use crate::datagram::MAX_DATAGRAM;
use crate::observe::{Metrics, UpstreamEvent};

/// Asks from `action` on until there is an answer or every try has failed. Returns the whole message.
pub(super) async fn drive(
    exchange: &mut Exchange,
    mut action: Action,
    group: &Group,
    metrics: &Metrics,
) -> Result<Vec<u8>, Failed> {
    let mut past = Vec::new();
    loop {
        metrics.count_upstream(UpstreamEvent::Query);
        let begun = clock::monotonic();
        let deadline = Instant::from_std(begun) + exchange.timeout();
        let (server, came) = match action {
            Action::Datagram(server) => {
                let deadline = Instant::from_std(begun) + exchange.wait(group.patience(server));
                (server, by_datagram(exchange, group.address(server), deadline, &mut past).await)
            }
            Action::Stream(server) => match group.channel(server) {
                Some(channel) => (server, by_channel(exchange, channel, deadline).await),
                None => {
                    metrics.count_upstream(UpstreamEvent::RetryTcp);
                    (server, by_stream(exchange, group.address(server), deadline).await)
                }
            },
            Action::Fail(failure) => return Err(exchange.failed(failure)),
        };
        let now = clock::monotonic();
        let after = now.saturating_duration_since(begun);
        let failure = match came {
            Ok(Came::Answer(message)) => {
                group.answered(server, Tried::Answered, after, now);
                metrics.observe_upstream_latency(after);
                return Ok(message);
            }
            Ok(Came::Late(message, past)) => {
                note_late(group, &past, now, metrics);
                return Ok(message);
            }
            Ok(Came::Refusal(next)) => {
                group.answered(server, Tried::Refused, after, now);
                action = next;
                continue;
            }
            Ok(Came::Next(next)) => {
                action = next;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Failure::TimedOut,
            Err(error) => {
                // Where it is encrypted, the reason may be one for the operator, such as a certificate.
                if let Some(Endpoint::Secure(_)) = group.servers().get(server).map(|server| server.endpoint()) {
                    told(group, server, &error);
                }
                Failure::Unreachable
            }
        };
        note_failure(group, (server, failure), (begun, exchange.timeout()), now, metrics);
        action = exchange.fail(failure, dice());
    }
}

/// Notes that a try was answered when its time was up.
pub(super) fn note_late(group: &Group, past: &Past, now: std::time::Instant, metrics: &Metrics) {
    let took = now.saturating_duration_since(past.begun);
    // One slow answer is no reason to wait for every lost datagram as long as for that.
    group.answered(past.server, Tried::Answered, took.min(past.waits * 2), now);
    metrics.observe_upstream_latency(took);
}

/// Notes that a try got no answer.
pub(super) fn note_failure(
    group: &Group,
    (server, failure): (usize, Failure),
    (begun, timeout): (std::time::Instant, Duration),
    now: std::time::Instant,
    metrics: &Metrics,
) {
    group.failed((server, failure), (begun, timeout), now);
    metrics.count_upstream(match failure {
        Failure::TimedOut => UpstreamEvent::Timeout,
        Failure::Unreachable | Failure::Refused | Failure::Bogus => UpstreamEvent::Failure,
    });
}

/// Returns bits that nobody can guess.
pub(super) fn dice() -> u64 {
    rand::rng().next_u64()
}

/// What came over a socket.
enum Came {
    Answer(Vec<u8>),
    /// An answer to a try before.
    Late(Vec<u8>, Past),
    Refusal(Action),
    Next(Action),
}

/// Returns a good answer to one of the tries before, once there is one.
async fn late(past: &[(UdpSocket, Past)], exchange: &Exchange) -> (usize, Vec<u8>) {
    let mut buffer = vec![0; if past.is_empty() { 0 } else { MAX_DATAGRAM }];
    poll_fn(|context| {
        for (place, (socket, of)) in past.iter().enumerate() {
            let mut read = ReadBuf::new(&mut buffer);
            // What the network says of an earlier datagram ends nothing here.
            while let Poll::Ready(received) = socket.poll_recv(context, &mut read) {
                if received.is_ok() && exchange.is_late_answer(of, read.filled()) {
                    return Poll::Ready((place, read.filled().to_vec()));
                }
                read.clear();
            }
        }
        Poll::Pending
    })
    .await
}

async fn by_datagram(
    exchange: &mut Exchange,
    server: io::Result<SocketAddr>,
    deadline: Instant,
    past: &mut Vec<(UdpSocket, Past)>,
) -> io::Result<Came> {
    let (server, begun) = (server?, clock::monotonic());
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket takes datagrams from the address that was asked alone.
    socket.connect(server).await?;
    socket.send(exchange.message()).await?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            received = timeout_at(deadline, socket.recv(&mut buffer)) => received,
            (of, message) = late(past, exchange) => return Ok(Came::Late(message, past.swap_remove(of).1)),
        };
        let length = match received {
            Ok(received) => received?,
            Err(over) => {
                past.truncate(MOST_PAST - 1);
                past.extend(exchange.past(begun).map(|of| (socket, of)));
                return Err(over.into());
            }
        };
        match exchange.on_message(&buffer[..length], dice()) {
            Verdict::Ignore => {}
            Verdict::Next(action) => return Ok(Came::Next(action)),
            Verdict::Refused(action) => return Ok(Came::Refusal(action)),
            Verdict::Answer => {
                buffer.truncate(length);
                return Ok(Came::Answer(buffer));
            }
        }
    }
}

/// Tells once why a server that answered before does not.
fn told(group: &Group, server: usize, error: &io::Error) {
    let server = &group.servers()[server];
    if server.condition() == Condition::Well {
        tracing::warn!(upstream = %server.endpoint(), %error, "an encrypted upstream cannot be reached");
    }
}

async fn by_channel(exchange: &mut Exchange, channel: &Channel, deadline: Instant) -> io::Result<Came> {
    let answer = channel.ask(exchange.message(), deadline).await?;
    match exchange.on_message(&answer, dice()) {
        Verdict::Ignore => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another question")),
        Verdict::Next(action) => Ok(Came::Next(action)),
        Verdict::Refused(action) => Ok(Came::Refusal(action)),
        Verdict::Answer => Ok(Came::Answer(answer)),
    }
}

async fn by_stream(exchange: &mut Exchange, server: io::Result<SocketAddr>, deadline: Instant) -> io::Result<Came> {
    let server = server?;
    let within = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let message = exchange.message();
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        // One segment: some servers read the length and the message with one call.
        let mut framed = Vec::with_capacity(message.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(message);
        stream.write_all(&framed).await?;
        loop {
            let length = stream.read_u16().await?;
            let mut buffer = vec![0; usize::from(length)];
            stream.read_exact(&mut buffer).await?;
            match exchange.on_message(&buffer, dice()) {
                Verdict::Ignore => {}
                Verdict::Next(action) => return Ok(Came::Next(action)),
                Verdict::Refused(action) => return Ok(Came::Refusal(action)),
                Verdict::Answer => return Ok(Came::Answer(buffer)),
            }
        }
    };
    timeout_at(deadline, within).await?
}
