//! `interdict healthcheck`: whether a daemon answers, for whoever restarts it where it does not.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::output::plain;
use super::probe::{self, Health, Question};
use super::settings::ConfigArgs;
use crate::config::Config;

/// Asks each address of `[listen] dns` over UDP and TCP for something that needs no upstream, and the admin listener. Ends with 0
/// where all of them answer, else with 1 and a line that says why.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    config: ConfigArgs,
    /// Fail where no upstream answers, too. Not for what restarts the daemon, since a restart mends no upstream.
    #[arg(long)]
    upstream: bool,
}

pub(super) fn run(of: &Healthcheck, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let mut unasked = Vec::new();
    for address in config.listen.dns.iter().map(|address| probe::reachable(*address)) {
        unasked.extend(dns(address, &config)?.map(|here| (address, here)));
    }
    match config.admin.listen.map(probe::reachable) {
        Some(admin) => http(admin, of.upstream)?,
        None => ensure!(!of.upstream, "how upstreams stand is told by the admin listener, and [admin] listen is \"\""),
    }
    match unasked.first() {
        None => writeln!(out, "well")?,
        Some((address, here)) => {
            writeln!(out, "well, but {address} was not asked over DNS: [listen] allow does not have {here}")?;
        }
    }
    Ok(())
}

/// Fails where an address does not answer over UDP or TCP. Returns our own address where it answers others, and not us: nothing
/// can be seen from here then, and nothing is wrong.
pub(super) fn dns(address: SocketAddr, config: &Config) -> anyhow::Result<Option<IpAddr>> {
    if let Some(here) = probe::shut_out(address, config).with_context(|| format!("the way to {address}"))? {
        return Ok(Some(here));
    }
    let question = Question::local();
    question.over_udp(address, config).with_context(|| format!("DNS over UDP at {address}"))?;
    question.over_tcp(address, config).with_context(|| format!("DNS over TCP at {address}"))?;
    Ok(None)
}

fn http(admin: SocketAddr, upstream: bool) -> anyhow::Result<()> {
    let path = if upstream { "/health/ready" } else { "/health/live" };
    let (status, body) = probe::page(admin, path).with_context(|| format!("the admin listener at {admin}"))?;
    if status == 200 {
        return Ok(());
    }
    let health: Option<Health> = serde_json::from_str(&body).ok();
    let checks = health.iter().flat_map(|health| &health.checks);
    match checks.into_iter().find(|check| !check.ok && check.name == "upstream") {
        Some(check) => bail!("upstream: {}", plain(&check.detail)),
        None => bail!("{path} is answered with {status}"),
    }
}
