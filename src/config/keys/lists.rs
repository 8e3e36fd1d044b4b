//! The keys of `[lists]`.

use super::{Kind, key, number, required};
use crate::config::spec::{Key, Section};

pub(super) const SECTION: Section = Section {
    name: "lists",
    doc: &[
        "Lists of names of your own, from files or fetched. They are decided after the orders: what an order withholds, no",
        "list lets through. Of several lists, the first that matches a name decides.",
    ],
    keys: KEYS,
};

/// How a list is read, with the one that is found out in front.
const FORMATS: &[&str] = &["auto", "hosts", "domains", "suffixes", "adblock", "dnsmasq", "unbound", "rpz"];

/// What becomes of what a list withholds.
const ACTIONS: &[&str] = &["as-written", "block", "nxdomain", "nodata", "refused", "drop", "null"];

const KEYS: &[Key] = &[
    number(
        "least_share",
        (0, 100),
        "60",
        "percent",
        &[
            "How much of its rules a list must still have; one that lost more is taken for cut, and the last good one stays.",
        ],
    ),
    key(
        "never",
        Kind::Names,
        "[]",
        "",
        &[
            "Names that no list may withhold, neither themselves nor all below them, besides the common public suffixes (the",
            "root, com, net, org, co.uk, …). A list that would is refused, and the last good one stays.",
        ],
    ),
    key("broad", Kind::Names, "[]", "", &["Public suffixes among those that lists may withhold all the same."]),
    key(
        "list",
        Kind::Tables {
            keys: &[
                required("name", Kind::Id),
                key("file", Kind::Text { least: 0, most: 4096 }, r#""""#, "", &[]),
                key("url", Kind::Url, r#""""#, "", &[]),
                key("refresh_minutes", Kind::Number { least: 1, most: 525_600 }, "1440", "", &[]),
                key("sha256", Kind::Digest, r#""""#, "", &[]),
                key("public_key", Kind::PublicKey, r#""""#, "", &[]),
                key("signature", Kind::Url, r#""""#, "", &[]),
                key("private", Kind::Switch, "false", "", &[]),
                key("format", Kind::Word(FORMATS), r#""auto""#, "", &[]),
                key("action", Kind::Word(ACTIONS), r#""as-written""#, "", &[]),
                key("from", Kind::Instant, r#""""#, "", &[]),
                key("until", Kind::Instant, r#""""#, "", &[]),
                key("monitor_from", Kind::Instant, r#""""#, "", &[]),
            ],
            example: &[
                "[[lists.list]]",
                "name = \"ads\"",
                "file = \"/etc/interdict/ads.txt\"",
                "format = \"hosts\"",
                "action = \"nxdomain\"",
                "monitor_from = \"2026-02-01T00:00:00Z\"",
                "from = \"2026-03-01T00:00:00Z\"",
                "until = \"2027-03-01T00:00:00Z\"",
                "[[lists.list]]",
                "name = \"fetched\"",
                "url = \"https://lists.example/hosts.txt\"",
                "refresh_minutes = 720",
                "public_key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"",
            ],
        },
        "[]",
        "",
        &[
            "One list, as often as needed. \"domains\" are the names themselves (and `*.NAME` those below), \"suffixes\" names",
            "with all below them. `action` takes the place of whatever the list says of the names that it withholds. From",
            "`monitor_from` on its matches are only counted, from `from` on it decides.",
            "",
            "A list has a `file` or an https `url`; what is fetched is kept in the data folder, and fetched again every",
            "`refresh_minutes` (1 to 525600). `sha256` is what the file must have; `public_key` is the key of minisign that",
            "must have signed it, the signature being at the URL with `.minisig` behind it or at `signature`. With either,",
            "the URL may be http. `private = true` lets the host have a private address. There is none at first:",
        ],
    ),
];
