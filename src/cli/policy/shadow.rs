//! `interdict policy shadow`: what the candidate decides otherwise, as the running daemon counts it.

use std::io::{Read as _, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::output::{Table, plain};
use crate::cli::settings::ConfigArgs;

/// How long the daemon may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read, in octets; the daemon never has more rules to tell.
const MOST: u64 = 64 << 20;

/// Tell what the candidate of `[policy] shadow` decides otherwise than the policy in use.
///
/// The running daemon is asked over its admin listener. It counts each query that the candidate decides by another verdict
/// or by another rule, with the names that its answer leads to; where the policy in use withholds the name that is asked
/// for, no answer is known, and the name alone is compared. The counters begin anew when either policy changes.
#[derive(Debug, Args)]
pub(super) struct Shadow {
    /// Write what the daemon tells, a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Deserialize)]
struct Status {
    file: Option<String>,
    faults: Vec<String>,
    counted: Option<Counted>,
}

#[derive(Debug, Deserialize)]
struct Counted {
    live: String,
    candidate: String,
    since: Timestamp,
    differing: u64,
    orders: Vec<ByOrder>,
    rules: Vec<ByRule>,
}

#[derive(Debug, Deserialize)]
struct ByOrder {
    order: String,
    live: String,
    candidate: String,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct ByRule {
    order: String,
    service: String,
    entry: String,
    live: String,
    candidate: String,
    count: u64,
}

pub(super) fn run(of: &Shadow, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let Some(address) = config.admin.listen else {
        bail!("the daemon has no admin listener, which would tell; set [admin] listen and start it again");
    };
    let text = fetch(reachable(address)).with_context(|| format!("cannot ask a daemon at {address}"))?;
    let unclear = || format!("what answers at {address} does not tell of a shadow");
    if of.json {
        let value: serde_json::Value = serde_json::from_str(&text).with_context(unclear)?;
        writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
        return Ok(());
    }
    write(&serde_json::from_str(&text).with_context(unclear)?, out)
}

fn write(status: &Status, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(file) = &status.file else {
        writeln!(out, "no candidate decides beside the policy in use; name one in [policy] shadow")?;
        return Ok(());
    };
    writeln!(out, "candidate  {}", plain(file))?;
    for fault in &status.faults {
        writeln!(out, "not used   {}", plain(fault))?;
    }
    let Some(Counted { live, candidate, since, differing, orders, rules }) = &status.counted else { return Ok(()) };
    writeln!(out, "policy     {}", plain(candidate))?;
    writeln!(out, "in use     {}", plain(live))?;
    writeln!(out, "since      {since:.0}")?;
    writeln!(out, "differing  {differing} queries")?;
    if *differing == 0 {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(["COUNT", "IN USE", "CANDIDATE", "ORDER"]);
    for ByOrder { order, live, candidate, count } in orders {
        table.push([count.to_string(), live.clone(), candidate.clone(), order.clone()]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut table = Table::new(["COUNT", "IN USE", "CANDIDATE", "ORDER", "SERVICE", "ENTRY"]);
    for ByRule { order, service, entry, live, candidate, count } in rules {
        let verdicts = [live.clone(), candidate.clone()];
        let [live, candidate] = verdicts;
        table.push([count.to_string(), live, candidate, order.clone(), service.clone(), entry.clone()]);
    }
    table.write(out)?;
    let told: u64 = rules.iter().map(|rule| rule.count).sum();
    if let Some(rest @ 1..) = differing.checked_sub(told) {
        writeln!(out, "{rest} more, of rules for which there was no room")?;
    }
    Ok(())
}

/// Returns where to reach a listener on every address.
const fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks in HTTP/1.0, whose answers end with the connection.
fn fetch(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("no daemon answers there")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /shadow HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("its answer is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("its answer is no HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("it answers with the status {}", plain(status));
    }
    Ok(body.to_owned())
}
