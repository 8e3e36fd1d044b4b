//! What a notice says, as templates and webhooks get it.

use jiff::Timestamp;
use serde::Serialize;

use super::plan::Kind;
use crate::feed;

/// The version of the form that webhooks get.
const VERSION: u32 = 1;
/// The longest text that is taken over from orders, devices and the like, in characters.
const MAX_TEXT: usize = 300;

/// A notice. Texts of others in it hold no control or invisible characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub version: u32,
    pub id: String,
    /// `before`, `start`, `digest` or `test`.
    pub kind: &'static str,
    /// The policy instant that it tells of.
    pub at: Timestamp,
    /// The name of the log of this resolver, or of its machine.
    pub node: String,
    /// How many days before the notice devices were looked for.
    pub look_back_days: u16,
    /// The instant up to which records tell; none where no leaf covers any time.
    pub until: Option<Timestamp>,
    /// Whether nothing is withheld from anybody at present: in a dry run, or while prohibitions are lifted in an emergency.
    pub only_monitored: bool,
    /// Until when, where that ends by itself.
    pub only_monitored_until: Option<Timestamp>,
    pub subjects: Vec<Subject>,
}

/// A prohibition with the devices that attempted contact with what it prohibits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    pub order: String,
    pub title: String,
    pub citation: String,
    pub prohibition: String,
    /// What is prohibited.
    pub what: String,
    pub begins: Timestamp,
    pub in_force: bool,
    /// Days until it begins, rounded up; 0 once it is in force.
    pub days_left: i64,
    /// How well the instant and the list of acts are verified.
    pub verified: String,
    /// Devices that are not confirmed as rid of the product: the sum of the next three.
    pub devices: u64,
    pub active: u64,
    pub gone_quiet: u64,
    pub waived: u64,
    /// Devices whose removal somebody has confirmed.
    pub removed: u64,
    pub groups: Vec<Group>,
    /// None unless the configuration wants devices to be told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed: Option<Vec<Listed>>,
    /// Devices that are too many to be listed.
    pub unlisted: u64,
}

/// The devices of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub group: String,
    /// How the order applies to the group, in words.
    pub treatment: String,
    pub devices: u64,
    pub active: u64,
    pub gone_quiet: u64,
    pub waived: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub device: String,
    pub name: Option<String>,
    pub group: String,
    pub state: &'static str,
    pub services: Vec<String>,
    pub last: Timestamp,
    /// What to do next, in words.
    pub next: &'static str,
}

impl Facts {
    /// Returns a notice that says nothing yet.
    pub fn new(id: &str, kind: Kind, at: Timestamp, node: &str, look_back_days: u16) -> Self {
        let (id, node) = (clean(id), clean(node));
        Self {
            version: VERSION,
            id,
            kind: kind.as_str(),
            at: whole(at),
            node,
            look_back_days,
            until: None,
            only_monitored: false,
            only_monitored_until: None,
            subjects: Vec::new(),
        }
    }
}

/// Returns an instant in whole seconds, as people write it.
pub(super) fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Returns a text of somebody else on one line, with every character escaped that nobody sees.
pub(super) fn clean(text: &str) -> String {
    let mut shown = String::new();
    for (place, character) in text.chars().enumerate() {
        if place >= MAX_TEXT {
            shown.push('…');
            break;
        }
        if feed::is_visible(character.encode_utf8(&mut [0; 4])) {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    shown
}
