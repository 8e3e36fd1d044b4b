//! What a report was made from, named in the report itself, so that anybody who has the log can make it again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::xlsx;

/// The version of this form.
pub const VERSION: u32 = 1;
/// What stands around the basis in a file, so that it is found in any format.
const BEGIN: &str = "interdict-report:";
const END: &str = ":end";
/// The longest text that is looked at.
const MAX: usize = 1 << 20;

/// All that a report depends on, besides the leaves and keys of the logs that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    pub version: u32,
    pub format: Format,
    pub lang: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub order: Option<String>,
    pub group: Option<String>,
    /// The duty to keep records that the operator claims; none for none.
    pub duty: Option<String>,
    pub nodes: Vec<NodeBasis>,
}

/// The form that a report is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Html,
    Pdf,
    Csv,
    Json,
    Xlsx,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Html, Self::Pdf, Self::Csv, Self::Json, Self::Xlsx];

    /// Returns the word that the command line uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
        }
    }
}

/// What was taken of one resolver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBasis {
    /// The numbers of the first leaf and of the last.
    pub first: u64,
    pub last: u64,
    /// The oldest first.
    pub logs: Vec<LogBasis>,
    /// The verifier lines that were trusted; none where that beside the log was taken.
    pub keys: Vec<String>,
    /// A checkpoint that was kept elsewhere, as a signed note.
    pub anchor: Option<String>,
    /// Whether the logs were verified.
    pub verified: bool,
}

/// What was taken of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBasis {
    pub origin: String,
    pub size: u64,
    /// The checkpoint, as a signed note.
    pub note: String,
}

impl Basis {
    /// Returns the basis as one word that stands in a report of any format.
    pub fn to_word(&self) -> String {
        let json = serde_json::to_string(self).expect("texts, numbers and lists of them are always JSON");
        format!("{BEGIN}{}{END}", hex::encode(json))
    }

    /// Finds the basis in the octets of a report.
    pub fn find(octets: &[u8]) -> Option<Self> {
        // A workbook is packed.
        let unpacked = octets.starts_with(b"PK").then(|| xlsx::properties(octets)).flatten();
        let octets = unpacked.as_deref().unwrap_or(octets);
        let begin = find(octets, BEGIN.as_bytes())? + BEGIN.len();
        let rest = &octets[begin..octets.len().min(begin + MAX)];
        let word = &rest[..find(rest, END.as_bytes())?];
        let basis: Self = serde_json::from_slice(&hex::decode(word).ok()?).ok()?;
        (basis.version == VERSION).then_some(basis)
    }
}

fn find(octets: &[u8], word: &[u8]) -> Option<usize> {
    octets.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_is_found_again_and_damage_is_none() {
        let basis = Basis {
            version: VERSION,
            format: Format::Pdf,
            lang: "en".to_owned(),
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::MAX,
            order: Some("act \"<:end>\"".to_owned()),
            group: None,
            duty: None,
            nodes: vec![],
        };
        let word = basis.to_word();
        let text = format!("<p>{word}</p>");
        assert_eq!(Basis::find(text.as_bytes()), Some(basis));
        for wrong in ["", BEGIN, &word[..word.len() - 1], &word.replace(BEGIN, "interdict-report:zz"), &word[1..]] {
            assert_eq!(Basis::find(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
