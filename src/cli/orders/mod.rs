//! `interdict orders`: what each order prohibits, from when on, and how well that is verified.

mod applied;
mod diff;

use std::fmt;
use std::io::{self, Write};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::folder::Folder;
use super::output::plain;
use super::settings::{ConfigArgs, load_policy};
use crate::policy::{Mode, Operator, OperatorTreatment, Order, Removal, Then, TreatmentChoice, Validity, When};
use applied::Applied;

#[derive(Debug, Args)]
pub(super) struct Orders {
    #[command(flatten)]
    config: ConfigArgs,
    /// Compare two orders name by name, each by itself: names of shipped orders, or files. The configuration says which
    /// catalogues and whether removal goes on; what the operator sets besides is left out.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    diff: Option<Vec<String>>,
    /// Tell the phases, or compare, at this instant instead of now.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// Write a JSON array of objects, or one object that compares.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(of: &Orders, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let at = of.at.map_or_else(|| super::clock::now(&Folder::new(&config.data_dir, false)), When::from);
    if let Some([a, b]) = of.diff.as_deref() {
        return diff::run([a, b], &config, at.at, of.json, out);
    }
    let loaded = load_policy(&config)?;
    let inputs = loaded.snapshot.inputs();
    let orders: Vec<_> = (inputs.orders.iter().enumerate())
        .map(|(place, order)| Shown {
            applied: applied::of(&loaded.snapshot, place),
            ..Shown::new(order, &inputs.operator, at)
        })
        .collect();
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&orders)?)?;
        return Ok(());
    }
    match inputs.operator.mode {
        Mode::Enforce => {}
        Mode::Monitor => writeln!(out, "mode = \"monitor\": nothing is withheld, whatever the orders say\n")?,
    }
    if orders.is_empty() {
        writeln!(out, "no orders: every name is resolved")?;
    }
    for (position, order) in orders.iter().enumerate() {
        if position > 0 {
            writeln!(out)?;
        }
        order.write(at.at, out)?;
    }
    Ok(())
}

/// Where a prohibition stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Monitored { from: Timestamp },
    InForce { from: Timestamp, until: Option<Timestamp> },
    Lifted { until: Timestamp },
}

impl Phase {
    pub(super) fn of(validity: Validity, at: impl Into<When>) -> Self {
        let When { at, ends } = at.into();
        let from = validity.from();
        match validity.until() {
            _ if at < from => Self::Monitored { from },
            Some(until) if until <= ends => Self::Lifted { until },
            until => Self::InForce { from, until },
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Monitored { .. } => "monitored",
            Self::InForce { .. } => "in force",
            Self::Lifted { .. } => "lifted",
        }
    }

    /// Returns the instant of the next phase, if one is set.
    const fn next(self) -> Option<Timestamp> {
        match self {
            Self::Monitored { from } => Some(from),
            Self::InForce { until, .. } => until,
            Self::Lifted { .. } => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitored { from } => write!(f, "monitored until {from}, in force from then on"),
            Self::InForce { from, until: None } => write!(f, "in force since {from}, no end is set"),
            Self::InForce { from, until: Some(until) } => write!(f, "in force since {from}, to be lifted at {until}"),
            Self::Lifted { until } => write!(f, "lifted {until}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    title: &'a str,
    issuer: &'a str,
    citation: &'a str,
    rules: &'a [String],
    catalogue: &'a str,
    published: String,
    /// How it applies to groups of clients.
    applied: Vec<Applied>,
    prohibitions: Vec<ShownProhibition<'a>>,
    protected: Vec<Group<'a>>,
    exempt: Vec<Group<'a>>,
    kept: Vec<Group<'a>>,
    noted: Vec<Group<'a>>,
    /// What the operator decided otherwise; it counts before the groups above.
    treatments: Vec<ShownTreatment<'a>>,
    facts: Vec<ShownFact<'a>>,
    sources: Vec<ShownSource<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownTreatment<'a> {
    service: &'a str,
    treatment: &'static str,
    prohibition: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShownProhibition<'a> {
    id: &'a str,
    title: &'a str,
    phase: &'static str,
    from: Timestamp,
    until: Option<Timestamp>,
    /// The instant of the next phase.
    next: Option<Timestamp>,
    verification: &'static str,
    basis: &'a str,
    services: &'a [String],
    #[serde(skip)]
    words: String,
}

/// Services that are treated alike, and why.
#[derive(Debug, Serialize)]
struct Group<'a> {
    services: &'a [String],
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exemption: Option<&'static str>,
    /// When the services are no longer kept, and what they are then.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownFact<'a> {
    text: &'a str,
    verification: &'static str,
}

#[derive(Debug, Serialize)]
struct ShownSource<'a> {
    title: &'a str,
    at: &'a str,
    read: String,
}

impl<'a> Group<'a> {
    const fn new(services: &'a [String], reason: &'a str) -> Self {
        Self { services, reason, basis: None, verification: None, exemption: None, until: None, then: None }
    }
}

impl<'a> Shown<'a> {
    fn new(order: &'a Order, operator: &'a Operator, at: When) -> Self {
        // Taken apart field by field, so that a field added to `Order` has to be dealt with here.
        let Order {
            id,
            title,
            issuer,
            citation,
            rules,
            catalogue,
            published,
            sources,
            facts,
            prohibitions,
            protected,
            exempt,
            kept,
            noted,
        } = order;
        let prohibitions = prohibitions.iter().map(|of| {
            let phase = Phase::of(of.validity, at);
            ShownProhibition {
                id: &of.id,
                title: &of.title,
                phase: phase.as_str(),
                from: of.validity.from(),
                until: of.validity.until(),
                next: phase.next(),
                verification: of.verification.as_str(),
                basis: &of.basis,
                services: &of.services,
                words: phase.to_string(),
            }
        });
        let protected = protected.iter().map(|of| Group {
            basis: Some(&of.basis),
            verification: Some(of.verification.as_str()),
            ..Group::new(&of.services, &of.reason)
        });
        let exempt = exempt
            .iter()
            .map(|of| Group { exemption: Some(of.exemption.as_str()), ..Group::new(&of.services, &of.reason) });
        let kept = kept.iter().map(|of| Group {
            until: kept_until(of.until, operator.removal),
            then: Some(match of.then {
                Then::Noted => "noted".to_owned(),
                Then::Prohibited(prohibition) => order.prohibitions[prohibition].id.clone(),
            }),
            ..Group::new(&of.services, &of.reason)
        });
        Self {
            id,
            title,
            issuer,
            citation,
            rules,
            catalogue,
            published: published.to_string(),
            applied: Vec::new(),
            prohibitions: prohibitions.collect(),
            protected: protected.collect(),
            exempt: exempt.collect(),
            kept: kept.collect(),
            noted: noted.iter().map(|of| Group::new(&of.services, &of.reason)).collect(),
            treatments: operator.treatments.iter().filter(|of| of.order == *id).map(ShownTreatment::new).collect(),
            facts: facts
                .iter()
                .map(|of| ShownFact { text: &of.text, verification: of.verification.as_str() })
                .collect(),
            sources: sources
                .iter()
                .map(|of| ShownSource { title: &of.title, at: &of.at, read: of.read.to_string() })
                .collect(),
        }
    }

    fn write(&self, at: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} ({})", plain(self.title), plain(self.id))?;
        writeln!(out, "  issued by  {}", plain(self.issuer))?;
        writeln!(out, "  citation   {}, published {}", plain(self.citation), self.published)?;
        if !self.rules.is_empty() {
            writeln!(out, "  rules      {}", plain(&self.rules.join(", ")))?;
        }
        writeln!(out, "  catalogue  {}", plain(self.catalogue))?;
        applied::write(&self.applied, out)?;
        match self.prohibitions.is_empty() {
            true => writeln!(out, "\n  No prohibitions: this order never withholds a name")?,
            false => writeln!(out, "\n  Prohibitions at {at:.3}")?,
        }
        for of in &self.prohibitions {
            writeln!(out, "    {} ({})", plain(of.title), plain(of.id))?;
            writeln!(out, "      phase     {}", of.words)?;
            writeln!(out, "      basis     {}", plain(of.basis))?;
            writeln!(out, "      verified  {}", of.verification)?;
            writeln!(out, "      services  {}", plain(&of.services.join(", ")))?;
        }
        let groups =
            [("Protected", &self.protected), ("Exempt", &self.exempt), ("Kept", &self.kept), ("Noted", &self.noted)];
        for (title, groups) in groups.into_iter().filter(|(_, groups)| !groups.is_empty()) {
            writeln!(out, "\n  {title}")?;
            for group in groups {
                group.write(out)?;
            }
        }
        if !self.treatments.is_empty() {
            writeln!(out, "\n  The operator's own treatments, which count before the groups above")?;
        }
        for of in &self.treatments {
            let under = of.prohibition.map(|id| format!(" under {id}")).unwrap_or_default();
            writeln!(out, "    {}: {}{}", plain(of.service), of.treatment, plain(&under))?;
        }
        if !self.facts.is_empty() {
            writeln!(out, "\n  Facts, and how well each is verified")?;
        }
        for fact in &self.facts {
            writeln!(out, "    {:11} {}", fact.verification, plain(fact.text))?;
        }
        Ok(())
    }
}

impl<'a> ShownTreatment<'a> {
    fn new(of: &'a OperatorTreatment) -> Self {
        let (treatment, prohibition) = match &of.choice {
            TreatmentChoice::Noted => ("noted", None),
            TreatmentChoice::Exempt => ("exempt", None),
            TreatmentChoice::Kept => ("kept", None),
            TreatmentChoice::Prohibited(id) => ("prohibited", Some(id.as_str())),
        };
        Self { service: &of.service, treatment, prohibition }
    }
}

impl Group<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let services = self.services.join(", ");
        write!(out, "    {}: {}", plain(&services), plain(self.reason))?;
        let then = self.then.as_ref().map(|then| format!("then {then}"));
        let until = self.until.as_ref().map(|until| format!("until {until}"));
        let words = self.verification.map(|word| format!("verified: {word}"));
        let more: Vec<_> = [self.exemption.map(str::to_owned), words, until, then].into_iter().flatten().collect();
        if !more.is_empty() {
            write!(out, " [{}]", plain(&more.join(", ")))?;
        }
        writeln!(out)
    }
}

/// Says when services are no longer kept: at the order's instant or at the operator's, whichever comes first.
fn kept_until(order: Option<Timestamp>, removal: Removal) -> Option<String> {
    match (order, removal) {
        (_, Removal::Finished) => Some("now: removal is finished".to_owned()),
        (Some(order), Removal::Until(own)) => Some(order.min(own).to_string()),
        (Some(instant), Removal::Running) | (None, Removal::Until(instant)) => Some(instant.to_string()),
        (None, Removal::Running) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_tells_where_a_prohibition_stands_and_when_that_ends() {
        let instant = |second| Timestamp::from_second(second).unwrap();
        let ended = Validity::new(instant(10), Some(instant(20))).unwrap();
        let open = Validity::new(instant(10), None).unwrap();
        for (validity, at, word, next) in [
            (ended, 9, "monitored", Some(10)),
            (ended, 10, "in force", Some(20)),
            (ended, 19, "in force", Some(20)),
            (ended, 20, "lifted", None),
            (open, 20, "in force", None),
        ] {
            let phase = Phase::of(validity, instant(at));
            assert_eq!((phase.as_str(), phase.next()), (word, next.map(instant)), "{validity:?} at {at}");
        }
    }
}
