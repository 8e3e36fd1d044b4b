//! Measures exports: how many records a second each format and each way takes, with receivers that do next to nothing.
//!
//! `cargo bench --bench exports -- [RECORDS [FOLDER]]`; 200,000 records in a folder for temporary files without them. Everything runs in
//! this process and over loopback, the receivers too.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program for developers")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interdict::export::{Begin, Clients, Encoding, Exports, Origin, Period, Receiver, Source, Text, To, once};
use interdict::ledger::{Body, KeyRing, Leaf, Record, VERSION};
use interdict::observe::Metrics;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;

/// How many leaves a segment of 16 MiB has.
const SEGMENT: u64 = 27_000;
const FIRST: i64 = 1_727_582_400;
/// An export that has not ended by then is given up.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let records: u64 = arguments.first().map_or(200_000, |number| number.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.get(1).map_or(temporary.path(), Path::new);
    let (journal, keys) = (folder.join("journal"), folder.join("keys"));
    let octets = fill(&journal, &keys, records);
    println!("{records} records, {octets} octets each in the journal");
    for word in Encoding::WORDS {
        let encoding = word.parse().unwrap();
        let mut out = BufWriter::with_capacity(1 << 16, Counting(0));
        let start = Instant::now();
        let mut ring = KeyRing::reader(&keys);
        let wanted = (Period::default(), encoding, Clients::Plain);
        once(&journal, &mut ring, &Origin::here(None), wanted, &mut out).unwrap();
        out.flush().unwrap();
        let rate = records as f64 / start.elapsed().as_secs_f64();
        println!("  {word:<28} {rate:>9.0} records a second, {:>5} octets each", out.get_ref().0 / records);
    }
    for (kind, format) in [
        ("file", "json"),
        ("file", "ocsf"),
        ("syslog-udp", "cef"),
        ("syslog-tcp", "json"),
        ("syslog-tcp", "cef"),
        ("syslog-tcp", "ecs"),
        ("syslog-tcp", "ocsf"),
        ("syslog-tls", "json"),
        ("http", "json"),
        ("http", "ecs"),
        ("otlp", "json"),
        ("dnstap", "json"),
    ] {
        let to = match kind {
            "file" => folder.join(format!("{kind}.{format}")).display().to_string(),
            "syslog-udp" => datagrams(),
            "syslog-tcp" => serve(|stream| drop(std::io::copy(&mut &*stream, &mut std::io::sink()))),
            "syslog-tls" => encrypted(&folder.join("ca.pem")),
            "dnstap" => serve(frames),
            _ => format!("http://{}/", serve(answer)),
        };
        let ca = (kind == "syslog-tls").then(|| folder.join("ca.pem"));
        let rate = measure(&journal, &keys, records, (kind, &to, format.parse().unwrap(), ca));
        println!("  {kind:<16} {format:<11} {rate:>9.0} records a second");
    }
}

/// Counts what is written.
struct Counting(u64);

impl Write for Counting {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0 += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn measure(
    journal: &Path,
    keys: &Path,
    records: u64,
    (kind, to, text, ca): (&str, &str, Text, Option<PathBuf>),
) -> f64 {
    let positions = tempfile::tempdir().unwrap();
    let (to, clients) = (To::parse(kind, to).unwrap(), Clients::Plain);
    let receiver =
        Receiver { name: "bench".to_owned(), to, text, clients, begin: Begin::Oldest, ca, authorization: None };
    let source = Source {
        journal: journal.to_owned(),
        keys: keys.to_owned(),
        positions: positions.path().to_owned(),
        durable: Arc::new(move || records),
        log: Arc::new(|| Some("log.example/bench/1".to_owned())),
    };
    let start = Instant::now();
    let exports = Exports::start(&[receiver], &source, &Metrics::new()).unwrap();
    let status = exports.statuses().remove(0);
    while taken(&positions.path().join("bench.position")) < records {
        assert!(start.elapsed() < PATIENCE, "{:?}", status.report());
        std::thread::sleep(Duration::from_millis(2));
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    exports.stop();
    rate
}

/// Returns how many records the receiver has taken for good.
fn taken(position: &Path) -> u64 {
    let place: serde_json::Value =
        std::fs::read(position).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    place["next"].as_u64().unwrap_or_default()
}

/// Returns where a socket takes datagrams and forgets them.
fn datagrams() -> String {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut room = vec![0; 1 << 16];
        while socket.recv(&mut room).is_ok() {}
    });
    address
}

/// Returns where each connection is given to `take`, one after the other.
fn serve(take: impl Fn(&std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(|stream| take(&stream.unwrap())));
    address
}

/// As [`serve`], over TLS; puts the certificate that it is trusted by into a file.
fn encrypted(ca: &Path) -> String {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(ca, cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap());
    serve(move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream.try_clone().unwrap());
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    })
}

fn answer(stream: &std::net::TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let (mut length, mut line) = (0_u64, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        length = line.strip_prefix("Content-Length: ").map_or(length, |of| of.trim().parse().unwrap());
        line.clear();
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").unwrap();
}

/// Takes a stream of frames: READY is answered with ACCEPT, STOP with FINISH.
fn frames(stream: &std::net::TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut writer = stream;
    let mut word = [0; 4];
    while reader.read_exact(&mut word).is_ok() {
        let length = u32::from_be_bytes(word);
        if length > 0 {
            std::io::copy(&mut reader.by_ref().take(length.into()), &mut std::io::sink()).unwrap();
            continue;
        }
        reader.read_exact(&mut word).unwrap();
        let mut control = vec![0; u32::from_be_bytes(word) as usize];
        reader.read_exact(&mut control).unwrap();
        let answer = match control[3] {
            4 => 1,
            3 => 5,
            _ => continue,
        };
        writer.write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, answer]).unwrap();
    }
}

/// Writes a journal, and returns how long its lines are in the mean.
fn fill(journal: &Path, keys: &Path, records: u64) -> u64 {
    std::fs::create_dir_all(journal).unwrap();
    let mut ring = KeyRing::open(keys).unwrap();
    let mut octets = 0;
    for first in (0..records).step_by(SEGMENT as usize) {
        let mut segment = BufWriter::new(File::create(journal.join(format!("{first:020}.jsonl"))).unwrap());
        for seq in first..records.min(first + SEGMENT) {
            let line = serde_json::to_string(&leaf(seq, &mut ring)).unwrap() + "\n";
            octets += line.len() as u64;
            segment.write_all(line.as_bytes()).unwrap();
        }
        segment.flush().unwrap();
    }
    ring.save().unwrap();
    octets / records
}

fn leaf(seq: u64, keys: &mut KeyRing) -> Leaf {
    let at = Timestamp::from_microsecond(FIRST * 1_000_000 + seq as i64 * 1_000).unwrap();
    let address = std::net::Ipv4Addr::from(0x0A00_0000 + (seq % 10_000) as u32);
    let (client, key) = keys.seal(address.into(), at);
    let record = Record {
        at,
        last: at,
        ends: None,
        raw: at,
        raw_last: at,
        count: 1,
        folded: None,
        client: Some(client),
        key: Some(key.as_str().to_owned()),
        prefix: None,
        group: None,
        identified: None,
        via: None,
        device: None,
        transport: Some("udp".to_owned()),
        name: Some(format!("h{seq}.upd.vendor.example")),
        r#type: Some("A".to_owned()),
        names: None,
        clients: None,
        verdict: "sunk".to_owned(),
        order: "act-2024".to_owned(),
        prohibition: Some("updates".to_owned()),
        waiver: None,
        rule: "suffix:upd.vendor.example".to_owned(),
        service: "update".to_owned(),
        confidence: "high".to_owned(),
        threat: false,
        subject: None,
        through: Some("question".to_owned()),
        policy: "00".repeat(32),
        rcode: Some("NXDOMAIN".to_owned()),
        rehearsal: false,
    };
    Leaf { v: VERSION, seq, body: Body::Attempt(Box::new(record)) }
}
