//! The keys themselves, section by section in the order of the file.

mod client;
mod export;
mod fetch;
mod guards;
mod ledger;
mod limit;
mod lists;
mod notice;
mod policy;
mod upstream;

use super::spec::{Key, Kind, Preset, Section};
use guards::{REBINDING, WAYS_ROUND};

const MANY: u64 = 1_000_000;

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    unit: &'static str,
    doc: &'static [&'static str],
) -> Key {
    Key { name, kind, default: Preset::Toml(default), unit, doc }
}

const fn number(
    name: &'static str,
    (least, most): (u64, u64),
    default: &'static str,
    unit: &'static str,
    doc: &'static [&'static str],
) -> Key {
    key(name, Kind::Number { least, most }, default, unit, doc)
}

const fn required(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, default: Preset::Required, unit: "", doc: &[] }
}

const ID: Kind = Kind::Text { least: 1, most: 64 };

pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "",
        doc: &[],
        keys: &[key(
            "data_dir",
            Kind::Text { least: 1, most: 4096 },
            r#""./interdict-data""#,
            "",
            &["The folder for records, keys and the index. One daemon works in it at a time."],
        )],
    },
    Section { name: "listen", doc: &["Where queries are taken, from whom and how many."], keys: LISTEN },
    limit::SECTION,
    Section {
        name: "admin",
        doc: &["The HTTP listener for health and metrics."],
        keys: &[
            key(
                "listen",
                Kind::Listener,
                r#""127.0.0.1:5380""#,
                "",
                &["Address with its port; \"\" for no such listener."],
            ),
            key(
                "hosts",
                Kind::HostNames,
                "[]",
                "",
                &[
                    "Names under which it may be asked (the Host header) besides addresses and `localhost`; others are",
                    "refused, so that a web page cannot reach it through a name of its own.",
                ],
            ),
        ],
    },
    Section {
        name: "control",
        doc: &[
            "Commands that change what the daemon does: `interdict waiver`, `monitor-only`, `clock accept`. They come over a",
            "Unix socket that is open to the user and the group of the daemon; who commands is what the system says.",
        ],
        keys: CONTROL,
    },
    Section { name: "upstream", doc: &["Who answers what is not known here."], keys: upstream::KEYS },
    Section { name: "cache", doc: &["The cache of answers."], keys: CACHE },
    Section { name: "zones", doc: &["Names that are answered here and never asked of an upstream."], keys: ZONES },
    Section {
        name: "client",
        doc: &[
            "Who asks: groups of clients, and what tells devices apart. Hardware addresses and names are told by the client",
            "itself, which can take those of another: a group that is treated more mildly should be one of networks.",
        ],
        keys: client::KEYS,
    },
    Section {
        name: "policy",
        doc: &["Which catalogues and orders apply, and what the operator makes of them."],
        keys: policy::KEYS,
    },
    WAYS_ROUND,
    REBINDING,
    lists::SECTION,
    fetch::SECTION,
    Section { name: "answer", doc: &["How responses look."], keys: ANSWER },
    Section { name: "ledger", doc: &["How records are kept."], keys: ledger::KEYS },
    export::SECTION,
    notice::SECTION,
    notice::SMTP,
    Section { name: "daemon", doc: &["The process itself."], keys: DAEMON },
    Section {
        name: "log",
        doc: &["The log, on standard error. It is for operators; evidence is in the records."],
        keys: &[
            key(
                "level",
                Kind::Word(&["error", "warn", "info", "debug", "trace"]),
                r#""info""#,
                "",
                &["The least weighty lines that are written."],
            ),
            key(
                "format",
                Kind::Word(&["text", "json", "journal"]),
                r#""text""#,
                "",
                &[
                    "Lines for people or for machines on standard error, or entries with fields in the journal of systemd.",
                ],
            ),
        ],
    },
];

const LISTEN: &[Key] = &[
    key(
        "dns",
        Kind::Listeners,
        r#"["127.0.0.1:5300"]"#,
        "",
        &["Addresses with their ports, for UDP and TCP, such as \"0.0.0.0:53\" and \"[::]:53\". At least one."],
    ),
    key(
        "allow",
        Kind::Networks { least: 1 },
        r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"]"#,
        "",
        &["Networks whose clients are answered. Anyone else gets no answer and is counted."],
    ),
    key(
        "proxy_from",
        Kind::Networks { least: 0 },
        "[]",
        "",
        &[
            "Networks of trusted proxies, such as dnsdist or HAProxy. Each of their datagrams and connections has to begin",
            "with a PROXY header of version 2, which says who the client is; `allow` is held against that client, and",
            "answers go to the proxy. From anyone else, what begins with such a header is dropped and counted.",
        ],
    ),
    key(
        "ecs_from",
        Kind::Networks { least: 0 },
        "[]",
        "",
        &[
            "Networks of trusted forwarders whose EDNS Client Subnet option (RFC 7871) says who the client is. Let them send",
            "whole addresses (/32 and /128): a shorter prefix stands for all of its clients. From anyone else the option",
            "is ignored and counted. It is never passed on to an upstream.",
        ],
    ),
    number("workers", (0, 256), "0", "threads", &["Threads that take queries over UDP; 0 for one a core."]),
    number(
        "tcp_connections",
        (1, 65_535),
        "1024",
        "connections",
        &["Connections over TCP that may be open; further ones are closed at once."],
    ),
    number(
        "tcp_connections_per_client",
        (1, 65_535),
        "64",
        "connections",
        &["Connections that one client may have open; whom `[limit]` counts as one."],
    ),
    number(
        "tcp_in_flight",
        (1, 65_535),
        "64",
        "queries",
        &["Queries of one connection that may be under way; reading waits while there are as many."],
    ),
    number(
        "tcp_idle_ms",
        (100, 600_000),
        "10000",
        "milliseconds",
        &[
            "How long a connection may be silent before it is closed (RFC 7766, section 6.2.3); shorter as the second half of",
            "`tcp_connections` is taken. Clients that ask are told (RFC 7828).",
        ],
    ),
];

const CONTROL: &[Key] = &[
    key(
        "listen",
        Kind::SwitchOrPath,
        "true",
        "",
        &["true for `control.sock` in the data folder, false for no such socket, or the path of another one."],
    ),
    key(
        "four_eyes",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether a waiver that is added lifts nothing before another user confirms it. Users are told apart by their",
            "uid: whoever commands through `sudo` is root, so let people use the group of the daemon.",
        ],
    ),
    number(
        "monitor_only_max_minutes",
        (0, 10_080),
        "60",
        "minutes",
        &["How long `interdict monitor-only` may lift every prohibition in an emergency; 0 to forbid it."],
    ),
    number(
        "waiver_max_days",
        (0, 36_500),
        "366",
        "days",
        &["How long a waiver may last, by command or in a file; 0 for any time."],
    ),
];

const DAEMON: &[Key] = &[
    key(
        "sandbox",
        Kind::Switch,
        "true",
        "",
        &[
            "Whether the daemon gives up what it does not need, once everything is bound: all capabilities, new privileges, and",
            "all files but the data folder, the folders of the files that are named here, and the system's own. What a reload",
            "names in another folder waits for a restart, which the log says. What the kernel does not offer is told at start.",
        ],
    ),
    key(
        "reload_on_change",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether the daemon reloads, as by SIGHUP, once this file, or one of catalogues, orders, waivers or lists that it",
            "names, is another one and stays so for a second: for config maps of Kubernetes, of which nobody tells the process.",
        ],
    ),
];

const CACHE: &[Key] = &[
    number("size_mib", (1, 65_536), "64", "MiB", &["The memory that answers may take."]),
    number("max_ttl", (0, 604_800), "86400", "seconds", &["The longest time that an answer is kept."]),
    number(
        "negative_max_ttl",
        (0, 86_400),
        "3600",
        "seconds",
        &["The longest time that an answer without data is kept (RFC 2308, section 5)."],
    ),
    number("failure_ttl", (1, 300), "5", "seconds", &["How long a failure is kept (RFC 9520, section 3.2)."]),
    number(
        "stale_max_ttl",
        (0, 604_800),
        "86400",
        "seconds",
        &[
            "How long an answer may be given after its lifetime, with a TTL of 30 seconds at most, while no upstream",
            "answers, which is tried again every 30 seconds (RFC 8767). What an order prohibits is sunk all the same. 0 for never.",
        ],
    ),
    key(
        "prefetch",
        Kind::Switch,
        "true",
        "",
        &["Whether an answer that is asked for in the last tenth of its lifetime is asked for anew at once."],
    ),
    key(
        "save",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether answers are kept from a stop to the next start, in a file of the data folder that tells which names were",
            "asked for, and not by whom.",
        ],
    ),
];

const ZONES: &[Key] = &[
    key(
        "hosts",
        Kind::Hosts,
        "[]",
        "",
        &["Names with their addresses, each \"name address [address…]\", such as \"printer.corp.example 10.0.0.9\"."],
    ),
    key(
        "special_use",
        Kind::Switch,
        "true",
        "",
        &["Whether special-use names and private reverse zones are answered here (RFC 6761, RFC 6303)."],
    ),
    key(
        "zone",
        Kind::Tables {
            keys: &[required("origin", Kind::Name), required("text", Kind::Lines)],
            example: &[
                "[[zones.zone]]",
                "origin = \"corp.example\"",
                "text = \"\"\"",
                "@ 3600 IN SOA ns.corp.example. admin.corp.example. 1 3600 600 86400 300",
                "@ 3600 IN NS ns.corp.example.",
                "ns 3600 IN A 10.0.0.2",
                "\"\"\"",
            ],
        },
        "[]",
        "",
        &[
            "Whole zones in the text of a zone file (RFC 1035, section 5), as often as needed. There is none at first;",
            "one looks so:",
        ],
    ),
];

const ANSWER: &[Key] = &[
    key(
        "sink",
        Kind::Word(&["nxdomain", "nodata", "refused", "address"]),
        r#""nxdomain""#,
        "",
        &["What a withheld name is answered with."],
    ),
    key(
        "sink_v4",
        Kind::V4,
        r#""""#,
        "",
        &["The IPv4 address for sink = \"address\"; \"\" for none, and queries for A get NODATA."],
    ),
    key(
        "sink_v6",
        Kind::V6,
        r#""""#,
        "",
        &["The IPv6 address for sink = \"address\"; \"\" for none, and queries for AAAA get NODATA."],
    ),
    number(
        "sink_ttl",
        (0, 86_400),
        "60",
        "seconds",
        &["How long clients may keep what they are told of a withheld name, or of one that a waiver lets through."],
    ),
    number(
        "max_udp_payload",
        (512, 4096),
        "1232",
        "octets",
        &[
            "The longest response over UDP, however much a client takes; longer ones go over TCP. More than 1232 may be cut into",
            "fragments on the way, which get lost and are easy to forge (RFC 9715).",
        ],
    ),
    key(
        "version",
        Kind::Text { least: 0, most: 255 },
        r#""""#,
        "",
        &["What CHAOS version.bind is answered with; \"\" to refuse the question."],
    ),
];
