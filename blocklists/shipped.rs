//! The files that the program carries, by the names under which a configuration chooses them.

/// Catalogues: names of services.
pub(super) const CATALOGUES: &[(&str, &str)] = &[("kaspersky", include_str!("catalogues/kaspersky.toml"))];

/// Orders: dated prohibitions of services.
pub(super) const ORDERS: &[(&str, &str)] = &[("us-commerce-2024", include_str!("orders/us-commerce-2024.toml"))];
