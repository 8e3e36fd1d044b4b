//! The operator's choices as archives write them: apart from the types of `policy`, so that a change there cannot change
//! old digests unseen.
//!
//! Canonical JSON sorts keys: fields stand in alphabetical order here, and a test compares with another implementation.
//! What is not chosen is left out, so that a policy without it keeps its digest.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::Group;
use crate::policy::{
    Apply, Demand, Mode, Operator, OperatorTreatment, Party, Phase, Removal, Rules, Scope, Sink, Term, TreatmentChoice,
    Waiver,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choices {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    applies: Vec<ApplyForm>,
    demand: DemandWord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<ModeWord>,
    removal: RemovalWord,
    treatments: Vec<OwnTreatment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waivers: Vec<WaiverForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    demand: Option<DemandWord>,
    groups: Vec<String>,
    order: String,
    phase: PhaseWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sink: Option<SinkWord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PhaseWord {
    Enforce,
    Monitor { until: Option<Timestamp> },
    Off,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SinkWord {
    Nxdomain,
    Nodata,
    Refused,
    Address { v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeWord {
    Monitor,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DemandWord {
    Own,
    External,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RemovalWord {
    Running,
    Until(Timestamp),
    Finished,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnTreatment {
    choice: ChoiceWord,
    order: String,
    service: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceWord {
    Noted,
    Exempt,
    Kept,
    Prohibited(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupForm {
    devices: Vec<String>,
    name: String,
    names: Vec<String>,
    networks: Vec<ipnet::IpNet>,
}

/// A waiver as files of this program write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiverForm {
    approver: String,
    clients: Vec<PartyForm>,
    from: Timestamp,
    id: String,
    names: Vec<String>,
    reason: String,
    rules: RulesForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PartyForm {
    Group(String),
    Network(ipnet::IpNet),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RulesForm {
    Everything,
    Order { order: String, services: Vec<String> },
    Service { catalogue: String, service: String },
}

impl From<&Operator> for Choices {
    fn from(operator: &Operator) -> Self {
        // Taken apart field by field, so that a field added to `Operator` has to be dealt with here.
        let Operator { mode, demand, removal, treatments, groups, applies, waivers } = operator;
        Self {
            applies: applies.iter().map(ApplyForm::from).collect(),
            demand: (*demand).into(),
            groups: groups.iter().map(GroupForm::from).collect(),
            mode: match mode {
                Mode::Enforce => None,
                Mode::Monitor => Some(ModeWord::Monitor),
            },
            removal: match removal {
                Removal::Running => RemovalWord::Running,
                Removal::Until(until) => RemovalWord::Until(*until),
                Removal::Finished => RemovalWord::Finished,
            },
            treatments: treatments.iter().map(OwnTreatment::from).collect(),
            waivers: waivers.iter().map(WaiverForm::from).collect(),
        }
    }
}

impl TryFrom<Choices> for Operator {
    type Error = String;

    /// Says which text of a group or waiver is not what it should be.
    fn try_from(choices: Choices) -> Result<Self, String> {
        let Choices { applies, demand, groups, mode, removal, treatments, waivers } = choices;
        Ok(Self {
            mode: match mode {
                None => Mode::Enforce,
                Some(ModeWord::Monitor) => Mode::Monitor,
            },
            demand: demand.into(),
            removal: match removal {
                RemovalWord::Running => Removal::Running,
                RemovalWord::Until(until) => Removal::Until(until),
                RemovalWord::Finished => Removal::Finished,
            },
            treatments: treatments.into_iter().map(OperatorTreatment::from).collect(),
            groups: groups.into_iter().map(Group::try_from).collect::<Result<_, _>>()?,
            applies: applies.into_iter().map(Apply::from).collect(),
            waivers: waivers.into_iter().map(Waiver::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Demand> for DemandWord {
    fn from(demand: Demand) -> Self {
        match demand {
            Demand::Own => Self::Own,
            Demand::External => Self::External,
        }
    }
}

impl From<DemandWord> for Demand {
    fn from(word: DemandWord) -> Self {
        match word {
            DemandWord::Own => Self::Own,
            DemandWord::External => Self::External,
        }
    }
}

impl From<&OperatorTreatment> for OwnTreatment {
    fn from(OperatorTreatment { order, service, choice }: &OperatorTreatment) -> Self {
        let choice = match choice {
            TreatmentChoice::Noted => ChoiceWord::Noted,
            TreatmentChoice::Exempt => ChoiceWord::Exempt,
            TreatmentChoice::Kept => ChoiceWord::Kept,
            TreatmentChoice::Prohibited(id) => ChoiceWord::Prohibited(id.clone()),
        };
        Self { choice, order: order.clone(), service: service.clone() }
    }
}

impl From<OwnTreatment> for OperatorTreatment {
    fn from(OwnTreatment { choice, order, service }: OwnTreatment) -> Self {
        let choice = match choice {
            ChoiceWord::Noted => TreatmentChoice::Noted,
            ChoiceWord::Exempt => TreatmentChoice::Exempt,
            ChoiceWord::Kept => TreatmentChoice::Kept,
            ChoiceWord::Prohibited(id) => TreatmentChoice::Prohibited(id),
        };
        Self { order, service, choice }
    }
}

impl From<&Apply> for ApplyForm {
    fn from(Apply { order, groups, phase, demand, sink }: &Apply) -> Self {
        Self {
            demand: demand.map(DemandWord::from),
            groups: groups.clone(),
            order: order.clone(),
            phase: match phase {
                Phase::Enforce => PhaseWord::Enforce,
                Phase::Monitor { until } => PhaseWord::Monitor { until: *until },
                Phase::Off => PhaseWord::Off,
            },
            sink: sink.map(|sink| match sink {
                Sink::Nxdomain => SinkWord::Nxdomain,
                Sink::Nodata => SinkWord::Nodata,
                Sink::Refused => SinkWord::Refused,
                Sink::Address { v4, v6 } => SinkWord::Address { v4, v6 },
            }),
        }
    }
}

impl From<ApplyForm> for Apply {
    fn from(ApplyForm { demand, groups, order, phase, sink }: ApplyForm) -> Self {
        Self {
            order,
            groups,
            phase: match phase {
                PhaseWord::Enforce => Phase::Enforce,
                PhaseWord::Monitor { until } => Phase::Monitor { until },
                PhaseWord::Off => Phase::Off,
            },
            demand: demand.map(Demand::from),
            sink: sink.map(|sink| match sink {
                SinkWord::Nxdomain => Sink::Nxdomain,
                SinkWord::Nodata => Sink::Nodata,
                SinkWord::Refused => Sink::Refused,
                SinkWord::Address { v4, v6 } => Sink::Address { v4, v6 },
            }),
        }
    }
}

impl From<&Group> for GroupForm {
    fn from(Group { name, networks, devices, names }: &Group) -> Self {
        Self {
            devices: devices.iter().map(ToString::to_string).collect(),
            name: name.clone(),
            names: names.iter().map(ToString::to_string).collect(),
            networks: networks.clone(),
        }
    }
}

impl TryFrom<GroupForm> for Group {
    type Error = String;

    fn try_from(GroupForm { devices, name, names, networks }: GroupForm) -> Result<Self, String> {
        Ok(Self { name, networks, devices: parsed(&devices)?, names: parsed(&names)? })
    }
}

impl From<&Waiver> for WaiverForm {
    fn from(Waiver { id, scope, term, reason, approver, ticket }: &Waiver) -> Self {
        let Scope { clients, rules, names } = scope;
        let party = |party: &Party| match party {
            Party::Group(name) => PartyForm::Group(name.clone()),
            Party::Network(network) => PartyForm::Network(*network),
        };
        Self {
            approver: approver.clone(),
            clients: clients.iter().map(party).collect(),
            from: term.from(),
            id: id.clone(),
            names: names.iter().map(ToString::to_string).collect(),
            reason: reason.clone(),
            rules: match rules {
                Rules::Everything => RulesForm::Everything,
                Rules::Order { order, services } => {
                    RulesForm::Order { order: order.clone(), services: services.clone() }
                }
                Rules::Service { catalogue, service } => {
                    RulesForm::Service { catalogue: catalogue.clone(), service: service.clone() }
                }
            },
            ticket: ticket.clone(),
            until: term.until(),
        }
    }
}

impl TryFrom<WaiverForm> for Waiver {
    type Error = String;

    /// Says which name or period is none.
    fn try_from(form: WaiverForm) -> Result<Self, String> {
        let WaiverForm { approver, clients, from, id, names, reason, rules, ticket, until } = form;
        let party = |party| match party {
            PartyForm::Group(name) => Party::Group(name),
            PartyForm::Network(network) => Party::Network(network),
        };
        let rules = match rules {
            RulesForm::Everything => Rules::Everything,
            RulesForm::Order { order, services } => Rules::Order { order, services },
            RulesForm::Service { catalogue, service } => Rules::Service { catalogue, service },
        };
        let scope = Scope { clients: clients.into_iter().map(party).collect(), rules, names: parsed(&names)? };
        let term = Term::new(from, until).map_err(|error| format!("the term of {id}: {error}"))?;
        Ok(Self { id, scope, term, reason, approver, ticket })
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(texts: &[String]) -> Result<Vec<T>, String> {
    texts.iter().map(|text| text.parse().map_err(|error| format!("`{}`: {error}", text.escape_debug()))).collect()
}
