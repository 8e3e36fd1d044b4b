//! `interdict notice`: what would be sent, what was, and whether it arrives.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::command::DaemonArgs;
use super::output::{Table, plain};
use super::report::{made, node};
use super::settings::{ConfigArgs, FolderArgs};
use super::{clock, folder};
use crate::config::Config;
use crate::control::Command as Commanded;
use crate::daemon::folder::NOTICES;
use crate::feed::Archive;
use crate::identify::{self, Names};
use crate::notice::{
    Facts, Kept, Kind, Notice as Sent, Plan, Settings, Templates, Wanted, gather, marks, payload, plan,
};
use crate::policy::Snapshot;

#[derive(Debug, Args)]
pub(super) struct Notice {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the notices that stand, whether they were sent or not, and the digest.
    Show(Show),
    /// Send a notice that says that it is a test, by each way at once, and tell what came of it.
    Test(DaemonArgs),
    /// List what was sent, what waits and why, and what comes next.
    List(List),
}

#[derive(Debug, Args)]
struct Show {
    /// Those that stand at this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// Only what this template makes, or what webhooks get.
    #[arg(long, value_name = "TEMPLATE", value_enum)]
    template: Option<Template>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    Subject,
    Text,
    Page,
    Webhook,
}

#[derive(Debug, Args)]
struct List {
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(super) fn run(of: &Notice, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Show(show) => write_notices(show, out),
        Command::Test(daemon) => daemon.ask(&Commanded::NoticeTest)?.write(out),
        Command::List(list) => write_list(list, out),
    }
}

/// Returns what stands and what comes next, by what the daemon has kept.
fn planned(settings: &Settings, kept: &Kept, snapshot: &Snapshot, at: Timestamp) -> Plan {
    plan(&marks(snapshot), &settings.days_before, settings.digest, kept, at)
}

fn current(folder: &folder::Folder) -> anyhow::Result<(String, Snapshot)> {
    let text = folder.active_policy().context("no daemon has worked with this data folder")?;
    let archive = Archive::open(&folder.policies(), &folder::digest(&text)?)?;
    let snapshot = archive.compile(1).ok().context("the policy that is in use cannot be read by this program")?;
    Ok((text, snapshot))
}

fn kept(folder: &folder::Folder) -> anyhow::Result<Kept> {
    let path = folder.root().join(NOTICES);
    Kept::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn write_notices(of: &Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config);
    let templates = Templates::load(config.notice.templates.as_deref())?;
    let when = clock::now(&folder);
    let at = of.at.unwrap_or(when.at.min(when.ends));
    let (digest, snapshot) = current(&folder)?;
    let mut kept = kept(&folder)?;
    kept.note(&marks(&snapshot), when.at.min(when.ends).min(at));
    let mut notices = planned(&config.notice, &kept, &snapshot, at).standing;
    notices.retain(|notice| notice.kind != Kind::Digest);
    let id = format!("digest@{}", at.strftime("%Y-%m-%d"));
    notices.push(Sent { id, kind: Kind::Digest, due: at, mark: None });
    let mut opened = node::whole(&folder)?;
    let nodes = std::slice::from_ref(&opened);
    let mut policies = made::compiled(used(&opened, at, &digest)?, nodes);
    policies.push((digest, snapshot));
    let names = Names::new(identify::look_once(&config.client.sources, at));
    let names = |label: &str| names.of(label);
    let keys = folder.keys();
    let (store, list_devices) = (&mut opened.store, config.notice.list_devices);
    let mut wanted = Wanted { store, policies: &policies, keys, names: &names, list_devices };
    for notice in &notices {
        let facts = Facts::new(&notice.id, notice.kind, at, &opened.node.name, config.notice.look_back_days);
        write_one(&templates, &gather(&mut wanted, notice, facts)?, of.template, out)?;
    }
    Ok(())
}

/// Returns the digests of the policies besides the one in use, those used last at the end.
fn used(of: &node::Opened, at: Timestamp, current: &str) -> anyhow::Result<Vec<String>> {
    let mut used = crate::report::policies(&of.store, &of.basis, (Timestamp::MIN, at))?;
    used.sort();
    Ok(used.into_iter().map(|(_, digest)| digest).filter(|digest| digest != current).collect())
}

fn write_one(templates: &Templates, facts: &Facts, only: Option<Template>, out: &mut dyn Write) -> anyhow::Result<()> {
    let rendered = templates.render(facts)?;
    let lines = |text: &str| text.lines().map(|line| plain(line).to_string()).collect::<Vec<_>>().join("\n");
    match only {
        None => writeln!(out, "Subject: {}\n\n{}\n", plain(&rendered.subject), lines(&rendered.text))?,
        Some(Template::Subject) => writeln!(out, "{}", plain(&rendered.subject))?,
        Some(Template::Text) => writeln!(out, "{}", lines(&rendered.text))?,
        Some(Template::Page) => writeln!(out, "{}", lines(&rendered.page))?,
        Some(Template::Webhook) => writeln!(out, "{}", String::from_utf8_lossy(&payload(facts)?))?,
    }
    Ok(())
}

fn write_list(of: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let config: Config = of.config.load()?;
    let folder = of.folder.of(&config);
    let (_, snapshot) = current(&folder)?;
    let when = clock::now(&folder);
    let kept = kept(&folder)?;
    let plan = planned(&config.notice, &kept, &snapshot, when.at.min(when.ends));
    let channels = config.notice.channels();
    if of.json {
        let next = plan.next.iter().map(|notice| json!({ "id": notice.id, "due": notice.due, "channels": channels }));
        let listed = json!({ "notices": kept.entries, "next": next.collect::<Vec<_>>() });
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(());
    }
    if channels.is_empty() {
        writeln!(out, "nobody gets notices: see [notice.smtp] and [[notice.webhook]]\n")?;
    }
    let mut table = Table::new(["DUE", "NOTICE", "BY", "STATE", "TRIES", "LAST TRY", "WHY"]);
    for entry in &kept.entries {
        for (channel, sending) in &entry.channels {
            table.push([
                format!("{:.0}", entry.due),
                entry.id.clone(),
                channel.clone(),
                sending.state.as_str().to_owned(),
                sending.tries.to_string(),
                sending.at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}")),
                sending.why.clone().unwrap_or_default(),
            ]);
        }
    }
    for notice in &plan.next {
        let to_come = ["to come".to_owned(), "0".to_owned(), "-".to_owned(), String::new()];
        let [state, tries, last, why] = to_come;
        table.push([format!("{:.0}", notice.due), notice.id.clone(), channels.join(","), state, tries, last, why]);
    }
    Ok(table.write(out)?)
}
