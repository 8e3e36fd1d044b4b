//! `interdict devices`: the list that a help desk works off, and what persons confirm of it.

mod found;
mod page;
mod written;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::command::DaemonArgs;
use super::output::plain;
use super::settings::{ConfigArgs, FolderArgs};
use crate::control::Command as Commanded;
use crate::devices::{Rules, Standing, State};
use crate::report::{Device, DeviceKind};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Devices {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show one device with the reasons for its role.
    Show(Show),
    /// Record that somebody has confirmed the removal of the product from a device.
    Confirm(Confirm),
    /// Withdraw such a confirmation.
    Withdraw(Withdraw),
    /// Print the rules by which roles are judged, with their sources and errors.
    Rules(Printed),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    scope: Scope,
    /// Only devices in this state.
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<Wanted>,
    /// Those too that attempted no contact with a prohibited service.
    #[arg(long)]
    all: bool,
    /// The form of the list.
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Of whose records a list is made.
#[derive(Debug, Args)]
struct Scope {
    /// Only contact that this order decided.
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Only clients of this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The list as it was at this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// After how long without contact a device has gone quiet, such as 7d.
    #[arg(long, value_name = "TIME", value_parser = super::instant::parse_length, default_value = "7d")]
    quiet_after: u64,
    /// A data folder, or a copy of its folder `ledger`, once for each resolver, each up to its newest checkpoint. Without it, the
    /// configured data folder with all its records.
    #[arg(long, value_name = "DIR")]
    ledger: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Active,
    GoneQuiet,
    Removed,
    Waived,
}

#[derive(Debug, Args)]
struct Show {
    /// The device: its hardware address, its address, or its name.
    device: String,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, Args)]
struct Confirm {
    /// The device: its hardware address, its address, or its name.
    device: String,
    /// That the product was removed from it.
    #[arg(long, required = true)]
    removed: bool,
    #[command(flatten)]
    said: Said,
}

#[derive(Debug, Args)]
struct Withdraw {
    /// The device: its hardware address, its address, or its name.
    device: String,
    #[command(flatten)]
    said: Said,
}

#[derive(Debug, Args)]
struct Said {
    /// Who answers for it.
    #[arg(long, value_name = "PERSON")]
    by: String,
    /// How it was seen, or why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Printed {
    /// Write a JSON array of objects.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(of: &Devices, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        None => list(&of.list, out),
        Some(Command::Show(show)) => {
            let list = found::list(&show.scope, true)?;
            let device = one(&list.devices, &show.device)?;
            if show.json {
                writeln!(out, "{}", serde_json::to_string_pretty(device)?)?;
                return Ok(());
            }
            Ok(page::write(device, &list, out)?)
        }
        Some(Command::Confirm(Confirm { device, removed: _, said })) => {
            let (device, _) = told(said, device)?;
            let (person, reason) = (said.by.clone(), said.reason.clone());
            said.daemon.ask(&Commanded::DeviceRemoved { device, person, reason })?.write(out)
        }
        Some(Command::Withdraw(Withdraw { device, said })) => {
            let (device, standing) = told(said, device)?;
            ensure!(
                standing.is_none_or(|of| of.confirmation.is_some()),
                "no confirmation of {} stands that could be withdrawn",
                plain(&device)
            );
            let (person, reason) = (said.by.clone(), said.reason.clone());
            said.daemon.ask(&Commanded::DeviceWithdraw { device, person, reason })?.write(out)
        }
        Some(Command::Rules(printed)) => Ok(written::rules(Rules::shipped(), printed.json, out)?),
    }
}

fn list(of: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut list = found::list(&of.scope, of.all)?;
    let wanted = of.state.map(|wanted| match wanted {
        Wanted::Active => State::Active,
        Wanted::GoneQuiet => State::GoneQuiet,
        Wanted::Removed => State::Removed,
        Wanted::Waived => State::Waived,
    });
    if let Some(state) = wanted {
        list.devices.retain(|device| device.standing.as_ref().is_some_and(|of| of.state == state));
    }
    match of.format {
        Format::Text => written::text(&list, out)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?,
        Format::Csv => written::csv(&list, out)?,
    }
    Ok(())
}

/// Returns what a device is told by in records, and how it stands.
fn told(said: &Said, device: &str) -> anyhow::Result<(String, Option<Standing>)> {
    let DaemonArgs { config, folder } = &said.daemon;
    let scope = Scope {
        order: None,
        group: None,
        at: None,
        quiet_after: 7 * 86_400,
        ledger: Vec::new(),
        config: config.clone(),
        folder: folder.clone(),
    };
    let list = found::list(&scope, true)?;
    let device = one(&list.devices, device)?;
    match device.kind {
        DeviceKind::Hardware | DeviceKind::Address => Ok((device.label.clone(), device.standing.clone())),
        DeviceKind::Network => bail!("{} is a network, which stands for many devices", plain(&device.label)),
        DeviceKind::Anonymous => {
            bail!("the key of {} is not there, so that nobody can tell which device it is", device.label)
        }
    }
}

/// Returns the one device that somebody means: by what it is told by, else by its name, else by an address that it had.
fn one<'d>(devices: &'d [Device], text: &str) -> anyhow::Result<&'d Device> {
    let same = |one: &str| one.trim_end_matches('.').eq_ignore_ascii_case(text.trim_end_matches('.'));
    let ways: [&dyn Fn(&Device) -> bool; 3] =
        [&|device| same(&device.label), &|device| device.name.as_deref().is_some_and(same), &|device| {
            device.addresses.iter().any(|address| same(address))
        }];
    for way in ways {
        let found: Vec<_> = devices.iter().filter(|device| way(device)).collect();
        let labels = || found.iter().map(|device| device.label.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(found.len() < 2, "{} was several devices: {}; say which", plain(text), plain(&labels()));
        if let [device] = found[..] {
            return Ok(device);
        }
    }
    bail!("no record is of {}; `interdict devices --all` lists the devices", plain(text))
}

fn quiet(of: &Scope) -> SignedDuration {
    i64::try_from(of.quiet_after).map(SignedDuration::from_secs).unwrap_or(SignedDuration::MAX)
}
