//! The sections of what a network withholds by its own choice.

use super::key;
use crate::config::spec::{Key, Kind, Section};

pub(super) const WAYS_ROUND: Section = Section {
    name: "ways_round",
    doc: &[
        "Ways round this resolver that the network withholds by its own choice; no law asks for it. The names are in the",
        "shipped catalogue `ways-round`, look-ups of them are recorded under the shipped order of that name.",
    ],
    keys: WAYS_ROUND_KEYS,
};

pub(super) const REBINDING: Section = Section {
    name: "rebinding",
    doc: &["Names of others with addresses of this network, by which a web page reaches what a firewall protects."],
    keys: REBINDING_KEYS,
};

const WAYS_ROUND_KEYS: &[Key] = &[
    key(
        "canary",
        Kind::Switch,
        "false",
        "",
        &["Whether browsers are told, by use-application-dns.net, not to ask resolvers of their own choice."],
    ),
    key(
        "relay",
        Kind::Switch,
        "false",
        "",
        &["Whether names of relays are withheld that carry look-ups past this resolver (iCloud Private Relay)."],
    ),
    key(
        "discovery",
        Kind::Switch,
        "false",
        "",
        &["Whether the discovery of encrypted resolvers by _dns.resolver.arpa is withheld and recorded (RFC 9462)."],
    ),
    key(
        "public_resolvers",
        Kind::Switch,
        "false",
        "",
        &["Whether names of public resolvers are withheld, and answers that tell their addresses."],
    ),
    key(
        "ech",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether keys for Encrypted ClientHello, which hide from a firewall which name a connection is for, are taken",
            "out of answers. Sets of records that had some lose their signatures.",
        ],
    ),
    key(
        "catalogue",
        Kind::Text { least: 1, most: 4096 },
        r#""ways-round""#,
        "",
        &["The catalogue of these names: the shipped one, or a file of your own with the same id and services."],
    ),
];

const REBINDING_KEYS: &[Key] = &[
    key(
        "protect",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether an upstream's answer that tells a private, shared, link-local, loopback or unspecified address is",
            "withheld. Zones that are answered here or have servers of their own may have such addresses.",
        ],
    ),
    key(
        "allow",
        Kind::Names,
        "[]",
        "",
        &["Further zones whose names may have private addresses, such as \"corp.example\"."],
    ),
];
