//! The section of how much a client may ask.

use super::{key, number};
use crate::config::spec::{Key, Kind, Section};

pub(super) const SECTION: Section = Section {
    name: "limit",
    doc: &[
        "How much a client may ask. At first that holds for nobody, since `[listen] allow` lets exempt networks in alone.",
        "Over TCP, queries beyond it wait; over UDP, where senders can be forged, they get no answer but by `slip`. They are",
        "counted, in the records too: `rate_limited` and `rate_slipped`.",
    ],
    keys: KEYS,
};

const KEYS: &[Key] = &[
    number(
        "queries_per_second",
        (0, 100_000),
        "100",
        "queries",
        &["Queries a second that one client may ask for long; 0 for any number."],
    ),
    number("burst", (1, 100_000), "500", "queries", &["Queries that it may ask at once after a pause."]),
    number(
        "ipv4_prefix",
        (8, 32),
        "32",
        "bits",
        &["The length of the prefix that is one client, here and for connections."],
    ),
    number(
        "ipv6_prefix",
        (16, 64),
        "56",
        "bits",
        &["The same for IPv6; one line often has all the addresses of a /56."],
    ),
    key(
        "exempt",
        Kind::Networks { least: 0 },
        r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"]"#,
        "",
        &[
            "Networks that may ask any number, where each address is a client of its own. Forwarders that ask for many and",
            "have public addresses belong here too.",
        ],
    ),
    number(
        "slip",
        (0, 10),
        "2",
        "queries",
        &[
            "Of so many queries over the limit, one is answered over UDP, by an empty answer with TC, which is no longer than",
            "the query and lets whoever really asked come back over TCP. 0 for none, 1 for each.",
        ],
    ),
];
