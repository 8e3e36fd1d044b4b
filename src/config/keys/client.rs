//! The keys of `[client]`.

use super::{Kind, key, required};
use crate::config::spec::Key;

pub(super) const KEYS: &[Key] = &[
    key(
        "leases",
        Kind::Texts,
        "[]",
        "",
        &[
            "Lease files of DHCP servers, which tell hardware addresses and names: of dnsmasq, ISC dhcpd, or Kea (memfile).",
            "The format is told by the content; \"dnsmasq:PATH\", \"dhcpd:PATH\" or \"kea:PATH\" settles it. Files are read",
            "again when they change.",
        ],
    ),
    key(
        "neighbours",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether the kernel's neighbour table (ARP, NDP) tells hardware addresses. It knows the machines of directly",
            "attached networks, and for those behind a router that answers ARP in their place, the router.",
        ],
    ),
    key(
        "ptr",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether PTR records tell names: asked for in the background, of the configured upstreams and zones, for clients",
            "of which no other source tells a name, and only where some group has names.",
        ],
    ),
    key(
        "group",
        Kind::Tables {
            keys: &[
                required("name", Kind::Id),
                key("networks", Kind::Networks { least: 0 }, "[]", "", &[]),
                key("devices", Kind::Hardwares, "[]", "", &[]),
                key("names", Kind::Patterns, "[]", "", &[]),
            ],
            example: &[
                "[[client.group]]",
                "name = \"lab\"",
                "networks = [\"10.7.0.0/16\", \"fd00:7::/64\"]",
                "devices = [\"00:00:5e:00:53:01\"]",
                "names = [\"bench-3\", \"*.lab.example\"]",
            ],
        },
        "[]",
        "",
        &[
            "A group of clients, as often as needed, up to 1024. A hardware address outranks a name, a name a network, and a",
            "long network a shorter one. Who is in no group is in \"default\". There is none at first; one looks so:",
        ],
    ),
    key(
        "device",
        Kind::Tables {
            keys: &[
                required("name", Kind::Name),
                key("hardware", Kind::Hardware, r#""""#, "", &[]),
                key("addresses", Kind::Ips, "[]", "", &[]),
            ],
            example: &[
                "[[client.device]]",
                "name = \"printer.corp.example\"",
                "hardware = \"00:00:5e:00:53:02\"",
                "addresses = [\"10.7.0.9\", \"fd00:7::9\"]",
            ],
        },
        "[]",
        "",
        &[
            "A device that is known by hardware address, by addresses, or by both, as often as needed. It outranks all other",
            "sources. There is none at first; one looks so:",
        ],
    ),
];
