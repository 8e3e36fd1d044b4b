//! One zone in memory, and what it says of a name (RFC 1034, section 4.3.2; RFC 4592; RFC 6672).
//!
//! hickory-server's own zone takes every wildcard above a name for its source, denies names that only have names below
//! them, and knows no DNAME; the catalog asks this one instead.

use std::collections::{BTreeMap, HashMap};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::CNAME;
use hickory_server::proto::rr::{DNSClass, LowerName, RData, Record, TSigResponseContext};
use hickory_server::server::{Request, RequestInfo};
use hickory_server::zone_handler::{
    AuthLookup, AxfrPolicy, LookupControlFlow, LookupError, LookupOptions, LookupRecords, ZoneHandler, ZoneTransfer,
    ZoneType,
};

use super::{hickory, lower};
use crate::message::{Name, RecordType};

/// Where the question of a message starts: behind the header (RFC 1035, section 4.1.1).
const QUESTION: usize = 12;
/// Delegation signer (RFC 4034, section 5); lives in the zone above.
pub(super) const DS: RecordType = RecordType(43);

/// The records of one name, by type. Empty for a name that only has names below it.
type Node = BTreeMap<RecordType, Vec<Record>>;

/// What a zone says of a name and type.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Records(Vec<Record>),
    /// The name exists, without records of the type.
    NoData,
    NoName,
}

/// A zone and its records.
pub(super) struct Zone {
    origin: Name,
    lower: LowerName,
    nodes: HashMap<Name, Node, foldhash::fast::RandomState>,
    /// Whether every name below the origin exists, though without records (RFC 9462, section 6.4).
    everything_exists: bool,
}

impl Zone {
    pub(super) fn new(origin: &Name) -> Self {
        let nodes = HashMap::from_iter([(origin.clone(), Node::new())]);
        Self { origin: origin.clone(), lower: lower(origin), nodes, everything_exists: false }
    }

    /// Makes every name below the origin exist.
    pub(super) fn let_everything_exist(&mut self) {
        self.everything_exists = true;
    }

    /// Adds a record; one that is there already changes nothing.
    ///
    /// # Errors
    /// Why the record cannot stand in this zone.
    pub(super) fn add(&mut self, name: &Name, record: Record) -> Result<(), String> {
        let record_type = RecordType(record.record_type().into());
        let at_origin = *name == self.origin;
        if !name.is_at_or_below(&self.origin) {
            return Err(format!("{name} does not belong to the zone"));
        }
        match record_type {
            RecordType::SOA if !at_origin => return Err("an SOA record belongs to the zone's own name".to_owned()),
            RecordType::NS if !at_origin => {
                return Err(
                    "delegations are not followed; forward the zone below instead ([[upstream.zones]])".to_owned()
                );
            }
            RecordType::CNAME if at_origin => return Err("the zone's own name cannot be an alias".to_owned()),
            _ => {}
        }
        let node = self.nodes.entry(name.clone()).or_default();
        let single = record_type == RecordType::CNAME || record_type == RecordType::SOA;
        let present = node.get(&record_type).is_some_and(|records| records.iter().any(|of| of.data == record.data));
        if single && !present && node.contains_key(&record_type) {
            return Err(format!("{name} has a record of type {record_type} already"));
        }
        if node.keys().any(|of| *of != record_type && [*of, record_type].contains(&RecordType::CNAME)) {
            return Err(format!("{name} cannot be an alias and have other records"));
        }
        if !present {
            let records = node.entry(record_type).or_default();
            records.push(record);
            // RFC 2181, section 5.2: one TTL for all records of a type, the least.
            let ttl = records.iter().map(|of| of.ttl).min().unwrap_or_default();
            records.iter_mut().for_each(|of| of.ttl = ttl);
        }
        let mut above = name.parent();
        while let Some(parent) = above.filter(|parent| parent.is_at_or_below(&self.origin)) {
            above = parent.parent();
            self.nodes.entry(parent).or_default();
        }
        Ok(())
    }

    /// Returns why the zone as a whole cannot be served, if it cannot.
    pub(super) fn fault(&self) -> Option<String> {
        if !self.nodes[&self.origin].contains_key(&RecordType::SOA) {
            let example = "@ 3600 IN SOA ns.example. hostmaster.example. 1 3600 1200 604800 300";
            return Some(format!("it has no SOA record; start it with one, such as `{example}`"));
        }
        let renamed = self.nodes.iter().filter(|(_, node)| node.contains_key(&RecordType::DNAME)).map(|(name, _)| name);
        let mut below =
            renamed.flat_map(|name| self.nodes.keys().filter(move |of| *of != name && of.is_at_or_below(name)));
        below.next().map(|name| format!("{name} stands below a name with a DNAME record"))
    }

    /// Returns what the zone says of a name in it.
    pub(super) fn look_up(&self, name: &Name, record_type: RecordType) -> Found {
        if let Some(renamed) = self.renamed(name) {
            return renamed;
        }
        if let Some(node) = self.nodes.get(name) {
            return select(node, name, record_type);
        }
        // RFC 4592, section 3.3.1: only the wildcard right below the closest name that exists is a source.
        let encloser = name.suffixes().skip(1).find(|wire| self.nodes.contains_key(*wire));
        let wildcard = encloser.and_then(|wire| Name::from_wire(&[b"\x01*", wire].concat()).ok());
        match wildcard.and_then(|wildcard| self.nodes.get(&wildcard)) {
            Some(node) => select(node, name, record_type),
            None if self.everything_exists => Found::NoData,
            None => Found::NoName,
        }
    }

    /// Returns the alias of a name below one with a DNAME record, and that record (RFC 6672, section 3.1).
    fn renamed(&self, name: &Name) -> Option<Found> {
        let (owner, record) = name.suffixes().skip(1).find_map(|wire| {
            let (owner, node) = self.nodes.get_key_value(wire)?;
            Some((owner, node.get(&RecordType::DNAME)?.first()?))
        })?;
        let RData::Unknown { rdata, .. } = &record.data else { return None };
        let kept = &name.as_wire()[..name.as_wire().len() - owner.as_wire().len()];
        // A name that grows too long has no alias; there is nothing that it could be answered with.
        let Ok(target) = Name::from_wire(&[kept, rdata.anything.as_slice()].concat()) else {
            return Some(Found::NoName);
        };
        let alias = Record::from_rdata(hickory(name), record.ttl, RData::CNAME(CNAME(hickory(&target))));
        Some(Found::Records(vec![record.clone(), alias]))
    }

    /// Returns the zone's records of this type at its own name.
    fn at_origin(&self, record_type: RecordType) -> Vec<Record> {
        self.nodes[&self.origin].get(&record_type).cloned().unwrap_or_default()
    }
}

fn select(node: &Node, name: &Name, record_type: RecordType) -> Found {
    let records = match record_type {
        // RFC 8482, section 4.1: one of the sets is enough.
        RecordType::ANY => node.values().next(),
        _ => node.get(&record_type).or_else(|| node.get(&RecordType::CNAME)),
    };
    let Some(records) = records else { return Found::NoData };
    let mut records = records.clone();
    // Records of a wildcard are those of the name asked for.
    records.iter_mut().for_each(|record| record.name = hickory(name));
    Found::Records(records)
}

type Answer = (LookupControlFlow<AuthLookup>, Option<TSigResponseContext>);

fn records(records: Vec<Record>) -> LookupControlFlow<AuthLookup> {
    LookupControlFlow::Break(Ok(AuthLookup::answers(LookupRecords::Section(records), None)))
}

fn refused() -> LookupError {
    LookupError::from(ResponseCode::Refused)
}

#[async_trait::async_trait]
impl ZoneHandler for Zone {
    fn zone_type(&self) -> ZoneType {
        ZoneType::Primary
    }

    fn axfr_policy(&self) -> AxfrPolicy {
        AxfrPolicy::Deny
    }

    fn origin(&self) -> &LowerName {
        &self.lower
    }

    /// What the catalog adds to an answer: the SOA of a negative one, with the TTL that it gives (RFC 2308, section 3),
    /// and the name servers beside an SOA.
    async fn lookup(
        &self,
        _: &LowerName,
        record_type: hickory_server::proto::rr::RecordType,
        _: Option<&RequestInfo<'_>>,
        _: LookupOptions,
    ) -> LookupControlFlow<AuthLookup> {
        let mut found = self.at_origin(RecordType(record_type.into()));
        for record in &mut found {
            if let RData::SOA(soa) = &record.data {
                record.ttl = record.ttl.min(soa.minimum);
            }
        }
        records(found)
    }

    async fn search(&self, request: &Request, _: LookupOptions) -> Answer {
        let name = Name::read(request.as_slice(), QUESTION).map(|(name, _)| name);
        let (Ok(name), Ok(info)) = (name, request.request_info()) else {
            return (LookupControlFlow::Break(Err(refused())), None);
        };
        let record_type = RecordType(info.query.query_type().into());
        let is_transfer = matches!(record_type, RecordType::AXFR | RecordType::IXFR);
        if info.query.query_class() != DNSClass::IN || is_transfer {
            return (LookupControlFlow::Break(Err(refused())), None);
        }
        let answer = match self.look_up(&name, record_type) {
            Found::Records(found) => records(found),
            Found::NoData => LookupControlFlow::Break(Err(LookupError::NameExists)),
            Found::NoName => LookupControlFlow::Break(Err(LookupError::from(ResponseCode::NXDomain))),
        };
        (answer, None)
    }

    async fn nsec_records(&self, _: &LowerName, _: LookupOptions) -> LookupControlFlow<AuthLookup> {
        LookupControlFlow::Break(Ok(AuthLookup::default()))
    }

    async fn zone_transfer(
        &self,
        _: &Request,
        _: LookupOptions,
        _: u64,
    ) -> Option<(Result<ZoneTransfer, LookupError>, Option<TSigResponseContext>)> {
        Some((Err(refused()), None))
    }
}
