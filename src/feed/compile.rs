//! From documents to a snapshot: reads each, then tells what contradicts what.

use toml::de::DeTable;

use super::archive::Archive;
use super::catalogue::{self, ReadCatalogue};
use super::fault::{Choice, Fault, quote};
use super::files::{Document, Kind};
use super::order::{self, ReadOrder};
use super::sheet::{Keys, Sheet};
use crate::client::{DEFAULT_GROUP, Group};
use crate::policy::{CompileError, Inputs, Snapshot};

/// The version of the file formats that this program reads.
const FORMAT: i64 = 1;
/// Where faults in the operator's own choices are told to be.
const CONFIGURATION: &str = "configuration";

pub(super) fn compile(archive: &Archive, number: u64) -> Result<Snapshot, Vec<Fault>> {
    let (files, mut faults) = Files::of(archive);
    if !faults.is_empty() {
        // What does not depend on the faults is told too, so that one round of mending is enough.
        let mut independent = files.unknown_services();
        independent
            .extend(files.order_ids_all().iter().flat_map(|ids| CompileError::of_orders(archive.operator(), ids)));
        independent.extend(CompileError::of_groups(archive.operator()));
        faults.extend(independent.iter().flat_map(|error| files.locate(error)));
        return Err(faults);
    }
    let inputs = Inputs {
        catalogues: files.catalogues.iter().filter_map(|(_, read)| read.catalogue.clone()).collect(),
        orders: files.orders.iter().filter_map(|(_, read)| read.order.clone()).collect(),
        operator: archive.operator().clone(),
    };
    Snapshot::compile(number, archive.digest(), inputs)
        .map_err(|errors| errors.iter().flat_map(|error| files.locate(error)).collect())
}

/// Returns the faults of the documents and of groups, which depend on no document that might be lacking.
pub(super) fn faults_by_themselves(archive: &Archive) -> Vec<Fault> {
    let (files, mut faults) = Files::of(archive);
    let groups = CompileError::of_groups(archive.operator());
    faults.extend(groups.iter().flat_map(|error| files.locate(error)));
    faults
}

/// Reads a document by itself, and returns its version where it has one.
pub(super) fn version(document: &Document) -> Result<Option<u64>, Vec<Fault>> {
    let mut files = Files { catalogues: Vec::new(), orders: Vec::new(), groups: &[] };
    let faults = files.read(document);
    if !faults.is_empty() {
        return Err(faults);
    }
    let catalogues = files.catalogues.iter().map(|(_, read)| read.version);
    Ok(catalogues.chain(files.orders.iter().map(|(_, read)| read.version)).next().flatten())
}

/// The documents, read, each with its lines.
struct Files<'a> {
    catalogues: Vec<(Sheet<'a>, ReadCatalogue)>,
    orders: Vec<(Sheet<'a>, ReadOrder)>,
    groups: &'a [Group],
}

impl<'a> Files<'a> {
    fn of(archive: &'a Archive) -> (Self, Vec<Fault>) {
        let groups = &archive.operator().groups;
        let mut files = Files { catalogues: Vec::new(), orders: Vec::new(), groups };
        let faults = archive.documents().iter().flat_map(|document| files.read(document)).collect();
        (files, faults)
    }

    /// Returns the ids of all orders, unless one has none that can be read.
    fn order_ids_all(&self) -> Option<Vec<&str>> {
        self.orders.iter().map(|(_, read)| read.id.as_ref().map(|id| id.text.as_str())).collect()
    }

    fn read(&mut self, document: &'a Document) -> Vec<Fault> {
        let mut sheet = Sheet::new(&document.path, &document.text);
        let table = sheet.parse();
        let mut keys = Keys::new(table.get_ref(), head(table.get_ref()), "the file");
        if !is_right_kind(&mut sheet, &mut keys, document.kind) {
            // The other keys mean nothing in a file of another kind or format.
            return sheet.take_faults();
        }
        match document.kind {
            Kind::Catalogue => {
                let read = catalogue::read(&mut sheet, &mut keys);
                keys.finish(&mut sheet);
                let faults = sheet.take_faults();
                self.catalogues.push((sheet, read));
                faults
            }
            Kind::Order => {
                let read = order::read(&mut sheet, &mut keys);
                keys.finish(&mut sheet);
                let faults = sheet.take_faults();
                self.orders.push((sheet, read));
                faults
            }
        }
    }

    /// Returns the services that orders name and their catalogues do not have, each once an order.
    fn unknown_services(&self) -> Vec<CompileError> {
        let mut errors = Vec::new();
        for (_, order) in &self.orders {
            let (Some(id), Some(catalogue)) = (&order.id, &order.catalogue) else { continue };
            let is_meant = |of: &ReadCatalogue| of.id.as_ref().is_some_and(|id| id.text == catalogue.text);
            let Some((_, of)) = self.catalogues.iter().find(|(_, of)| is_meant(of)) else { continue };
            for service in &order.services {
                let (order, catalogue) = (id.text.clone(), catalogue.text.clone());
                let error = CompileError::UnknownService { order, service: service.text.clone(), catalogue };
                if !of.services.iter().any(|known| known.id == service.text) && !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        errors
    }

    /// Says where the fault lies: in the last place that names it, for the files before were consistent until then.
    fn locate(&self, error: &CompileError) -> Option<Fault> {
        let order = |id: &str| self.orders.iter().rfind(|(_, read)| read.id.as_ref().is_some_and(|of| of.text == id));
        let in_order = |id: &str, service: Option<&str>, remedy: String| {
            let (sheet, read) = order(id)?;
            let named = service.and_then(|service| read.services.iter().rfind(|named| named.text == service));
            Some(sheet.at(named.or(read.id.as_ref()), error.to_string(), remedy))
        };
        let in_configuration = |remedy: String| {
            let fault = Fault::of(CONFIGURATION, error.to_string(), remedy);
            Some(Fault { choice: choice(error).map(Box::new), ..fault })
        };
        match error {
            CompileError::DuplicateCatalogue(id) => {
                let (sheet, read) =
                    self.catalogues.iter().rfind(|(_, read)| read.id.as_ref().is_some_and(|of| of.text == *id))?;
                Some(sheet.at(read.id.as_ref(), error.to_string(), "give each its own id, or choose one of them"))
            }
            CompileError::DuplicateOrder(id) => {
                in_order(id, None, "give each its own id, or choose one of them".into())
            }
            CompileError::UnknownCatalogue { order: id, .. } => {
                let (sheet, read) = order(id)?;
                let remedy = format!("choose that catalogue too; chosen are: {}", self.catalogue_ids());
                Some(sheet.at(read.catalogue.as_ref(), error.to_string(), remedy))
            }
            CompileError::UnknownService { order: id, service, catalogue } => {
                let remedy = format!("name a service of that catalogue: {}", self.service_ids(catalogue));
                match order(id)?.1.services.iter().any(|named| named.text == *service) {
                    true => in_order(id, Some(service), remedy),
                    false => in_configuration(remedy),
                }
            }
            CompileError::Untreated { order: id, .. } => in_order(id, None, "`[[noted]]` only counts".into()),
            CompileError::Contradiction { order: id, service } => {
                in_order(id, Some(service), "only prohibitions may share a service".into())
            }
            CompileError::TreatmentOfUnknownOrder { .. } => {
                in_configuration(format!("name one of the orders that are chosen: {}", self.order_ids()))
            }
            CompileError::UnknownProhibition { order: id, .. } => {
                let prohibitions = order(id)?.1.order.iter().flat_map(|order| &order.prohibitions);
                let ids: Vec<_> = prohibitions.map(|prohibition| prohibition.id.as_str()).collect();
                in_configuration(format!("name one of its prohibitions: {}", ids.join(", ")))
            }
            CompileError::ProhibitsProtected { .. } => in_configuration("leave this service as it is".into()),
            CompileError::ApplyOfUnknownOrder { .. } | CompileError::WaiverOfUnknownOrder { .. } => {
                in_configuration(format!("name one of the orders that are chosen: {}", self.order_ids()))
            }
            CompileError::ApplyToUnknownGroup { .. } | CompileError::WaiverForUnknownGroup { .. } => {
                let names = self.groups.iter().map(|group| group.name.as_str());
                let names: Vec<_> = std::iter::once(DEFAULT_GROUP).chain(names).collect();
                in_configuration(format!("name one of the groups: {}", names.join(", ")))
            }
            CompileError::TooManyInstants(_) => in_configuration("make do with fewer waivers".into()),
            CompileError::DuplicateWaiver(_) => in_configuration("give each its own id".into()),
            CompileError::WaiverOfUnknownCatalogue { .. } => {
                in_configuration(format!("name one of the catalogues that are chosen: {}", self.catalogue_ids()))
            }
            CompileError::WaiverOfUnknownService { catalogue, .. } => {
                in_configuration(format!("name a service of that catalogue: {}", self.service_ids(catalogue)))
            }
        }
    }

    fn order_ids(&self) -> String {
        let ids = self.orders.iter().filter_map(|(_, read)| read.id.as_ref());
        ids.map(|id| id.text.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn catalogue_ids(&self) -> String {
        let ids = self.catalogues.iter().filter_map(|(_, read)| read.id.as_ref());
        ids.map(|id| quote(&id.text)).collect::<Vec<_>>().join(", ")
    }

    fn service_ids(&self, catalogue: &str) -> String {
        let is_meant = |read: &ReadCatalogue| read.id.as_ref().is_some_and(|id| id.text == catalogue);
        let services = self.catalogues.iter().filter(|(_, read)| is_meant(read)).flat_map(|(_, read)| &read.services);
        services.map(|service| service.id.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Returns which choice of the operator is at fault.
fn choice(error: &CompileError) -> Option<Choice> {
    let treatment = |order: &String, service: Option<&String>, prohibition: Option<&String>| Choice::Treatment {
        order: order.clone(),
        service: service.cloned(),
        prohibition: prohibition.cloned(),
    };
    Some(match error {
        CompileError::TreatmentOfUnknownOrder { order } => treatment(order, None, None),
        CompileError::UnknownProhibition { order, prohibition } => treatment(order, None, Some(prohibition)),
        CompileError::UnknownService { order, service, .. } | CompileError::ProhibitsProtected { order, service } => {
            treatment(order, Some(service), None)
        }
        CompileError::ApplyOfUnknownOrder { order } => Choice::Apply { order: order.clone(), group: None },
        CompileError::ApplyToUnknownGroup { order, group } => {
            Choice::Apply { order: order.clone(), group: Some(group.clone()) }
        }
        CompileError::WaiverForUnknownGroup { waiver, .. }
        | CompileError::DuplicateWaiver(waiver)
        | CompileError::WaiverOfUnknownOrder { waiver, .. }
        | CompileError::WaiverOfUnknownCatalogue { waiver, .. }
        | CompileError::WaiverOfUnknownService { waiver, .. } => Choice::Waiver(waiver.clone()),
        CompileError::DuplicateCatalogue(_)
        | CompileError::DuplicateOrder(_)
        | CompileError::UnknownCatalogue { .. }
        | CompileError::Untreated { .. }
        | CompileError::Contradiction { .. }
        | CompileError::TooManyInstants(_) => return None,
    })
}

fn is_right_kind(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>, chosen: Kind) -> bool {
    let format = keys.number(sheet, "format", "1");
    let known = match format {
        Some((FORMAT, _)) => true,
        Some((other, ref span)) => {
            sheet.fault(span, format!("`format` is {other}"), "this program reads format 1; a newer one may read more");
            false
        }
        None => false,
    };
    let kind = keys.word(sheet, "kind", &[("catalogue", Kind::Catalogue), ("order", Kind::Order)]);
    if let Some(kind) = kind.filter(|kind| *kind != chosen) {
        let span = keys.span.clone();
        let remedy = format!("choose it under the {kind}s instead");
        sheet.fault(&span, format!("the file is one of kind {kind}, but was chosen as {chosen}"), remedy);
    }
    known && kind == Some(chosen)
}

/// Returns the place of the first key, for faults that concern the whole of a file.
fn head(table: &DeTable<'_>) -> std::ops::Range<usize> {
    table.keys().map(toml::Spanned::span).min_by_key(|span| span.start).unwrap_or(0..0)
}
