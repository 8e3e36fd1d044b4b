//! HTTP POST: one request a batch, which the receiver has taken once it answers with a 2xx.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::wire::{Address, Trust, Wire};
use super::{SendError, SetUpError, Sink};
use crate::clock::monotonic;
use crate::export::event::{Event, Origin};
use crate::export::format::{Text, otlp};
use crate::export::to::Host;

/// How much of an answer is read, in octets.
const MAX_ANSWER: usize = 64 * 1024;
/// The status of a receiver that wants less in one request (RFC 9110, section 15.5.14).
const TOO_LARGE: &str = "413";
/// How long an answer may take as a whole, unless a test is less patient.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what a receiver says is told, in characters.
const MAX_TOLD: usize = 120;

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bodies {
    /// A record a line.
    Lines(Text),
    /// A request of OTLP.
    Otlp,
}

/// A receiver of requests. Each has a connection of its own.
pub(super) struct Posts {
    to: Address,
    shown: String,
    /// The request up to the length of its body.
    head: String,
    bodies: Bodies,
    /// How long an answer may take as a whole.
    patience: Duration,
}

/// Returns the value of a header from the first line of a file.
pub(super) fn credentials(path: &Path) -> Result<String, SetUpError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(8192).read_to_string(&mut text));
    read.map_err(|source| SetUpError::Read { path: path.to_owned(), source })?;
    let line = text.lines().next().unwrap_or_default().trim();
    let fits = !line.is_empty() && line.bytes().all(|octet| (0x20..0x7f).contains(&octet));
    if fits { Ok(line.to_owned()) } else { Err(SetUpError::NoCredentials { path: path.to_owned() }) }
}

impl Posts {
    pub(super) fn new(
        url: &Url,
        bodies: Bodies,
        authorization: Option<String>,
        trust: impl FnOnce() -> Result<Trust, SetUpError>,
    ) -> Result<Self, SetUpError> {
        let name = url.host_str().unwrap_or_default();
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let host = Host { name: inner.to_owned(), port: url.port_or_known_default().unwrap_or(80) };
        let authority = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let kind = match bodies {
            Bodies::Lines(Text::Cef) => "text/plain; charset=utf-8",
            Bodies::Lines(Text::Json | Text::Ecs | Text::Ocsf) => "application/x-ndjson",
            Bodies::Otlp => "application/json",
        };
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: interdict/{}\r\nContent-Type: {kind}\r\n\
             Accept: application/json\r\n{authorization}Connection: close\r\n",
            env!("CARGO_PKG_VERSION"),
        );
        let to = if url.scheme() == "https" { Address::Tls(host, trust()?) } else { Address::Tcp(host) };
        // A query may hold a secret.
        Ok(Self { to, shown: url[..url::Position::AfterPath].to_owned(), head, bodies, patience: PATIENCE })
    }

    fn body(&self, events: &[Event], origin: &Origin) -> String {
        match self.bodies {
            Bodies::Lines(text) => events.iter().map(|event| text.write(event, origin) + "\n").collect(),
            Bodies::Otlp => otlp::request(events, origin).to_string(),
        }
    }
}

impl Posts {
    fn post(&self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        let to = self.shown.clone();
        let body = self.body(events, origin);
        let mut wire = Wire::connect(&self.to).map_err(|source| SendError::Connect { to: to.clone(), source })?;
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        // A receiver that refuses may answer before it has read everything.
        let written = wire.write_all(request.as_bytes()).and_then(|()| wire.flush());
        let answer = match (read_answer(&mut wire, self.patience), written) {
            (Ok(answer), _) => answer,
            (Err(source), Ok(())) | (Err(_), Err(source)) => return Err(SendError::Send { to, source }),
        };
        if answer.status.starts_with(TOO_LARGE) && events.len() > 1 {
            // The same again would be refused for ever.
            let (first, second) = events.split_at(events.len() / 2);
            return self.post(first, origin).and_then(|()| self.post(second, origin));
        }
        if !answer.status.starts_with('2') {
            return Err(SendError::Status { to, status: answer.status });
        }
        if let Some(rejected) = rejected(&answer.body) {
            // A receiver that takes only a part wants nothing of it again (OTLP, "Partial Success").
            tracing::warn!(to, rejected, "the receiver rejected records for good");
        }
        Ok(())
    }
}

impl Sink for Posts {
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        self.post(events, origin)
    }

    fn confirm(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    fn is_eager(&self) -> bool {
        true
    }
}

/// What a receiver answered.
struct Answer {
    /// The status code with its reason, without control characters.
    status: String,
    body: String,
}

/// Reads an answer, and passes over those before it (1xx).
fn read_answer(wire: &mut Wire, patience: Duration) -> io::Result<Answer> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its answer is not one of HTTP");
    let mut octets = Vec::new();
    let mut part = [0; 4096];
    let mut start = 0;
    let begun = monotonic();
    loop {
        if let Some(end) = octets[start..].windows(4).position(|at| at == b"\r\n\r\n").map(|at| start + at + 4) {
            let line = octets[start..end].split(|octet| *octet == b'\r').next().unwrap_or_default();
            let line = std::str::from_utf8(line).map_err(|_| wrong())?;
            let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?.1;
            if status.starts_with('1') {
                start = end;
                continue;
            }
            let status = status.chars().filter(|c| !c.is_control()).take(MAX_TOLD).collect();
            let length = content_length(&octets[start..end]).unwrap_or(MAX_ANSWER).min(MAX_ANSWER);
            // What follows tells more at best; that it is cut off takes nothing back.
            while octets.len() < end + length && begun.elapsed() < patience {
                match wire.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => octets.extend_from_slice(&part[..read]),
                }
            }
            return Ok(Answer { status, body: String::from_utf8_lossy(&octets[end..]).into_owned() });
        }
        if octets.len() >= MAX_ANSWER {
            return Err(wrong());
        }
        // One that says something from time to time would hold the export for ever.
        if begun.elapsed() > patience {
            let late = format!("it did not answer within {} s", patience.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, late));
        }
        match wire.read(&mut part)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed without an answer")),
            read => octets.extend_from_slice(&part[..read]),
        }
    }
}

/// Returns how long the body behind a head is, where that says so.
fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}

/// Returns how many records a receiver of OTLP says that it rejects.
fn rejected(body: &str) -> Option<String> {
    // In an answer that comes in chunks, the object stands between their lengths.
    let object = body.get(body.find('{')?..=body.rfind('}')?)?;
    let answer: Value = serde_json::from_str(object).ok()?;
    let rejected = &answer["partialSuccess"]["rejectedLogRecords"];
    let count = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok())?;
    (count > 0).then(|| count.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    /// Returns what becomes of a request to a receiver that says `first` and then goes on with `drip`, one octet at a time.
    fn posted(first: &'static str, drip: u8) -> (Result<(), SendError>, Duration) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let receiver = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            // Until the other side has had enough.
            while stream.write_all(&[drip]).is_ok() {
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let none = || Err(SetUpError::NoCredentials { path: "/nowhere".into() });
        let mut posts = Posts::new(&url, Bodies::Lines(Text::Json), None, none).unwrap();
        posts.patience = Duration::from_millis(200);
        let begun: Instant = monotonic();
        let event = Event::missed(0, 1, None);
        let done = posts.send(&[event], &Origin { log: "log.example/1".to_owned(), host: "node".to_owned() });
        receiver.join().unwrap();
        (done, begun.elapsed())
    }

    #[test]
    fn a_receiver_that_drips_holds_an_export_up_for_as_long_as_an_answer_may_take_and_no_longer() {
        for first in ["", "HTTP/1.1 20", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let (done, lasted) = posted(first, b'x');
            let Err(SendError::Send { source, .. }) = done else { panic!("{first:?}: {done:?}") };
            assert_eq!(source.kind(), io::ErrorKind::TimedOut, "{first:?}");
            assert!(lasted < Duration::from_secs(5), "{first:?}: {lasted:?}");
        }
        // Records were taken once the status says so, whatever becomes of the rest.
        let (done, lasted) = posted("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b' ');
        assert!(done.is_ok() && lasted < Duration::from_secs(5), "{done:?} after {lasted:?}");
        let (done, _) = posted("HTTP/1.1 503 Busy\r\nContent-Length: 60000\r\n\r\n", b' ');
        assert!(matches!(done, Err(SendError::Status { .. })), "{done:?}");
    }
}
