//! The command line: one file a command. Only this module writes to standard output, and nothing outside it says `anyhow`.

mod attempts;
mod audience;
mod cache;
mod changes;
mod check;
mod clock;
mod command;
mod completions;
mod devices;
mod doctor;
mod explain;
mod export;
mod folder;
mod healthcheck;
mod index;
mod instant;
mod ledger;
mod lists;
mod man;
mod monitor_only;
mod notice;
mod orders;
mod output;
mod policy;
mod privacy;
mod probe;
mod report;
mod run;
mod scan;
mod settings;
mod simulate;
mod status;
mod sums;
mod waiver;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::Faults;

/// Wrong usage (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
/// A faulty configuration (EX_CONFIG of sysexits.h).
const CONFIGURATION: u8 = 78;

const ABOUT: &str =
    "A DNS resolver that enforces dated software bans on a network and keeps a record of it that can be replayed";
const LONG_ABOUT: &str =
    "A DNS resolver that enforces dated software bans on a network and keeps a record of it that can be replayed.

Without a command it runs the daemon, as `interdict run` does, with defaults where no file is given. \
Any key of the configuration can be set as INTERDICT_<SECTION>__<KEY>, and the data folder as INTERDICT_DATA_DIR.";

const EXIT_CODES: &str = "Exit codes:
  0   it is done
  1   it could not be done, or the daemon refused it; of `status`, it is not ready
  2   of `status`: the daemon answers, and something is not well
  3   a log was tampered with
  4   a log is incomplete
  64  the command line is wrong
  69  an address is in use, another Interdict works in the data folder, or none is there to take a command
  71  the system gives no thread, socket or signal handler
  73  the data folder or the ledger cannot be written
  77  an address or the control socket is refused to this user
  78  the configuration, a catalogue, an order or a zone is faulty; every fault is told, one a line";

#[derive(Debug, Parser)]
#[command(name = "interdict", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until it is told to stop; SIGHUP reloads.
    Run(run::Run),
    /// Say how a name is decided and why.
    Explain(Box<explain::Explain>),
    /// List what was recorded, newest first.
    Attempts(Box<attempts::Attempts>),
    /// Sum up what was recorded: by rule, by day, by client.
    Sums(sums::Sums),
    /// Write what was recorded in a format of other systems, oldest first.
    Export(export::Export),
    // What these do is told where their options are.
    Scan(Box<scan::Scan>),
    Simulate(Box<simulate::Simulate>),
    /// Write a compliance report on a period, or make one again and compare.
    Report(Box<report::Report>),
    /// List the devices that attempted contact: what each may be, how it stands, and what to do next.
    Devices(Box<devices::Devices>),
    /// Show what would be sent about prohibitions, list what was, and test whether it arrives.
    Notice(notice::Notice),
    /// List what was changed, by whom and why, newest first.
    Changes(changes::Changes),
    /// Add, list, confirm and revoke exceptions, each with a scope, an end and somebody who answers for it.
    Waiver(waiver::Waiver),
    /// In an emergency, enforce nothing for a while, and record all of it.
    MonitorOnly(monitor_only::MonitorOnly),
    /// List the orders with their prohibitions, phases and instants.
    Orders(orders::Orders),
    /// Tell what another policy would do.
    Policy(Box<policy::Policy>),
    /// Show the lists of your own: where they come from, how old they are, what is wrong with them.
    Lists(lists::Lists),
    /// Check everything that the daemon would load.
    Check(check::Check),
    /// Tell how far the system clock is trusted, and bear it out.
    Clock(clock::Clock),
    /// Look into the cache of answers, or forget what is in it.
    Cache(cache::Cache),
    /// Verify the log of records, and give others what they need to do so.
    Ledger(Box<ledger::Ledger>),
    /// Tell what is held about a client, and make a month's records anonymous.
    Privacy(privacy::Privacy),
    /// Care for the index over the journal.
    Index(index::Index),
    /// Show on one screen what is in force and how the daemon is.
    Status(status::Status),
    /// Look for what keeps the daemon from its work, or clients from the daemon, and say what to do.
    Doctor(doctor::Doctor),
    /// Ask a running daemon whether it answers; for service managers and containers.
    Healthcheck(healthcheck::Healthcheck),
    /// Write a completion script for a shell.
    Completions(completions::Completions),
    /// Write the manual page.
    Man,
}

/// Does what the command line says, and tells on standard error what went wrong.
pub fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(error)) => {
            // Help and version come this way too. Nobody is left to tell where the pipe is closed.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
        Err(Stop::Failed(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => {
            let mut stderr = io::stderr().lock();
            for line in told(&error) {
                let _ = writeln!(stderr, "{}", output::plain(&line));
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Why a command did not come to its end.
enum Stop {
    Usage(clap::Error),
    Failed(anyhow::Error),
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Stop> {
    let Arguments { command, run } = Arguments::try_parse_from(arguments).map_err(Stop::Usage)?;
    let mut out = output::stdout();
    if command.is_none() {
        // Beside what the daemon tells of itself: who only wanted to see what there is finds it here.
        let _ = writeln!(
            io::stderr(),
            "no command is given, so that the daemon runs, as by `interdict run`; Ctrl-C ends it, `interdict --help` tells the commands"
        );
    }
    let done = match command.unwrap_or(Command::Run(run)) {
        Command::Run(of) => run::run(&of),
        Command::Explain(of) => explain::run(&of, &mut out),
        Command::Attempts(of) => attempts::run(&of, &mut out),
        Command::Sums(of) => sums::run(&of, &mut out),
        Command::Export(of) => export::run(&of, &mut out),
        Command::Scan(of) => scan::run(&of, &mut out),
        Command::Simulate(of) => simulate::run(&of, &mut out),
        Command::Report(of) => report::run(&of, &mut out),
        Command::Devices(of) => devices::run(&of, &mut out),
        Command::Notice(of) => notice::run(&of, &mut out),
        Command::Changes(of) => changes::run(&of, &mut out),
        Command::Waiver(of) => waiver::run(&of, &mut out),
        Command::MonitorOnly(of) => monitor_only::run(&of, &mut out),
        Command::Orders(of) => orders::run(&of, &mut out),
        Command::Policy(of) => policy::run(&of, &mut out),
        Command::Lists(of) => lists::run(&of, &mut out),
        Command::Check(of) => check::run(&of, &mut out),
        Command::Clock(of) => clock::run(&of, &mut out),
        Command::Cache(of) => cache::run(&of, &mut out),
        Command::Ledger(of) => ledger::run(&of, &mut out),
        Command::Privacy(of) => privacy::run(&of, &mut out),
        Command::Index(of) => index::run(&of, &mut out),
        Command::Status(of) => status::run(&of, &mut out),
        Command::Doctor(of) => doctor::run(&of, &mut out),
        Command::Healthcheck(of) => healthcheck::run(&of, &mut out),
        Command::Completions(of) => completions::run(&of, &mut out),
        Command::Man => man::run(&mut out),
    };
    // What was written before a failure is shown too.
    let flushed = out.flush().map_err(anyhow::Error::from);
    done.and(flushed).map_err(Stop::Failed)
}

/// Returns whether the reader of standard output went away: it has seen all that it wanted.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Faults>() {
        return CONFIGURATION;
    }
    if let Some(unwell) = error.downcast_ref::<status::Unwell>() {
        return unwell.exit_code();
    }
    let unsound = error.downcast_ref::<ledger::Unsound>().map(ledger::Unsound::exit_code);
    unsound.or_else(|| run::exit_code(error)).or_else(|| command::exit_code(error)).unwrap_or(1)
}

/// Returns the lines that tell an error: faults one a line, anything else with the whole chain behind it.
fn told(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<Faults>() {
        Some(Faults(faults)) => faults.clone(),
        None if error.is::<command::Refused>() => error.to_string().lines().map(str::to_owned).collect(),
        None => format!("interdict: {error:#}").lines().map(str::to_owned).collect(),
    }
}

/// Returns the definition of the command line.
fn definition() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        definition().debug_assert();
    }

    #[test]
    fn the_manual_page_and_the_completions_know_every_command() {
        let mut page = Vec::new();
        man::run(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut definition(), "interdict", &mut script);
        let script = String::from_utf8(script).unwrap();
        for command in [
            "run",
            "explain",
            "attempts",
            "sums rules",
            "sums days",
            "sums clients",
            "export",
            "scan",
            "simulate",
            "report verify",
            "devices show",
            "devices confirm",
            "devices withdraw",
            "devices rules",
            "notice show",
            "notice test",
            "notice list",
            "changes",
            "waiver add",
            "waiver list",
            "waiver show",
            "waiver revoke",
            "waiver confirm",
            "monitor-only",
            "orders",
            "policy diff",
            "policy shadow",
            "check",
            "clock show",
            "clock accept",
            "clock reset",
            "lists refresh",
            "lists print",
            "cache stats",
            "cache show",
            "cache flush",
            "ledger verify",
            "ledger prove",
            "ledger hold",
            "ledger release",
            "ledger keygen",
            "ledger rotate-key",
            "privacy forget",
            "privacy subject",
            "index rebuild",
            "healthcheck",
            "status",
            "doctor",
        ] {
            assert!(page.contains(&format!(".SH \"INTERDICT {}\"", command.to_uppercase())), "{command}\n{page}");
            let word = format!("\"interdict__subcmd__{}\"", command.replace([' ', '-'], "__subcmd__"));
            assert!(script.contains(&word), "{word}\n{script}");
        }
    }

    #[test]
    fn no_command_is_run_with_defaults() {
        let parse = |arguments: &[&str]| Arguments::try_parse_from(arguments).map(|of| of.command.is_some());
        assert!(!parse(&["interdict"]).unwrap());
        assert!(!parse(&["interdict", "--at", "2024-09-29T00:00:00-04:00"]).unwrap());
        assert!(parse(&["interdict", "run", "--config", "x.toml"]).unwrap());
        assert!(parse(&["interdict", "--config", "x.toml", "check"]).is_err());
        assert!(parse(&["interdict", "--at", "2024-09-29T00:00:00"]).is_err());
    }

    #[test]
    fn an_error_is_told_with_its_whole_chain_and_its_exit_code() {
        let error = anyhow::Error::from(io::Error::other("the disk is gone")).context("cannot read x");
        assert_eq!(told(&error), ["interdict: cannot read x: the disk is gone"]);
        assert_eq!(exit_code(&error), 1);
        let faults = anyhow::Error::from(Faults(vec!["a:1: x".to_owned(), "b:2: y".to_owned()]));
        assert_eq!(told(&faults), ["a:1: x", "b:2: y"]);
        assert_eq!(exit_code(&faults), CONFIGURATION);
    }
}
