//! The keys of `[fetch]`.

use super::{Kind, key, number};
use crate::config::spec::{Key, Section};

pub(super) const SECTION: Section = Section {
    name: "fetch",
    doc: &[
        "How files are fetched. Their hosts are looked up by this resolver itself, so that what it withholds holds for it too.",
    ],
    keys: KEYS,
};

const KEYS: &[Key] = &[
    key(
        "ca",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &["A file of certificates (PEM) that are believed besides those that Mozilla trusts; \"\" for none."],
    ),
    number("timeout_s", (1, 3600), "120", "seconds", &["How long one file may take in all; slow servers end by it."]),
    number("max_mib", (1, 1024), "64", "MiB", &["The most that is taken from a server for one file."]),
    number(
        "max_unpacked_mib",
        (1, 1024),
        "256",
        "MiB",
        &["The largest that a compressed file may be once it is unpacked."],
    ),
    number(
        "stale_hours",
        (1, 8760),
        "72",
        "hours",
        &[
            "How long a file may go without its server being reached before health tells of it. Refusals are told at once.",
        ],
    ),
];
