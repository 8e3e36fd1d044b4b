//! The keys of `[export]`.

use super::{Kind, key, required};
use crate::config::spec::{Key, Section};
use crate::export::{Clients, KINDS, Text};

pub(super) const SECTION: Section = Section {
    name: "export",
    doc: &[
        "Records to other systems, live. Each receiver gets every record from its position on, which is kept in the data",
        "folder; some may come twice, none is left out. docs/events.md tells the formats field by field.",
    ],
    keys: KEYS,
};

const PATH: Kind = Kind::Text { least: 0, most: 4096 };

const KEYS: &[Key] = &[key(
    "receiver",
    Kind::Tables {
        keys: &[
            required("name", Kind::Id),
            required("kind", Kind::Word(KINDS)),
            required("to", Kind::Text { least: 1, most: 4096 }),
            key("format", Kind::Word(Text::WORDS), r#""json""#, "", &[]),
            key("clients", Kind::Word(Clients::WORDS), r#""encrypted""#, "", &[]),
            key("begin", Kind::Word(&["oldest", "now"]), r#""oldest""#, "", &[]),
            key("ca", PATH, r#""""#, "", &[]),
            key("authorization_file", PATH, r#""""#, "", &[]),
        ],
        example: &[
            "[[export.receiver]]",
            "name = \"siem\"",
            "kind = \"syslog-tls\"",
            "to = \"siem.example:6514\"",
            "format = \"ocsf\"",
            "clients = \"encrypted\"",
            "begin = \"oldest\"",
            "ca = \"/etc/interdict/siem-ca.pem\"",
            "[[export.receiver]]",
            "name = \"collector\"",
            "kind = \"otlp\"",
            "to = \"https://collector.example:4318/v1/logs\"",
            "authorization_file = \"/etc/interdict/collector-token\"",
        ],
    },
    "[]",
    "",
    &[
        "One receiver, as often as needed. `kind` is \"file\" (`to` is a path, or \"-\" for standard output; opened anew at",
        "SIGUSR2), \"syslog-udp\", \"syslog-tcp\" or \"syslog-tls\" (a host with its port), \"http\" or \"otlp\" (a URL), \"dnstap\"",
        "(the path of a Unix socket, or a host with its port). `format` is \"json\", \"cef\", \"ecs\" or \"ocsf\"; \"otlp\" and",
        "\"dnstap\" have their own. `clients` says how much of who asked leaves this machine: \"encrypted\" (as in the records,",
        "the same text for a client for a month), \"network\" (/24 or /64), \"plain\" or \"none\". `begin` is where a receiver",
        "without a position begins. `ca` is the certificates in PEM that a TLS server is trusted by, in place of those of",
        "Mozilla; the first line of `authorization_file` is sent as the header Authorization. There is none at first:",
    ],
)];
