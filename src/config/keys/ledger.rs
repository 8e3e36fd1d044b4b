//! The keys of `[ledger]`.

use super::{MANY, key, number, required};
use crate::config::spec::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    number(
        "commit_ms",
        (10, 200),
        "200",
        "milliseconds",
        &["How far the disk may lag behind: records are written and flushed together this often."],
    ),
    key(
        "durability",
        Kind::Word(&["normal", "strict"]),
        r#""normal""#,
        "",
        &[
            "\"strict\": an answer leaves once its record is on disk, where it is the first of its client, name, type, rule and",
            "verdict. Costs the time of a flush to disk.",
        ],
    ),
    key(
        "fail",
        Kind::Word(&["answer", "servfail"]),
        r#""answer""#,
        "",
        &[
            "What becomes of sunk names while the disk takes no records: answered as ever, or with SERVFAIL. All others are",
            "answered in any case.",
        ],
    ),
    number(
        "segment_mib",
        (1, 1024),
        "16",
        "MiB",
        &["The size at which a file of the journal ends and the next begins."],
    ),
    number(
        "max_mib",
        (2, 16_777_216),
        "4096",
        "MiB",
        &[
            "The size that the records may take in all, in the journal and once more in the log; the oldest go first. Their",
            "hashes stay in the log, 32 octets each. At least two segments.",
        ],
    ),
    number(
        "keep_days",
        (0, 36_500),
        "0",
        "days",
        &[
            "How long records are kept, in the journal, the index and the log; 0 for as long as there is room. They go up to",
            "two days later, in whole files; their hashes stay.",
        ],
    ),
    key(
        "clients",
        Kind::Word(&["address", "network"]),
        r#""address""#,
        "",
        &[
            "What records hold of a client, encrypted: its address, or only its network (/24, /56 for IPv6) and no hardware",
            "address.",
        ],
    ),
    key(
        "store_noted",
        Kind::Switch,
        "false",
        "",
        &["Whether look-ups that are only noted are recorded one by one too, and not counted only."],
    ),
    number(
        "leaves_per_minute",
        (100, MANY),
        "20000",
        "records",
        &["Records of single clients in a minute; beyond it look-ups are summed up by network, then by rule."],
    ),
    key(
        "origin",
        Kind::Text { least: 0, most: 200 },
        r#""""#,
        "",
        &[
            "The name that the log is signed under, best below a domain of your own, such as \"example.com/resolver-1\"; \"\" for",
            "interdict.invalid/ and the name of the machine at the first start. No other log may have it; a change begins",
            "another log.",
        ],
    ),
    number(
        "checkpoint_s",
        (1, 60),
        "60",
        "seconds",
        &["What was recorded is signed at most this much later, and at each stop."],
    ),
    key(
        "publish",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &[
            "A folder on another disk or machine that signed logs are copied to, for others to verify, or \"s3://bucket/prefix\" in",
            "an object store; \"\" for none. It has to be there. Records that go for their age go there too, if it lets them.",
        ],
    ),
    key(
        "publish_endpoint",
        Kind::Url,
        r#""""#,
        "",
        &["The URL of that object store (S3); the bucket is asked for in its path."],
    ),
    key(
        "publish_region",
        Kind::Text { least: 1, most: 64 },
        r#""us-east-1""#,
        "",
        &["The region that requests to it are signed for."],
    ),
    key(
        "publish_credentials",
        Kind::Text { least: 0, most: 4096 },
        r#""""#,
        "",
        &[
            "The file of its credentials, with lines `aws_access_key_id = …` and `aws_secret_access_key = …`; \"\" for the",
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN).",
        ],
    ),
    key(
        "witness",
        Kind::Tables {
            keys: &[
                required("url", Kind::Url),
                required("key", Kind::Text { least: 1, most: 300 }),
                key("private", Kind::Switch, "false", "", &[]),
            ],
            example: &[
                "[[ledger.witness]]",
                "url = \"https://witness.example/\"",
                "key = \"witness.example/w1+833a2b59+BEQpkwZQBKoeTEj03QFYGUwCNJvMZkzZbkAOommRio1R\"",
            ],
        },
        "[]",
        "",
        &[
            "A witness that bears checkpoints of the log out (c2sp.org/tlog-witness), as often as needed. `url` is its submission",
            "prefix, `key` its verifier line for cosignatures; it has to know the line of `interdict ledger key`. `private = true`",
            "where its host has a private address, or is this machine. Nothing waits for it. There is none at first; one looks so:",
        ],
    ),
];
