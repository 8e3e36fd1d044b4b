//! The keys of `[upstream]`.

use super::{Kind, MANY, key, number, required};
use crate::config::spec::Key;

const fn strategy(doc: &'static [&'static str]) -> Key {
    key("strategy", Kind::Word(&["order", "fastest", "race", "round-robin"]), r#""order""#, "", doc)
}

pub(super) const KEYS: &[Key] = &[
    key(
        "servers",
        Kind::Upstreams { least: 0 },
        "[]",
        "",
        &[
            "\"address\" (port 53), \"address:port\" or \"[v6]:port\", at most 16. Empty for the resolvers of the system. Encrypted:",
            "\"tls://9.9.9.9#dns.quad9.net\" (DoT), \"https://dns.example/dns-query#192.0.2.1\" (DoH), \"quic://dns.example\" (DoQ),",
            "each with a port where it is another. Of name and address, either may stand first, and the other behind #. The",
            "certificate has to be for the name, or for the address where there is none.",
        ],
    ),
    strategy(&[
        "Whom of them to ask. \"order\": the first that answers. \"fastest\": by measured round-trip times, one question in 32",
        "being asked of another first, so that it is measured too. \"race\": the two fastest at once, and the first good",
        "answer counts. \"round-robin\": each in its turn. A server that gave no answer is asked last until it does.",
    ]),
    key(
        "bootstrap",
        Kind::Servers { least: 0 },
        "[]",
        "",
        &["Plain servers that are asked for the addresses of encrypted ones which are told by name only."],
    ),
    key(
        "ca",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &[
            "A file of certificates (PEM) that encrypted ones are believed by, besides those that Mozilla trusts; \"\" for none.",
        ],
    ),
    key(
        "dnssec",
        Kind::Word(&["pass", "validate"]),
        r#""pass""#,
        "",
        &[
            "\"pass\": what the servers say of DNSSEC goes on to clients, signatures too; ask such as validate. \"validate\":",
            "answers are validated here, from the root down (RFC 4035); what does not hold is SERVFAIL with an extended error, but",
            "for clients that set CD. It is young. Takes more questions where a zone is asked for first, and a clock that is",
            "right: one that has no time yet fails every name. Names of [[upstream.zone]] are not validated.",
        ],
    ),
    key(
        "trust_anchors",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &[
            "A file with the DNSKEY records of the root that validation starts from, in place of those that IANA publishes (key",
            "tags 20326 and 38696); \"\" for these.",
        ],
    ),
    key(
        "not_validated",
        Kind::Names,
        "[]",
        "",
        &[
            "Zones of which nothing is validated, names below them included (RFC 7646): such as are known inside alone, or broken.",
        ],
    ),
    number(
        "timeout_ms",
        (10, 30_000),
        "1500",
        "milliseconds",
        &[
            "How long one try may take at most. Over UDP, a server is given 200 milliseconds, more where its answers were",
            "measured to take longer, and twice as much each time that it is asked again.",
        ],
    ),
    number(
        "attempts",
        (1, 10),
        "3",
        "tries",
        &[
            "How many times timeout_ms a question may take in all, over all servers. A try that fails at once counts as whole.",
        ],
    ),
    number(
        "in_flight",
        (1, MANY),
        "4096",
        "queries",
        &["Queries that may wait for upstreams; further ones get SERVFAIL at once."],
    ),
    key(
        "zone",
        Kind::Tables {
            keys: &[
                required("name", Kind::Name),
                required("servers", Kind::Upstreams { least: 1 }),
                strategy(&["As [upstream] strategy."]),
            ],
            example: &["[[upstream.zone]]", "name = \"corp.example\"", "servers = [\"10.0.0.2:53\"]"],
        },
        "[]",
        "",
        &["Other servers for a zone and all names below it, as often as needed. There is none at first; one looks so:"],
    ),
    key(
        "group",
        Kind::Tables {
            keys: &[
                required("group", Kind::Id),
                required("servers", Kind::Upstreams { least: 1 }),
                strategy(&["As [upstream] strategy."]),
            ],
            example: &[
                "[[client.group]]",
                "name = \"lab\"",
                "networks = [\"10.7.0.0/16\"]",
                "[[upstream.group]]",
                "group = \"lab\"",
                "servers = [\"10.0.0.3:53\"]",
            ],
        },
        "[]",
        "",
        &[
            "Other servers for the clients of a group of [client], as often as needed. For names of a zone above, that zone's",
            "servers are asked for every client. What is kept of an answer is for clients with the same servers only. There is",
            "none at first; one looks so:",
        ],
    ),
];
