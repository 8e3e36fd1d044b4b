//! Every key that a configuration may have: its place, kind, bounds, default and meaning. Loading, the commented file
//! and what faults propose all come from this table.

use std::fmt::Write as _;

use super::keys::SECTIONS;

/// The table of all keys.
#[derive(Debug, Clone, Copy)]
pub struct Spec;

/// A section of the file, `[name]`; the one without a name holds the keys above all sections.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    /// What the section is for, one line each.
    pub doc: &'static [&'static str],
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Preset,
    /// What a number counts, such as seconds; empty for everything else.
    pub unit: &'static str,
    /// What the key does, one line each.
    pub doc: &'static [&'static str],
}

/// What a key is where nobody sets it.
#[derive(Debug, Clone, Copy)]
pub enum Preset {
    /// This piece of TOML.
    Toml(&'static str),
    /// The texts that the program itself knows.
    Texts(fn() -> Vec<String>),
    /// Must be set; only keys of tables in a list are such.
    Required,
}

/// What values a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Switch,
    /// A switch, or a path for something to be elsewhere than where it usually is.
    SwitchOrPath,
    /// A whole number, both bounds included.
    Number {
        least: u64,
        most: u64,
    },
    /// Whole numbers, both bounds included, each once.
    Numbers {
        least: u64,
        most: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text in one line, of this many octets.
    Text {
        least: usize,
        most: usize,
    },
    /// A text of any number of lines.
    Lines,
    /// An address with its port to listen on, or nothing.
    Listener,
    /// Addresses with their ports to listen on, at least one.
    Listeners,
    /// Addresses of DNS servers, port 53 where none is given.
    Servers {
        least: usize,
    },
    /// The same, or URLs of such as are spoken to encrypted.
    Upstreams {
        least: usize,
    },
    Networks {
        least: usize,
    },
    V4,
    V6,
    /// IP addresses.
    Ips,
    /// The hardware address of a device, or nothing.
    Hardware,
    /// Hardware addresses of devices.
    Hardwares,
    /// An instant with its offset from UTC, or nothing.
    Instant,
    Name,
    /// A URL with the scheme https, or http where something else vouches for what is there; or nothing.
    Url,
    /// A SHA-256 in hexadecimal digits, or nothing.
    Digest,
    /// A public key of minisign, or nothing.
    PublicKey,
    Names,
    /// Names, each for itself or, as `*.NAME`, for all below it.
    Patterns,
    /// Lower-case letters, digits and hyphens, up to 64.
    Id,
    /// Names as a Host header has them.
    HostNames,
    /// Names, each with its addresses.
    Hosts,
    /// Texts in one line each.
    Texts,
    /// A list of tables with these keys.
    Tables {
        keys: &'static [Key],
        /// What such a table looks like, line by line.
        example: &'static [&'static str],
    },
}

impl Section {
    /// Returns the section `[name.WORD]`.
    pub(super) fn below(&self, word: &str) -> Option<&'static Self> {
        let of = |section: &&Self| {
            section.name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('.')) == Some(word)
        };
        Spec::SECTIONS.iter().find(of)
    }
}

impl Spec {
    /// Every section, in the order of the file.
    pub const SECTIONS: &'static [Section] = SECTIONS;

    /// Returns the commented file with every key at its default.
    pub fn to_toml() -> String {
        let mut text = String::new();
        for line in HEAD {
            comment(&mut text, line);
        }
        for section in Self::SECTIONS {
            text.push('\n');
            for line in section.doc {
                comment(&mut text, line);
            }
            if !section.name.is_empty() {
                push(&mut text, format_args!("[{}]", section.name));
            }
            for (place, key) in section.keys.iter().enumerate() {
                if place > 0 {
                    text.push('\n');
                }
                key.write(&mut text);
            }
        }
        text
    }
}

const HEAD: &[&str] = &[
    "Settings of Interdict. Every key stands here with its default; a key that is left out has it too.",
    "",
    "Each key can also be set by a variable of the environment, which wins over the file: INTERDICT_<SECTION>__<KEY>,",
    "such as INTERDICT_UPSTREAM__SERVERS=10.0.0.1,10.0.0.2 (INTERDICT_DATA_DIR for the key above all sections).",
    "`interdict check` tells every fault of a file at once. Relative paths are relative to the working directory of",
    "the daemon, not to this file.",
];

impl Key {
    /// Returns the default as a piece of TOML; `None` where the key must be set.
    pub fn default_toml(&self) -> Option<String> {
        match self.default {
            Preset::Toml(text) => Some(text.to_owned()),
            Preset::Texts(texts) => {
                let texts: Vec<_> = texts().into_iter().map(|text| toml::Value::String(text).to_string()).collect();
                Some(format!("[{}]", texts.join(", ")))
            }
            Preset::Required => None,
        }
    }

    fn write(&self, text: &mut String) {
        for line in self.doc {
            comment(text, line);
        }
        if let Some(bounds) = self.kind.bounds(self.unit) {
            comment(text, &bounds);
        }
        if let Kind::Tables { example, .. } = self.kind {
            for line in example {
                comment(text, line);
            }
            return;
        }
        let default = self.default_toml().unwrap_or_default();
        let line = format!("{} = {default}", self.name);
        // Long lists read better, and differ better, with an item a line.
        match default.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            Some(list) if line.len() > 100 => {
                push(text, format_args!("{} = [", self.name));
                for item in list.split(", ") {
                    push(text, format_args!("    {item},"));
                }
                push(text, format_args!("]"));
            }
            _ => push(text, format_args!("{line}")),
        }
    }
}

impl Kind {
    /// Returns what is allowed, in words, for the kinds that have bounds worth telling.
    fn bounds(&self, unit: &str) -> Option<String> {
        match self {
            Self::Number { least, most } => Some(format!("{least} to {most} {unit}.")),
            Self::Numbers { least, most } => Some(format!("A list of whole numbers from {least} to {most}.")),
            Self::Word(words) => Some(format!("One of {}.", list(words))),
            Self::Switch => Some("true or false.".to_owned()),
            Self::SwitchOrPath
            | Self::Text { .. }
            | Self::Lines
            | Self::Listener
            | Self::Listeners
            | Self::Servers { .. }
            | Self::Upstreams { .. }
            | Self::Networks { .. }
            | Self::V4
            | Self::V6
            | Self::Ips
            | Self::Hardware
            | Self::Hardwares
            | Self::Instant
            | Self::Name
            | Self::Url
            | Self::Digest
            | Self::PublicKey
            | Self::Names
            | Self::Patterns
            | Self::Id
            | Self::HostNames
            | Self::Hosts
            | Self::Texts
            | Self::Tables { .. } => None,
        }
    }
}

/// Returns words between quotes, with commas.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn comment(text: &mut String, line: &str) {
    push(text, format_args!("{}", format!("# {line}").trim_end()));
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{line}");
}
