//! `interdict explain`: how a name is decided and why, now, at another instant, or as a record says that it was.

mod account;
mod lists;
mod others;
mod page;
mod replay;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use super::folder::Folder;
use super::output::plain;
use super::settings::{ConfigArgs, Faults, FolderArgs, load_policy, texts};
use crate::client::{Client, DEFAULT_GROUP, Table};
use crate::config::Config;
use crate::feed::{Archive, ArchiveError};
use crate::message::{NameError, RecordType};
use crate::policy::{Snapshot, When};
use crate::query::{Target, Through};
use account::Account;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The name that a client asks for, or an address that an answer tells.
    #[arg(value_name = "NAME", required_unless_present = "record", value_parser = read_target)]
    name: Option<Asked>,
    /// The record type that it asks for.
    #[arg(long = "type", value_name = "T", default_value = "A")]
    record_type: RecordType,
    /// The client that asks; without it, any client.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// The group of clients that is decided for; without it, that of the client by the networks and devices of the
    /// configuration. What leases, neighbours and PTR records tell is known to the daemon alone.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Decide at this instant instead of now.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// Replay the decision of this record, by the policy that decided it, and say whether it is the same.
    #[arg(long, value_name = "N", conflicts_with_all = ["record_type", "client", "group", "at", "offline"])]
    record: Option<u64>,
    /// Decide by the files, even where a daemon runs.
    #[arg(long)]
    offline: bool,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What is asked about; behind a pointer, since a name takes much room.
type Asked = std::sync::Arc<Target>;

/// Names may hold any octet; what looks like an address of a page is taken for a slip all the same.
fn read_target(text: &str) -> Result<Asked, String> {
    if let Ok(address) = text.parse() {
        return Ok(Target::Address(address).into());
    }
    match text.split_once("://") {
        Some(_) => Err("it is the address of a page; ask for the name of its host".to_owned()),
        None => text.parse().map(|name| Target::Name(name).into()).map_err(|error: NameError| error.to_string()),
    }
}

/// What is decided: a question, or what was found in its answer.
#[derive(Debug, Clone)]
struct Question {
    /// The name that was asked for, or an address that may stand in any answer.
    asked: Target,
    subject: Option<Target>,
    through: Through,
    record_type: String,
    client: Client,
    when: When,
}

/// Where the policy comes from that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Files,
    Daemon,
    Record,
}

pub(super) fn run(of: &Explain, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config);
    match (of.record, &of.name) {
        (Some(seq), name) => replay::run(seq, name.as_deref(), &folder, config.answer.sink, of.json, out),
        (None, Some(name)) => {
            let (snapshot, origin) = policy(of.offline, &config, &folder)?;
            // A rehearsal has a time of its own.
            let rehearsed = if of.at.is_none() { folder.rehearsed()? } else { None };
            let client = client(of, &config, &snapshot)?;
            let question = Question {
                asked: Target::clone(name),
                subject: None,
                through: if matches!(**name, Target::Name(_)) { Through::Question } else { Through::Address },
                record_type: of.record_type.to_string(),
                client,
                when: of.at.or(rehearsed).map_or_else(|| super::clock::now(&folder), When::from),
            };
            let others = others::of(&question, &snapshot);
            let mut account = Account { others, ..Account::new(&question, &snapshot, config.answer.sink) };
            let chain = lists::chain(&config, folder.root());
            let (findings, response) = lists::findings(
                &question,
                of.record_type,
                &chain,
                (account.decision, snapshot.only_monitors(question.when)),
            );
            account.lists = findings;
            if let Some((response, ede)) = response {
                (account.response, account.ede) = (response, ede);
            }
            write(&account, origin, of.json, out)
        }
        (None, None) => unreachable!("the definition requires a name where no record is given"),
    }
}

fn write(account: &Account<'_>, origin: Origin, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(account)?)?;
    } else {
        page::write(account, origin, out)?;
    }
    Ok(())
}

/// Returns the policy of the running daemon, or else of the files.
pub(super) fn policy(offline: bool, config: &Config, folder: &Folder) -> anyhow::Result<(Snapshot, Origin)> {
    let running = if offline { None } else { folder.running_policy()? };
    match running {
        Some(digest) => Ok((archived(folder, &digest)?, Origin::Daemon)),
        None => Ok((load_policy(config)?.snapshot, Origin::Files)),
    }
}

/// Returns the policy with this digest, as it was kept when a daemon began to use it.
fn archived(folder: &Folder, digest: &[u8; 32]) -> anyhow::Result<Snapshot> {
    let policies = folder.policies();
    let archive = Archive::open(&policies, digest).map_err(|error| {
        let gone = matches!(&error, ArchiveError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let error = anyhow::Error::new(error);
        match gone {
            true => error.context(format!(
                "the policy by which this was decided is not in {}: archived policies go with the last record that \
                 names them; put {}.json back there from a copy of the data folder",
                policies.display(),
                hex::encode(digest)
            )),
            false => error,
        }
    })?;
    let faults = |faults: Vec<_>| Faults(texts(&faults));
    archive.compile(1).map_err(faults).context("this program does not read the policy that was kept")
}

/// Returns the client that is decided for. What leases, neighbours and PTR records tell is known to a daemon alone.
fn client(of: &Explain, config: &Config, snapshot: &Snapshot) -> anyhow::Result<Client> {
    match (&of.group, of.client) {
        (Some(name), address) => {
            let group = snapshot.group_named(name).with_context(|| unknown_group(name, snapshot))?;
            Ok(Client::member(address.unwrap_or_else(|| anyone().address()), group))
        }
        (None, Some(address)) => {
            let table = Table::new(&snapshot.inputs().operator.groups, &config.client.sources.known());
            Ok(table.identify(address))
        }
        (None, None) => Ok(anyone()),
    }
}

fn unknown_group(name: &str, snapshot: &Snapshot) -> String {
    let groups = snapshot.inputs().operator.groups.iter().map(|group| group.name.as_str());
    let groups: Vec<_> = std::iter::once(DEFAULT_GROUP).chain(groups).collect();
    format!("there is no group `{}`; the groups are {}", plain(name), groups.join(", "))
}

/// A client that no group takes and no waiver names.
fn anyone() -> Client {
    Client::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
