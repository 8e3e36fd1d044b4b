//! The files that the program carries, by the names under which a configuration chooses them.

/// Catalogues: names of services.
pub(super) const CATALOGUES: &[(&str, &str)] = &[("kaspersky", include_str!("catalogues/kaspersky.toml"))];

/// Orders: dated prohibitions of services.
pub(super) const ORDERS: &[(&str, &str)] = &[
    ("us-commerce-2024", include_str!("orders/us-commerce-2024.toml")),
    ("us-ndaa-1634", include_str!("orders/us-ndaa-1634.toml")),
    ("us-far-52-204-23", include_str!("orders/us-far-52-204-23.toml")),
    ("us-bod-17-01", include_str!("orders/us-bod-17-01.toml")),
    ("us-texas-2023", include_str!("orders/us-texas-2023.toml")),
    ("us-maryland-2022", include_str!("orders/us-maryland-2022.toml")),
    ("us-new-jersey-2023", include_str!("orders/us-new-jersey-2023.toml")),
    ("us-vermont-2019", include_str!("orders/us-vermont-2019.toml")),
    ("ca-mobile-2023", include_str!("orders/ca-mobile-2023.toml")),
    ("au-pspf-002-2025", include_str!("orders/au-pspf-002-2025.toml")),
];

/// The orders that are chosen where a configuration says nothing. The others bind only some networks, and stricter.
pub(super) const DEFAULT_ORDERS: &[&str] = &["us-commerce-2024"];

/// Catalogues for measures that a network takes by its own choice; switched on by name or by the configuration's switches.
pub(super) const MEASURE_CATALOGUES: &[(&str, &str)] = &[("ways-round", include_str!("catalogues/ways-round.toml"))];

/// Measures that a network takes by its own choice, in the form of orders; no law asks for them.
pub(super) const MEASURES: &[(&str, &str)] = &[("ways-round", include_str!("orders/ways-round.toml"))];
