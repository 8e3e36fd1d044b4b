//! The keys of `[notice]` and `[notice.smtp]`.

use super::{Kind, key, number, required};
use crate::config::spec::{Key, Section};

const PATH: Kind = Kind::Text { least: 0, most: 4096 };
const DIGEST: &[&str] = &["off", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

pub(super) const SECTION: Section = Section {
    name: "notice",
    doc: &[
        "Who is told, before a prohibition begins and as it does, which devices attempted contact with what it prohibits",
        "(docs/notices.md). Nobody is, unless [notice.smtp] names a server or there is a [[notice.webhook]].",
    ],
    keys: KEYS,
};

const KEYS: &[Key] = &[
    key(
        "days_before",
        Kind::Numbers { least: 0, most: 366 },
        "[30, 7, 1, 0]",
        "",
        &["How many days before the instant of a prohibition a notice is sent; 0 for the instant itself."],
    ),
    key("digest", Kind::Word(DIGEST), r#""off""#, "", &["The day of the week on which a digest is sent, in UTC."]),
    number("digest_hour", (0, 23), "6", "hours", &["The hour of that day, in UTC."]),
    number(
        "look_back_days",
        (1, 366),
        "30",
        "days",
        &["Devices are told of that attempted contact within so many days before the notice."],
    ),
    key(
        "list_devices",
        Kind::Switch,
        "false",
        "",
        &[
            "Whether names and addresses of devices leave this machine with notices, 1,000 at most; else only how many there are",
            "in each group.",
        ],
    ),
    key(
        "template",
        PATH,
        r#""""#,
        "",
        &[
            "A folder with templates of your own for mail (subject.txt, text.txt, page.html; one that is not there is the",
            "program's); \"\" for none.",
        ],
    ),
    key(
        "webhook",
        Kind::Tables {
            keys: &[
                required("name", Kind::Id),
                required("url", Kind::Url),
                required("secret_file", Kind::Text { least: 1, most: 4096 }),
                key("ca_file", PATH, r#""""#, "", &[]),
                key("private", Kind::Switch, "false", "", &[]),
            ],
            example: &[
                "[[notice.webhook]]",
                "name = \"tickets\"",
                "url = \"https://tickets.example/hooks/interdict\"",
                "secret_file = \"/etc/interdict/tickets-secret\"",
            ],
        },
        "[]",
        "",
        &[
            "Who gets notices as JSON over HTTPS, as often as needed. `secret_file` holds in its first line what they are signed",
            "with (HMAC-SHA256, 16 octets at least). `ca_file` is certificates (PEM) that are believed besides those that Mozilla",
            "trusts; `private = true` where the host has a private address, or is this machine. There is none at first:",
        ],
    ),
];

pub(super) const SMTP: Section = Section {
    name: "notice.smtp",
    doc: &["The mail server that takes notices, never without TLS. Its variables begin with INTERDICT_NOTICE_SMTP__."],
    keys: SMTP_KEYS,
};

const SMTP_KEYS: &[Key] = &[
    key(
        "server",
        Kind::Text { least: 0, most: 300 },
        r#""""#,
        "",
        &["Its name or address, with a port where it is not 587 (465 for \"implicit\"); \"\" for no mail."],
    ),
    key(
        "tls",
        Kind::Word(&["starttls", "implicit"]),
        r#""starttls""#,
        "",
        &[
            "Whether the connection becomes encrypted after its first words (RFC 3207), or is from the start (RFC 8314).",
        ],
    ),
    key(
        "from",
        Kind::Text { least: 0, most: 300 },
        r#""""#,
        "",
        &["Who sends, such as \"Interdict <interdict@corp.example>\"."],
    ),
    key("to", Kind::Texts, "[]", "", &["Who gets them, such as [\"helpdesk@corp.example\"]; up to 100."]),
    key("user", Kind::Text { least: 0, most: 300 }, r#""""#, "", &["Who logs in; \"\" for nobody."]),
    key("password_file", PATH, r#""""#, "", &["The file whose first line is the password of that user."]),
    key(
        "ca_file",
        PATH,
        r#""""#,
        "",
        &["A file of certificates (PEM) that are believed besides those that Mozilla trusts; \"\" for none."],
    ),
    key("private", Kind::Switch, "false", "", &["Whether the server may have a private address, or be this machine."]),
];
