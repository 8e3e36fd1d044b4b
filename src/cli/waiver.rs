//! `interdict waiver`: exceptions that someone answers for.

use std::io::Write;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::command::DaemonArgs;
use super::output::{Table, plain};
use crate::control::{Asked, Command as Commanded, End, Listed, Mark};

#[derive(Debug, Args)]
pub(super) struct Waiver {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a waiver; where four eyes are asked for, somebody else has to confirm it.
    Add(Box<Add>),
    /// List the waivers, those of files too, with what they lift and until when.
    List(List),
    /// Show one waiver with everything that became of it.
    Show(Show),
    /// End a waiver before its time.
    Revoke(Revoke),
    /// Put a waiver in force that another user has added.
    Confirm(Confirm),
}

#[derive(Debug, Args)]
struct Add {
    /// The order whose prohibitions are lifted.
    #[arg(long, value_name = "ORDER", required_unless_present = "service")]
    order: Option<String>,
    /// A service of that order, as often as needed; without an order, CATALOGUE/SERVICE for every order on it.
    #[arg(long, value_name = "SERVICE")]
    service: Vec<String>,
    /// A name that is let through, or `*.NAME` for all below it; every name under those rules where none is given.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Whom it is for: a group, an address or a network; everyone where none is given.
    #[arg(long, value_name = "CLIENT")]
    client: Vec<String>,
    /// Why the exception is made.
    #[arg(long)]
    reason: String,
    /// Who answers for it.
    #[arg(long)]
    approver: String,
    /// Where the matter is tracked.
    #[arg(long)]
    ticket: Option<String>,
    /// When it begins; at once where nothing is said.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    from: Option<Timestamp>,
    /// When it ends.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse, required_unless_present = "seconds")]
    until: Option<Timestamp>,
    /// How long it lasts, such as 8h.
    #[arg(long = "for", value_name = "TIME", value_parser = super::instant::parse_length, conflicts_with = "until")]
    seconds: Option<u64>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct List {
    /// Those too that have ended.
    #[arg(long)]
    all: bool,
    /// Write a JSON array of objects.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Show {
    /// The waiver, such as W-17.
    id: String,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The waiver, such as W-17.
    id: String,
    /// Why it is ended.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Confirm {
    /// The waiver, such as W-17.
    id: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(of: &Waiver, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Add(add) => {
            let end = match (add.until, add.seconds) {
                (Some(until), _) => End::At(until),
                (None, seconds) => End::After(seconds.unwrap_or_default()),
            };
            let asked = Asked {
                order: add.order.clone(),
                services: add.service.clone(),
                names: add.name.clone(),
                clients: add.client.clone(),
                reason: add.reason.clone(),
                approver: add.approver.clone(),
                ticket: add.ticket.clone(),
                from: add.from,
                end,
            };
            add.daemon.ask(&Commanded::WaiverAdd(asked))?.write(out)
        }
        Command::List(list) => write_list(list, out),
        Command::Show(show) => write_one(show, out),
        Command::Revoke(Revoke { id, reason, daemon }) => {
            daemon.ask(&Commanded::WaiverRevoke { id: id.clone(), reason: reason.clone() })?.write(out)
        }
        Command::Confirm(Confirm { id, daemon }) => {
            daemon.ask(&Commanded::WaiverConfirm { id: id.clone() })?.write(out)
        }
    }
}

fn write_list(of: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let listed: Vec<Listed> = of.daemon.ask(&Commanded::WaiverList { all: of.all })?.read()?;
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(());
    }
    let emergency = listed.iter().find(|one| one.id.starts_with("M-") && one.state == "in force");
    if let Some(one) = emergency {
        writeln!(out, "NOTHING IS ENFORCED until {} ({}): {}\n", one.until, one.id, plain(&one.reason))?;
    }
    if listed.is_empty() {
        writeln!(out, "no waivers")?;
        return Ok(());
    }
    let mut table = Table::new(["ID", "STATE", "UNTIL", "RULES", "NAMES", "CLIENTS", "APPROVER", "REASON"]);
    for one in &listed {
        let or_all = |texts: &[String]| if texts.is_empty() { "all".to_owned() } else { shortened(&texts.join(", ")) };
        let state = if one.fault.is_some() { "lifts nothing" } else { &one.state };
        table.push([
            one.id.clone(),
            state.to_owned(),
            one.until.to_string(),
            one.rules.clone(),
            or_all(&one.names),
            or_all(&one.clients),
            shortened(&one.approver),
            shortened(&one.reason),
        ]);
    }
    Ok(table.write(out)?)
}

fn write_one(of: &Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let listed: Vec<Listed> = of.daemon.ask(&Commanded::WaiverShow { id: of.id.clone() })?.read()?;
    let Some(one) = listed.into_iter().next() else {
        anyhow::bail!("there is no waiver {}; `interdict waiver list --all` shows all that are known", plain(&of.id));
    };
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&one)?)?;
        return Ok(());
    }
    // Taken apart field by field, so that a field added to `Listed` has to be dealt with here.
    let Listed {
        id,
        state,
        rules,
        names,
        clients,
        from,
        until,
        reason,
        approver,
        ticket,
        file,
        added,
        confirmed,
        ended,
        fault,
    } = one;
    writeln!(out, "{}: {}\n", plain(&id), plain(&state))?;
    let mut row = |title: &str, value: String| writeln!(out, "  {title:<11}{}", plain(&value));
    if let Some(fault) = fault {
        row("fault", format!("it lifts nothing: {fault}"))?;
    }
    row("rules", rules)?;
    row("names", if names.is_empty() { "all".to_owned() } else { names.join(", ") })?;
    row("clients", if clients.is_empty() { "all".to_owned() } else { clients.join(", ") })?;
    row("from", from.to_string())?;
    row("until", until.to_string())?;
    row("reason", reason)?;
    row("approver", approver)?;
    if let Some(ticket) = ticket {
        row("ticket", ticket)?;
    }
    if let Some(file) = file {
        row("file", file)?;
    }
    for (title, mark) in [("added", added), ("confirmed", confirmed), ("ended", ended)] {
        if let Some(Mark { at, by, uid: _, why }) = mark {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            row(title, format!("{at:.0} by {by}{why}"))?;
        }
    }
    Ok(())
}

/// The longest text that a table shows whole.
const MAX_COLUMN: usize = 48;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_COLUMN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
