//! A power cut: the file system stops between two writes, and what it had in memory is gone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::crash::{SOON, Sent, assert_complete, assert_intact, load, patient_load};
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE, rounds, run};
use crate::wire;

/// What is promised to be on disk, with time for a busy machine and disk.
const COMMITTED: Duration = Duration::from_millis(200 + 2800);

/// An ext4 file system in a file.
struct Image {
    file: PathBuf,
    mounted: PathBuf,
}

impl Image {
    fn new(folder: &Path, mounted: &Path) -> Self {
        let file = folder.join("disk.img");
        // What a round writes is some MiB.
        let size = rounds(48, 2048) as u64;
        std::fs::File::create(&file).unwrap().set_len(size << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file));
        std::fs::create_dir_all(mounted).unwrap();
        Self { file, mounted: mounted.to_owned() }
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&self.file).arg(&self.mounted));
    }

    /// From the instant of this call on nothing more reaches the disk, as if the machine had no power any more.
    fn cut(&self) {
        // EXT4_IOC_SHUTDOWN, which leaves out what waits in memory.
        const CUT: &str = "import fcntl, os, struct, sys; \
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", CUT]).arg(&self.mounted));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(&self.mounted));
        // Whoever has copied the table of mounts meanwhile keeps the file system as it is, which a mount would give again.
        place::until(PATIENCE, "the file system to be let go", || {
            run(Command::new("losetup").arg("--associated").arg(&self.file)).is_empty().then_some(())
        });
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["--lazy", "--quiet"]).arg(&self.mounted).output());
    }
}

fn survives(durability: &str, committed: Option<Duration>) {
    let mut setup = Setup::new().set("ledger.durability", durability).set("ledger.checkpoint_s", 1);
    let image = Image::new(setup.folder.path(), &setup.data());
    let (mut all, mut promised) = (Sent::new(), BTreeMap::new());
    image.mount();
    for round in 0..rounds(2, 50) {
        // What other tests have left in memory would be written before what this one waits for.
        run(&mut Command::new("sync"));
        let daemon = setup.start();
        let ended = Arc::new(AtomicBool::new(false));
        let generator = {
            let (server, ended) = (daemon.dns, ended.clone());
            std::thread::spawn(move || match committed {
                Some(_) => load(server, (&format!("r{round}"), Ipv4Addr::LOCALHOST), SOON, &ended),
                None => patient_load(server, round, &ended),
            })
        };
        let (start, length) =
            (Instant::now(), committed.unwrap_or_default() + Duration::from_millis(900 + 53 * (round as u64 % 13)));
        place::until(length + PATIENCE, "the load to run", || (start.elapsed() >= length).then_some(()));
        let cut = Instant::now();
        image.cut();
        setup = daemon.kill();
        ended.store(true, Ordering::SeqCst);
        let sent = generator.join().unwrap();
        for (name, asked) in &sent {
            let old = asked.answered.iter().filter(|at| **at + committed.unwrap_or_default() < cut).count() as u64;
            // In strict mode the first of each name is promised, and its repeats are as ever.
            promised.insert(name.clone(), if committed.is_none() { old.min(1) } else { old });
        }
        all.extend(sent);
        image.unmount();
        image.mount();
        assert_intact(&setup.data());
    }
    let number: u64 = promised.values().sum();
    assert!(number > 50, "only {number} look-ups were answered in time: no load");
    let daemon = setup.start();
    assert_complete(&daemon, &all, &promised);
    daemon.stop();
}

#[test]
fn what_was_answered_before_the_commit_window_survives_a_power_cut() {
    needs!("root", "mount", "umount", "losetup", "mkfs.ext4", "python3");
    survives("normal", Some(COMMITTED));
}

#[test]
fn in_strict_mode_nothing_that_was_answered_is_lost_by_a_power_cut() {
    needs!("root", "mount", "umount", "losetup", "mkfs.ext4", "python3");
    survives("strict", None);
}

/// Distinct names from one client, and the same name from many: both are bounded, and no look-up is lost from the sums.
#[test]
fn a_flood_in_strict_mode_is_bounded_in_memory_and_on_disk_and_exact_in_sums() {
    let daemon = Setup::new().set("ledger.durability", "strict").set("ledger.leaves_per_minute", 500).start();
    let answered = std::thread::scope(|scope| {
        let one = scope.spawn(|| {
            (0..6000).filter(|number| is_sunk(&daemon, "127.0.0.1", &format!("n{number}.upd.kaspersky.com"))).count()
        });
        let many = scope.spawn(|| {
            let client = |number: u32| format!("127.1.{}.{}", number / 250, number % 250 + 1);
            (0..3000).filter(|number| is_sunk(&daemon, &client(number % 1500), "upd.kaspersky.com")).count()
        });
        one.join().unwrap() + many.join().unwrap()
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 200 << 10, "{peak} KiB");
    let counted = daemon.metric("interdict_verdicts_total{verdict=\"sunk\"}") as u64;
    assert!(counted >= answered as u64 && answered > 8900, "{answered} of 9000 were answered, {counted} counted");
    let setup = daemon.stop();
    let journal: u64 = std::fs::read_dir(setup.data().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(journal < 4 << 20, "{journal} octets for {counted} look-ups");
    let daemon = setup.start();
    let records = daemon.json(&["attempts", "--json", "--limit", "1000000"]);
    let sum: u64 = records.iter().map(|record| record["count"].as_u64().unwrap()).sum();
    assert_eq!(sum, counted);
    let verified = daemon.command(&["index", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

fn is_sunk(daemon: &Daemon, client: &str, name: &str) -> bool {
    let socket = std::net::UdpSocket::bind((client, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&wire::query(name, wire::A), daemon.dns).unwrap();
    let mut answer = [0; 1500];
    socket.recv(&mut answer).is_ok_and(|length| length > 12) && wire::rcode(&answer) == wire::NXDOMAIN
}
