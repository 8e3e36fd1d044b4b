//! How fast the past is read: lines of a BIND log and packets of a capture a second, beside tcpdump where it is installed.
//!
//! `cargo bench --bench scan -- [MILLIONS]`. All files are made in a temporary folder. Of every 50 names asked, one is a catalogue's.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, run by hand")]

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names in turn, as a network asks for them: most of them are nobody's.
fn name(number: usize) -> String {
    match number % 50 {
        0 => "dnl-01.geo.kaspersky.com".to_owned(),
        other => format!("host{}.site{}.example{}.com", number % 977, number % 7919, other),
    }
}

fn bind_log(path: &Path, lines: usize) {
    let mut out = BufWriter::new(std::fs::File::create(path).unwrap());
    for number in 0..lines {
        let (minute, second) = (number / 60_000 % 60, number / 1000 % 60);
        let client = format!("10.0.{}.{}", number / 250 % 8, number % 250);
        let name = name(number);
        writeln!(
            out,
            "27-Nov-2026 04:{minute:02}:{second:02}.{:03} queries: info: client @0x7f8e2c0b1c98 {client}#{} ({name}): query: {name} IN A +E(0)K (10.0.0.53)",
            number % 1000,
            1024 + number % 60_000,
        )
        .unwrap();
    }
}

fn capture(path: &Path, packets: usize) {
    let mut out = BufWriter::new(std::fs::File::create(path).unwrap());
    out.write_all(&[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]).unwrap();
    for number in 0..packets {
        let mut message = vec![(number >> 8) as u8, number as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name(number).split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let udp = (message.len() + 8) as u16;
        let mut packet = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0".to_vec();
        packet.extend((udp + 20).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, (number / 250 % 8) as u8, (number % 250) as u8, 10, 0, 0, 53]);
        packet.extend((1024 + (number % 60_000) as u16).to_be_bytes());
        packet.extend([0, 53]);
        packet.extend(udp.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(message);
        out.write_all(&(1_795_755_333u32 + (number / 1000) as u32).to_le_bytes()).unwrap();
        out.write_all(&((number % 1000) as u32 * 1000).to_le_bytes()).unwrap();
        out.write_all(&(packet.len() as u32).to_le_bytes()).unwrap();
        out.write_all(&(packet.len() as u32).to_le_bytes()).unwrap();
        out.write_all(&packet).unwrap();
    }
}

/// Runs a command three times, and returns how long the fastest took.
fn fastest(command: &mut Command) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
        begun.elapsed()
    };
    (0..3).map(once).min().unwrap()
}

fn show(what: &str, unit: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64() / 1e6;
    println!("{what:32} {rate:6.2} million {unit} a second ({:.2} s)", took.as_secs_f64());
}

fn main() {
    let millions = std::env::args().skip(1).find_map(|word| word.parse::<usize>().ok()).unwrap_or(3);
    let count = millions * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    bind_log(&at("query.log"), count);
    capture(&at("capture"), count);
    let packed = |name: &str| -> PathBuf {
        let file = std::fs::File::open(at(name)).unwrap();
        let path = at(&format!("{name}.gz"));
        let mut out = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        std::io::copy(&mut std::io::BufReader::new(file), &mut out).unwrap();
        out.finish().unwrap();
        path
    };
    let gzip = packed("query.log");
    let scan = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
        command.arg("scan").arg(path).args(["--zone", "UTC"]).env("INTERDICT_DATA_DIR", folder.path());
        command
    };
    show("interdict scan, BIND log", "lines", count, fastest(&mut scan(&at("query.log"))));
    show("interdict scan, BIND log, gzip", "lines", count, fastest(&mut scan(&gzip)));
    show("interdict scan, pcap", "packets", count, fastest(&mut scan(&at("capture"))));
    let tcpdump = || {
        let mut command = Command::new("tcpdump");
        command.args(["-n", "-r"]).arg(at("capture"));
        command
    };
    if Command::new("tcpdump").arg("--version").output().is_ok() {
        show("tcpdump -n, printing", "packets", count, fastest(&mut tcpdump()));
        let mut counting = tcpdump();
        show("tcpdump -n --count, decides nothing", "packets", count, fastest(counting.arg("--count")));
    }
    if Command::new("tshark").arg("--version").output().is_ok() {
        let mut command = Command::new("tshark");
        command.args(["-n", "-T", "fields", "-e", "dns.qry.name", "-r"]).arg(at("capture"));
        show("tshark -T fields", "packets", count, fastest(&mut command));
    }
}
