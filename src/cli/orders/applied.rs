//! How an order applies to groups of clients, where the operator set that.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::output::plain;
use crate::client::GroupId;
use crate::policy::{Application, Demand, Phase, Snapshot};

/// Groups to which an order applies alike.
#[derive(Debug, Serialize)]
pub(super) struct Applied {
    groups: Vec<String>,
    phase: &'static str,
    /// When monitoring ends and the order is enforced, if that is set.
    until: Option<Timestamp>,
    /// Whether clients are told that the network is bound by the order.
    binding: bool,
    /// How a withheld name is answered, where that is not as everywhere.
    sink: Option<&'static str>,
    #[serde(skip)]
    application: Application,
}

/// Returns how the order at this place applies: the groups that are treated alike together, the default one first.
pub(super) fn of(snapshot: &Snapshot, order: usize) -> Vec<Applied> {
    let mut all: Vec<Applied> = Vec::new();
    for group in 0..=snapshot.inputs().operator.groups.len() {
        let group = GroupId(u16::try_from(group).unwrap_or(u16::MAX));
        let (application, name) = (*snapshot.application(order, group), snapshot.group_name(group).to_owned());
        match all.iter_mut().find(|applied| applied.application == application) {
            Some(applied) => applied.groups.push(name),
            None => all.push(Applied::new(application, name)),
        }
    }
    all
}

/// Writes how an order applies, unless that is as it does where nobody sets anything.
pub(super) fn write(all: &[Applied], out: &mut dyn Write) -> io::Result<()> {
    if all.iter().all(|applied| applied.application == Application::default()) {
        return Ok(());
    }
    writeln!(out, "\n  How the operator applies it")?;
    for applied in all {
        let whom = if all.len() == 1 { "every group".to_owned() } else { applied.groups.join(", ") };
        writeln!(out, "    {}: {}", plain(&whom), applied.words())?;
    }
    Ok(())
}

impl Applied {
    fn new(application: Application, group: String) -> Self {
        let (phase, until) = match application.phase {
            Phase::Enforce => ("enforce", None),
            Phase::Monitor { until } => ("monitor", until),
            Phase::Off => ("off", None),
        };
        let binding = application.demand == Demand::External;
        let sink = application.sink.map(|sink| sink.as_str());
        Self { groups: vec![group], phase, until, binding, sink, application }
    }

    fn words(&self) -> String {
        let phase = match self.application.phase {
            Phase::Enforce => "enforced".to_owned(),
            Phase::Monitor { until: None } => "monitored only: what it prohibits is resolved and recorded".to_owned(),
            Phase::Monitor { until: Some(until) } => {
                format!("monitored only until {until}: what it prohibits is resolved and recorded")
            }
            Phase::Off => return "not applied: it says nothing of what these clients ask for".to_owned(),
        };
        let binding = if self.binding { "; the network is bound by it (EDE 16, Censored)" } else { "" };
        let sink = self.sink.map(|sink| format!("; a withheld name is answered with {sink}")).unwrap_or_default();
        format!("{phase}{binding}{sink}")
    }
}
