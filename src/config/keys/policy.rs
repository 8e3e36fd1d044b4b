//! The keys of `[policy]`.

use super::{ID, Kind, key, required};
use crate::config::spec::{Key, Preset};
use crate::feed::Selection;

pub(super) const KEYS: &[Key] = &[
    key_of_texts(
        "catalogues",
        || Selection::default().catalogues,
        &[
            "Which names belong to which service: catalogues that the program carries, by name, or files or folders of",
            "`*.toml` files. Paths have a `/` or end in `.toml`, and are relative to the working directory.",
        ],
    ),
    key_of_texts("orders", || Selection::default().orders, &["What is prohibited and when: orders, chosen likewise."]),
    key(
        "waivers",
        Kind::Texts,
        "[]",
        "",
        &[
            "Files of waivers, which several resolvers may share, such as \"/etc/interdict/waivers.toml\"; each has tables",
            "`[[waiver]]` with id, order and services (or service = \"CATALOGUE/SERVICE\"), names, clients, reason, approver,",
            "ticket, from and until. `interdict waiver add` adds others by command.",
        ],
    ),
    key(
        "mode",
        Kind::Word(&["enforce", "monitor"]),
        r#""enforce""#,
        "",
        &[
            "Whether prohibited names are withheld. \"monitor\" is a dry run: what would be withheld is resolved, and",
            "recorded as monitored.",
        ],
    ),
    key(
        "applies",
        Kind::Word(&["policy", "binding"]),
        r#""policy""#,
        "",
        &[
            "Whether the network applies the orders by its own policy, or is bound by them. It decides which code",
            "clients are told: Blocked (15) or Censored (16; RFC 8914, sections 4.16 and 4.17).",
        ],
    ),
    key(
        "removal",
        Kind::Word(&["running", "finished"]),
        r#""running""#,
        "",
        &[
            "Whether the prohibited products are still being removed. While that runs, services that removal needs are",
            "left, as the orders say.",
        ],
    ),
    key(
        "removal_until",
        Kind::Instant,
        r#""""#,
        "",
        &[
            "When removal ends, with the offset from UTC, such as \"2026-12-31T00:00:00-05:00\"; \"\" for no set instant.",
        ],
    ),
    key(
        "shadow",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &[
            "A candidate: a configuration file whose policy and groups decide beside this one, to be counted; \"\" for none.",
        ],
    ),
    key(
        "fetch",
        Kind::Tables {
            keys: &[
                required("name", Kind::Id),
                required("kind", Kind::Word(&["catalogue", "order"])),
                required("url", Kind::Url),
                key("refresh_minutes", Kind::Number { least: 1, most: 525_600 }, "1440", "", &[]),
                key("sha256", Kind::Digest, r#""""#, "", &[]),
                key("public_key", Kind::PublicKey, r#""""#, "", &[]),
                key("signature", Kind::Url, r#""""#, "", &[]),
                key("private", Kind::Switch, "false", "", &[]),
                key("automatic", Kind::Switch, "false", "", &[]),
            ],
            example: &[
                "[[policy.fetch]]",
                "name = \"acme\"",
                "kind = \"catalogue\"",
                "url = \"https://bans.example/acme.toml\"",
                "public_key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"",
                "automatic = false",
            ],
        },
        "[]",
        "",
        &[
            "Catalogues and orders that are fetched, behind those that are chosen above; keys as for [[lists.list]]. Somebody",
            "has to vouch for each, by `public_key` or `sha256`, and each has a `version` that only goes up. What came waits",
            "until `interdict policy activate` puts it in force; `interdict policy pending` tells what that does. With",
            "`automatic = true` nothing waits. There is none at first; one looks so:",
        ],
    ),
    key(
        "treatment",
        Kind::Tables {
            keys: &[
                required("order", ID),
                required("service", ID),
                required("treatment", Kind::Word(&["noted", "exempt", "kept", "prohibited"])),
                key("prohibition", Kind::Text { least: 0, most: 64 }, r#""""#, "", &[]),
            ],
            example: &[
                "[[policy.treatment]]",
                "order = \"some-order\"",
                "service = \"some-service\"",
                "treatment = \"prohibited\"",
                "prohibition = \"some-prohibition\"",
            ],
        },
        "[]",
        "",
        &[
            "The operator's own treatment of a service of an order: \"noted\" (counted only), \"exempt\" (never touched),",
            "\"kept\" (left while removal runs) or \"prohibited\", then with the prohibition of the order that it falls",
            "under. Of two for the same service, the later counts. There is none at first; one looks so:",
        ],
    ),
    key(
        "apply",
        Kind::Tables {
            keys: &[
                required("order", ID),
                key("groups", Kind::Texts, "[]", "", &[]),
                key("phase", Kind::Word(&["enforce", "monitor", "off"]), r#""enforce""#, "", &[]),
                key("monitor_until", Kind::Instant, r#""""#, "", &[]),
                key("applies", Kind::Word(&["default", "policy", "binding"]), r#""default""#, "", &[]),
                key("sink", Kind::Word(&["default", "nxdomain", "nodata", "refused"]), r#""default""#, "", &[]),
            ],
            example: &[
                "[[policy.apply]]",
                "order = \"some-order\"",
                "groups = [\"some-group\", \"default\"]",
                "phase = \"monitor\"",
                "monitor_until = \"2026-12-31T00:00:00-05:00\"",
                "applies = \"binding\"",
                "sink = \"nodata\"",
            ],
        },
        "[]",
        "",
        &[
            "How an order applies to groups of clients (all of them where none is named; \"default\" are those that no other",
            "group takes): \"enforce\", \"monitor\" (what it prohibits is resolved and recorded, until an instant or for",
            "good) or \"off\"; whether it binds them, and how a withheld name is answered. Of two for the same order and",
            "group, the later counts. There is none at first; one looks so:",
        ],
    ),
];

const fn key_of_texts(name: &'static str, texts: fn() -> Vec<String>, doc: &'static [&'static str]) -> Key {
    Key { name, kind: Kind::Texts, default: Preset::Texts(texts), unit: "", doc }
}
