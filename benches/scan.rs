//! How fast the past is read: lines of a BIND log and packets of a capture a second, beside what others need for the same capture:
//! dnscap, dnstop, tshark and tcpdump, where they are installed (Debian has them under these names).
//!
//! `cargo bench --bench scan -- [MILLIONS]`. All files are made in a temporary folder. Of every 50 names asked, one is a catalogue's.
//! Each command runs three times; told are the run that needed the least CPU, its rate by the clock and by CPU (user and system,
//! which others on the machine change less), and how often it fits into that of `interdict scan` on the same capture.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, run by hand")]

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

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

/// How long a run took, by the clock and in CPU.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Returns the CPU that processes that have ended needed, in seconds: user and system.
fn ended() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(13).take(2);
    // The kernel tells hundredths, whatever it counts in.
    fields.map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
}

/// Runs a command three times, and returns how long the one took that needed the least CPU.
fn fastest(command: &mut Command) -> Took {
    let once = |_| {
        let (begun, before) = (Instant::now(), ended());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
        Took { wall: begun.elapsed().as_secs_f64(), cpu: ended() - before }
    };
    (0..3).map(once).min_by(|one, other| one.cpu.total_cmp(&other.cpu)).unwrap()
}

fn show(what: &str, unit: &str, count: usize, took: Took, ours: Option<Took>) {
    let rate = |seconds: f64| count as f64 / seconds / 1e6;
    let times = ours.map_or_else(String::new, |ours| format!("; {:.1} times ours", took.cpu / ours.cpu));
    println!(
        "{what:40} {:6.2} million {unit} a second, {:6.2} a second of CPU ({:.2} s, {:.2} s of CPU){times}",
        rate(took.wall),
        rate(took.cpu),
        took.wall,
        took.cpu
    );
}

/// Programs that read the same capture, with what they are asked to do. Those that write, write to nowhere.
const PEERS: &[(&str, &str, &[&str])] = &[
    ("dnscap -g, printing", "dnscap", &["-N", "-g", "-m", "q", "-r"]),
    ("dnscap -w, copying what is DNS", "dnscap", &["-N", "-w", "-", "-r"]),
    ("dnstop -l 3, sums by client and name", "dnstop", &["-l", "3"]),
    (
        "tshark -T fields: time, client, name, type",
        "tshark",
        &[
            "-n",
            "-T",
            "fields",
            "-e",
            "frame.time_epoch",
            "-e",
            "ip.src",
            "-e",
            "dns.qry.name",
            "-e",
            "dns.qry.type",
            "-r",
        ],
    ),
    ("tcpdump -n, printing", "tcpdump", &["-n", "-r"]),
    ("tcpdump -n --count, looks at no DNS", "tcpdump", &["-n", "--count", "-r"]),
];

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
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
        fastest(&mut command)
    };
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap().split_whitespace().next().unwrap().to_owned();
    println!("{count} queries; load {}", load());
    show("interdict scan, BIND log", "lines", count, scan(&at("query.log")), None);
    show("interdict scan, BIND log, gzip", "lines", count, scan(&gzip), None);
    let ours = scan(&at("capture"));
    show("interdict scan, pcap", "packets", count, ours, None);
    for (what, program, arguments) in PEERS {
        if is_there(program) {
            let took = fastest(Command::new(program).args(*arguments).arg(at("capture")).current_dir(folder.path()));
            show(what, "packets", count, took, Some(ours));
        } else {
            println!("{what:40} is not installed");
        }
    }
    println!("load {} at the end", load());
}
