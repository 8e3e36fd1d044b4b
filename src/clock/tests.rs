//! Clocks of one's own making, guarded and not.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kept::Kept;
use super::*;

#[test]
fn a_rehearsal_moves_policy_time_only() {
    let start: Timestamp = "2024-09-29T03:59:00Z".parse().unwrap();
    let reading = RehearsalClock::starting_at(start).read();
    assert!(reading.at.duration_since(start) < jiff::SignedDuration::from_secs(60));
    assert!(reading.raw > start);
}

#[test]
fn setting_a_manual_clock_back_never_turns_back_the_time_since_boot() {
    let clock = ManualClock::new("2024-01-01T00:00:00Z".parse().unwrap());
    let before = clock.read().boot;
    clock.set("2023-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(clock.read().boot, before);
}

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Readings may fall behind by this without being held up.
const SLACK: SignedDuration = SignedDuration::from_millis(10);

/// A machine whose clock, time service and data folder outlive each run of the daemon.
struct Machine {
    clock: Arc<ManualClock>,
    mark: Arc<Mutex<Option<Timestamp>>>,
    boot_id: String,
    folder: tempfile::TempDir,
}

struct Shared(Arc<ManualClock>);

impl Clock for Shared {
    fn read(&self) -> Reading {
        self.0.read()
    }
}

impl Machine {
    fn starting_at(at: &str) -> Self {
        let (clock, mark) = (Arc::new(ManualClock::new(instant(at))), Arc::default());
        Self { clock, mark, boot_id: "first".to_owned(), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn kept(&self) -> Kept {
        Kept::read(&self.file()).unwrap().unwrap()
    }

    /// Starts the daemon, whose keeper is left to the test.
    fn start(&self) -> Arc<GuardedClock> {
        let mark = Arc::clone(&self.mark);
        let marks = Box::new(move || *mark.lock().unwrap());
        let guard = GuardedClock::new(Box::new(Shared(Arc::clone(&self.clock))), marks, self.boot_id.clone());
        guard.take_over(&self.file(), FLOOR);
        guard.save();
        Arc::new(guard)
    }

    /// Lets time pass while the keeper works.
    fn run(&self, guard: &GuardedClock, passed: Duration) {
        let steps = u32::try_from((passed.as_secs() / 10).clamp(1, 2000)).unwrap();
        for _ in 0..steps {
            self.clock.pass(passed / steps);
            guard.tick();
        }
        guard.save();
    }

    fn reboot_at(&mut self, at: &str) {
        self.clock.reboot_at(instant(at));
        self.boot_id.push('+');
        // The marker lies in a folder that no reboot survives.
        *self.mark.lock().unwrap() = None;
    }

    /// Lets a time service set the clock to what is right.
    fn synchronise(&self, guard: &GuardedClock, at: &str) {
        self.clock.leap_to(instant(at));
        *self.mark.lock().unwrap() = Some(instant(at));
        guard.tick();
        guard.save();
    }
}

/// Earlier than what most tests do.
const FLOOR: Timestamp = Timestamp::UNIX_EPOCH;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn trust(guard: &GuardedClock) -> Trust {
    guard.status().unwrap().trust
}

#[test]
fn a_clock_that_is_right_is_policy_time_itself() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    assert_eq!(trust(&guard), Trust::Unsynchronised);
    for _ in 0..100 {
        machine.run(&guard, Duration::from_millis(2503));
        let reading = guard.read();
        assert_eq!((reading.at, reading.ends), (reading.raw, reading.raw));
    }
    machine.synchronise(&guard, "2026-01-01T01:00:00Z");
    assert_eq!(trust(&guard), Trust::Synchronised);
    assert_eq!(guard.read().at, instant("2026-01-01T01:00:00Z"));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up_and_turns_nothing_back() {
    for back in ["2026-01-01T00:59:00Z", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "2016-01-01T00:00:00Z"] {
        let machine = Machine::starting_at("2026-01-01T00:00:00Z");
        let guard = machine.start();
        machine.run(&guard, HOUR);
        machine.clock.leap_to(instant(back));
        // Before the keeper notices, too.
        assert_eq!(guard.read().at, instant("2026-01-01T01:00:00Z"));
        machine.clock.pass(Duration::from_millis(500));
        assert_eq!(guard.read().at, instant("2026-01-01T01:00:00.5Z"));
        machine.run(&guard, Duration::from_millis(29_500));
        assert_eq!(guard.read().at, instant("2026-01-01T01:00:30Z"));
        assert_eq!((trust(&guard), guard.read().ends), (Trust::Behind, guard.read().at));

        // The machine did not stop when the daemon did.
        machine.clock.pass(HOUR);
        let guard = machine.start();
        assert!(guard.read().at >= instant("2026-01-01T02:00:30Z"), "{back}");
        assert_eq!(trust(&guard), Trust::Behind);
    }
}

#[test]
fn what_one_reading_gave_holds_for_the_next_though_the_line_was_not_moved_since() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.clock.leap_to(instant("2026-01-01T02:00:00Z"));
    let before = guard.read().at;
    assert_eq!(before, instant("2026-01-01T02:00:00Z"));
    machine.clock.leap_to(instant("2026-01-01T00:00:00Z"));
    assert!(guard.read().at >= before - SLACK);
    // Nor does it stand still until then.
    machine.clock.pass(Duration::from_millis(200));
    assert!(guard.read().at >= before + Duration::from_millis(190));
    guard.tick();
    assert!(guard.read().at >= before + Duration::from_millis(190));
}

#[test]
fn a_board_that_boots_in_1970_goes_on_from_the_latest_instant_at_every_boot() {
    let mut machine = Machine::starting_at("2026-01-01T00:00:00Z");
    machine.run(&machine.start(), HOUR);
    for hour in 1..4 {
        machine.reboot_at("1970-01-01T00:00:05Z");
        let guard = machine.start();
        let at = instant("2026-01-01T00:00:00Z") + HOUR * hour;
        assert_eq!((guard.read().at, trust(&guard)), (at, Trust::Behind));
        machine.run(&guard, HOUR);
        assert_eq!(guard.read().at, at + HOUR);
    }
    // The network is there at last.
    let guard = machine.start();
    machine.synchronise(&guard, "2026-02-01T00:00:00Z");
    assert_eq!((guard.read().at, trust(&guard)), (instant("2026-02-01T00:00:00Z"), Trust::Synchronised));
}

#[test]
fn a_leap_into_2060_ends_nothing_is_not_kept_and_is_over_when_the_clock_is_right_again() {
    let mut machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.synchronise(&guard, "2026-01-01T00:00:00Z");
    machine.clock.leap_to(instant("2060-01-01T00:00:00Z"));
    for _ in 0..2 {
        let reading = guard.read();
        assert_eq!(reading.at, reading.raw);
        assert_eq!(reading.ends, instant("2026-01-01T00:00:00Z"));
        assert_eq!(trust(&guard), Trust::Ahead);
        guard.tick();
    }
    machine.run(&guard, HOUR);
    assert_eq!(guard.read().ends, instant("2026-01-01T01:00:00Z"));
    assert_eq!(machine.kept().latest, instant("2026-01-01T01:00:00Z"));

    // Neither a restart nor a reboot makes it the truth.
    let guard = machine.start();
    assert_eq!((trust(&guard), guard.read().ends), (Trust::Ahead, instant("2026-01-01T01:00:00Z")));
    machine.reboot_at("2060-01-02T00:00:00Z");
    let guard = machine.start();
    machine.run(&guard, HOUR);
    assert_eq!((trust(&guard), guard.read().ends), (Trust::Ahead, instant("2026-01-01T02:00:00Z")));
    assert_eq!(machine.kept().latest, instant("2026-01-01T02:00:00Z"));

    machine.clock.leap_to(instant("2026-01-01T03:00:00Z"));
    let reading = guard.read();
    assert_eq!((reading.at, reading.ends), (reading.raw, reading.raw));
    guard.tick();
    assert_eq!(trust(&guard), Trust::Unsynchronised);
}

#[test]
fn a_leap_that_a_time_service_bears_out_is_taken_over() {
    let mut machine = Machine::starting_at("2026-01-01T00:00:00Z");
    machine.run(&machine.start(), HOUR);
    machine.reboot_at("2026-03-01T00:00:00Z");
    let guard = machine.start();
    assert_eq!((trust(&guard), guard.read().ends), (Trust::Ahead, instant("2026-01-01T01:00:00Z")));
    machine.synchronise(&guard, "2026-03-01T00:00:10Z");
    assert_eq!((trust(&guard), guard.read().ends), (Trust::Synchronised, instant("2026-03-01T00:00:10Z")));
    assert_eq!(machine.kept().latest, instant("2026-03-01T00:00:10Z"));
    // A mark from before the leap says nothing of what came after it.
    machine.clock.leap_to(instant("2060-01-01T00:00:00Z"));
    guard.tick();
    assert_eq!(trust(&guard), Trust::Ahead);
}

#[test]
fn steps_of_less_than_a_day_do_not_add_up() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let mut guard = machine.start();
    for step in 0..20 {
        let at = guard.read().raw + 23 * HOUR;
        machine.clock.leap_to(at);
        machine.run(&guard, Duration::from_secs(10));
        if step % 3 == 0 {
            guard = machine.start();
        }
    }
    assert_eq!(trust(&guard), Trust::Ahead);
    assert!(machine.kept().latest < instant("2026-01-03T00:00:00Z"), "{:?}", machine.kept());
}

#[test]
fn a_daemon_that_was_stopped_for_a_month_trusts_the_clock_of_a_machine_that_was_not() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    machine.run(&machine.start(), HOUR);
    machine.clock.pass(30 * DAY);
    let guard = machine.start();
    assert_eq!((trust(&guard), guard.read().ends), (Trust::Unsynchronised, guard.read().raw));
}

#[test]
fn a_restored_data_folder_is_behind_the_clock_and_turns_nothing_back() {
    let mut machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.synchronise(&guard, "2026-01-01T00:00:00Z");
    let old = std::fs::read(machine.file()).unwrap();
    machine.run(&guard, 300 * DAY);
    machine.reboot_at("2026-11-01T00:00:00Z");
    std::fs::write(machine.file(), old).unwrap();
    let guard = machine.start();
    // Prohibitions since then begin at once; what ended since then ends when the clock is borne out.
    assert_eq!(guard.read().at, instant("2026-11-01T00:00:00Z"));
    assert_eq!(guard.read().ends, instant("2026-01-01T00:00:00Z"));
    machine.synchronise(&guard, "2026-11-01T00:00:01Z");
    assert_eq!(guard.read().ends, instant("2026-11-01T00:00:01Z"));
}

#[test]
fn a_clock_that_was_hours_fast_is_caught_up_with_and_policy_time_never_stands_still() {
    let machine = Machine::starting_at("2026-01-01T02:00:00Z");
    let guard = machine.start();
    machine.run(&guard, Duration::from_secs(60));
    machine.synchronise(&guard, "2026-01-01T02:00:00Z");
    machine.run(&guard, Duration::from_secs(60));
    machine.clock.leap_to(instant("2026-01-01T00:00:00Z"));
    let mut before = guard.read().at;
    for _ in 0..(7 * 3600) {
        machine.clock.pass(Duration::from_secs(1));
        let at = guard.read().at;
        assert!(at > before && at >= guard.read().raw, "{before} {at}");
        before = at;
        guard.tick();
        assert!(guard.read().at >= before);
    }
    assert_eq!(guard.read().at, guard.read().raw);
    assert!(trust(&guard).is_fine());
}

#[test]
fn a_first_start_in_2060_is_forgotten_when_a_time_service_speaks() {
    let mut machine = Machine::starting_at("2060-01-01T00:00:00Z");
    machine.run(&machine.start(), HOUR);
    machine.reboot_at("2060-01-01T02:00:00Z");
    let guard = machine.start();
    machine.synchronise(&guard, "2026-01-01T00:00:00Z");
    assert_eq!((guard.read().at, trust(&guard)), (instant("2026-01-01T00:00:00Z"), Trust::Synchronised));
    assert_eq!(machine.kept().latest, instant("2026-01-01T00:00:00Z"));
    // From then on nothing goes back any more, whoever says so.
    machine.run(&guard, HOUR);
    machine.synchronise(&guard, "2020-01-01T00:00:00Z");
    assert_eq!((guard.read().at, trust(&guard)), (instant("2026-01-01T01:00:00Z"), Trust::Behind));
}

#[test]
fn a_file_that_is_damaged_or_cannot_be_written_is_told_and_stops_nothing() {
    let whole = serde_json::json!({ "latest": "2026-01-01T00:00:00Z" }).to_string();
    for damaged in ["", "\0\0\0\0", "{", "{\"latest\":\"soon\"}", &whole, &"x".repeat(100_000)] {
        let machine = Machine::starting_at("2026-01-01T00:00:00Z");
        std::fs::write(machine.file(), damaged).unwrap();
        let clock = Box::new(Shared(Arc::clone(&machine.clock)));
        let guard = GuardedClock::new(clock, Box::new(|| None), "first".to_owned());
        guard.take_over(&machine.file(), FLOOR);
        assert!(guard.status().unwrap().fault.is_some_and(|fault| fault.contains("is lost")), "{damaged:?}");
        assert_eq!(guard.read().at, instant("2026-01-01T00:00:00Z"));
        guard.save();
        assert_eq!(guard.status().unwrap().fault, None);
    }
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    std::fs::create_dir_all(machine.file().join("not-empty")).unwrap();
    let guard = machine.start();
    assert!(guard.status().unwrap().fault.is_some_and(|fault| fault.contains("cannot be kept")));
    machine.run(&guard, HOUR);
    assert_eq!(guard.read().at, instant("2026-01-01T01:00:00Z"));
}

#[test]
fn a_keeper_writes_the_file_at_its_start_and_at_its_end() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    std::fs::remove_file(machine.file()).unwrap();
    let keeper = GuardedClock::keep(&guard).unwrap();
    machine.clock.pass(HOUR);
    keeper.stop();
    assert_eq!(machine.kept().latest, instant("2026-01-01T01:00:00Z"));
}

#[test]
fn policy_time_goes_back_for_no_thread_while_the_clock_leaps_and_the_line_is_moved() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.synchronise(&guard, "2026-01-01T00:00:00Z");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut before = guard.read().at;
                while !done.load(Ordering::Relaxed) {
                    let at = guard.read().at;
                    assert!(at.duration_since(before) >= -SLACK, "{before} {at}");
                    before = before.max(at);
                }
            });
        }
        for round in 0..300 {
            let raw = guard.read().raw;
            // Ahead of all that was seen now and then, and less than a leap in all.
            let step = if round % 20 == 1 { HOUR + Duration::from_secs(60) } else { HOUR };
            machine.clock.leap_to(if round % 2 == 0 { raw - HOUR } else { raw + step });
            for _ in 0..5 {
                machine.clock.pass(Duration::from_millis(700));
                if round % 3 != 0 {
                    guard.tick();
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_clock_of_this_machine_can_be_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let guard = GuardedClock::system();
    guard.take_over(&folder.path().join("clock"), FLOOR);
    let reading = guard.read();
    assert_eq!((reading.at, reading.ends), (reading.raw, reading.raw));
    assert!(trust(&guard).is_fine());
}

#[test]
fn an_operator_bears_a_leap_out_and_prohibitions_end_by_it_again() {
    let mut machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.run(&guard, HOUR);
    machine.clock.leap_to(instant("2026-03-01T00:00:00Z"));
    guard.tick();
    assert_eq!(trust(&guard), Trust::Ahead);
    let acted = guard.accept().unwrap();
    assert_eq!((acted.before.trust, acted.after.trust), (Trust::Ahead, Trust::Unsynchronised));
    assert_eq!(guard.read().ends, instant("2026-03-01T00:00:00Z"));
    assert_eq!(machine.kept().latest, instant("2026-03-01T00:00:00Z"));
    // It is seen from now on: what is earlier is behind, also after the next start, and accepting cannot turn it back.
    machine.run(&guard, HOUR);
    machine.reboot_at("2026-01-02T00:00:00Z");
    let guard = machine.start();
    assert_eq!(trust(&guard), Trust::Behind);
    assert!(guard.accept().is_err());
    assert!(guard.read().at >= instant("2026-03-01T01:00:00Z"));
}

#[test]
fn a_reset_forgets_what_a_wrong_clock_has_told() {
    let machine = Machine::starting_at("2026-01-01T00:00:00Z");
    let guard = machine.start();
    machine.clock.leap_to(instant("2060-01-01T00:00:00Z"));
    guard.accept().unwrap();
    machine.clock.leap_to(instant("2026-01-01T00:00:00Z"));
    guard.tick();
    assert_eq!((trust(&guard), guard.read().at >= instant("2060-01-01T00:00:00Z")), (Trust::Behind, true));
    let acted = guard.reset();
    assert_eq!(acted.before.reading.at.strftime("%Y").to_string(), "2060");
    assert_eq!(guard.read().at, instant("2026-01-01T00:00:00Z"));
    guard.tick();
    machine.run(&guard, HOUR);
    assert_eq!(guard.read().at, instant("2026-01-01T01:00:00Z"));
    assert_eq!(machine.kept().latest, instant("2026-01-01T01:00:00Z"));
}

#[test]
fn a_reading_under_way_does_not_carry_over_what_was_reset() {
    let machine = Machine::starting_at("2060-01-01T00:00:00Z");
    let guard = machine.start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also where this thread panics, or the others would never end.
        let _ending = Ending(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    guard.read();
                    std::thread::yield_now();
                }
            });
        }
        for _ in 0..200 {
            machine.clock.leap_to(instant("2060-01-01T00:00:00Z"));
            guard.reset();
            machine.clock.pass(Duration::from_millis(50));
            guard.tick();
            machine.clock.leap_to(instant("2026-01-01T00:00:00Z"));
            guard.reset();
            machine.clock.pass(Duration::from_millis(50));
            guard.tick();
            let (reading, trust) = (guard.read(), trust(&guard));
            assert!((reading.at, trust) == (reading.raw, Trust::Unsynchronised), "{reading:?} {trust:?}");
        }
    });
}

/// Tells other threads to end when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_clock_is_right_that_is_older_than_the_program() {
    let floor = instant("2026-11-25T00:00:00Z");
    for first in ["1970-01-01T00:00:05Z", "2026-11-24T23:00:00Z"] {
        let machine = Machine::starting_at(first);
        let start = || {
            let guard =
                GuardedClock::new(Box::new(Shared(Arc::clone(&machine.clock))), Box::new(|| None), "b".to_owned());
            guard.take_over(&machine.file(), floor);
            guard.save();
            Arc::new(guard)
        };
        let guard = start();
        assert_eq!((trust(&guard), guard.read().at >= floor), (Trust::Behind, true), "{first}");
        machine.run(&guard, Duration::from_secs(600));
        let passed = guard.read().at;
        assert!(passed >= later(floor, Duration::from_secs(590)), "policy time stands still: {passed}");
        assert!(start().read().at >= passed, "{first}");
        // The right time is no leap to be held against it, once it is set.
        machine.clock.leap_to(instant("2026-11-25T10:00:00Z"));
        guard.tick();
        assert_eq!(trust(&guard), Trust::Unsynchronised, "{first}");
        assert_eq!(guard.read().at, instant("2026-11-25T10:00:00Z"));
    }
    // Whoever is later than that is believed.
    let machine = Machine::starting_at("2026-12-01T00:00:00Z");
    let guard = machine.start();
    guard.take_over(&machine.file(), floor);
    assert_eq!(guard.read().at, instant("2026-12-01T00:00:00Z"));
}
