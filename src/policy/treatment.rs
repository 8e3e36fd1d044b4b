//! How an order and the operator treat each service of a catalogue.

use super::catalogue::Catalogue;
use super::contradiction::CompileError;
use super::order::{Operator, Order, TreatmentChoice};

/// How one order treats a service. Indexes into the lists of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Protected(usize),
    /// `None` by the operator's choice.
    Exempt(Option<usize>),
    Kept(Option<usize>),
    Prohibited(usize),
    Noted,
}

/// Says for each service of `catalogue` how `order` and the operator treat it.
pub(super) fn treat(
    order: &Order,
    catalogue: &Catalogue,
    operator: &Operator,
    errors: &mut Vec<CompileError>,
) -> Vec<Vec<Treatment>> {
    let mut treatments = vec![Vec::new(); catalogue.services.len()];
    let groups = (order.protected.iter().enumerate().map(|(at, of)| (&of.services, Treatment::Protected(at))))
        .chain(order.exempt.iter().enumerate().map(|(at, of)| (&of.services, Treatment::Exempt(Some(at)))))
        .chain(order.kept.iter().enumerate().map(|(at, of)| (&of.services, Treatment::Kept(Some(at)))))
        .chain(order.prohibitions.iter().enumerate().map(|(at, of)| (&of.services, Treatment::Prohibited(at))))
        .chain(order.noted.iter().map(|of| (&of.services, Treatment::Noted)));
    let position = |service: &str| catalogue.services.iter().position(|of| of.id == service);
    for (services, treatment) in groups {
        for service in services {
            match position(service) {
                Some(position) => treatments[position].push(treatment),
                None => errors.push(unknown_service(order, service)),
            }
        }
    }
    for (treatments, service) in treatments.iter().zip(&catalogue.services) {
        let prohibitions = treatments.iter().filter(|of| matches!(of, Treatment::Prohibited(_))).count();
        match treatments.len() {
            0 => errors.push(CompileError::Untreated { order: order.id.clone(), service: service.id.clone() }),
            1 => {}
            several if several == prohibitions => {}
            _ => errors.push(CompileError::Contradiction { order: order.id.clone(), service: service.id.clone() }),
        }
    }
    for own in operator.treatments.iter().filter(|own| own.order == order.id) {
        let Some(position) = position(&own.service) else {
            errors.push(unknown_service(order, &own.service));
            continue;
        };
        let protected = matches!(treatments[position][..], [Treatment::Protected(_)]);
        treatments[position] = vec![match &own.choice {
            TreatmentChoice::Noted => Treatment::Noted,
            TreatmentChoice::Exempt => Treatment::Exempt(None),
            TreatmentChoice::Kept => match treatments[position][..] {
                [kept @ Treatment::Kept(_)] => kept,
                _ => Treatment::Kept(None),
            },
            TreatmentChoice::Prohibited(_) if protected => {
                let (order, service) = (order.id.clone(), own.service.clone());
                errors.push(CompileError::ProhibitsProtected { order, service });
                continue;
            }
            TreatmentChoice::Prohibited(id) => match order.prohibitions.iter().position(|of| of.id == *id) {
                Some(prohibition) => Treatment::Prohibited(prohibition),
                None => {
                    let (order, prohibition) = (order.id.clone(), id.clone());
                    errors.push(CompileError::UnknownProhibition { order, prohibition });
                    continue;
                }
            },
        }];
    }
    treatments
}

fn unknown_service(order: &Order, service: &str) -> CompileError {
    CompileError::UnknownService {
        order: order.id.clone(),
        service: service.to_owned(),
        catalogue: order.catalogue.clone(),
    }
}
