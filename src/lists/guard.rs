//! What a list must not be: something else than a list, or one that would cut a network off.

use super::gather::Gathered;
use super::list::List;
use super::rule::Action;
use crate::client::Client;
use crate::message::{Name, RecordType};

/// Bounds that a list has to keep to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// How many hundredths of its rules before a list must still have. 0 for no such bound.
    pub least_share: u8,
    /// Names that no rule of a list may withhold, neither themselves nor all below them.
    pub never: Vec<Name>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least_share: LEAST_SHARE, never: NEVER.iter().filter_map(|name| name.parse().ok()).collect() }
    }
}

/// How many hundredths of its rules a list must still have.
pub const LEAST_SHARE: u8 = 60;

/// Under these are so many names of different people that a rule for all of them is a slip. Top-level domains that some
/// operators do block whole are not among them.
pub const NEVER: &[&str] = &[
    ".", "com", "net", "org", "edu", "gov", "mil", "int", "arpa", "eu", "uk", "us", "ca", "au", "nz", "de", "at", "ch",
    "fr", "be", "nl", "lu", "it", "es", "pt", "ie", "dk", "se", "no", "fi", "is", "pl", "cz", "sk", "hu", "ro", "bg",
    "gr", "si", "hr", "ee", "lv", "lt", "ua", "tr", "il", "jp", "kr", "in", "sg", "br", "mx", "ar", "cl", "co", "za",
    "co.uk", "org.uk", "ac.uk", "gov.uk", "com.au", "net.au", "org.au", "gov.au", "co.nz", "co.jp", "ne.jp", "or.jp",
    "co.kr", "co.in", "com.br", "com.mx", "com.ar", "com.tr", "com.sg", "co.za", "co.il", "com.cn", "com.tw", "com.hk",
];

/// Why a list is not used. The last one that was good stays in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it is empty; empty lists are not taken, since an update that failed looks so")]
    Empty,
    #[error("it is a web page, not a list; give the address of the list itself to what fetches it")]
    WebPage,
    #[error("none of the formats fits its first lines; set `format`")]
    Unknown,
    #[error("{refused} lines were not understood and only {rules} rules; set the right `format`")]
    Foreign {
        refused: usize,
        rules: u64,
        /// The first of these lines.
        line: Option<usize>,
    },
    #[error("it has {now} rules and had {before}; below {share} % it is taken for cut (see `least_share`)")]
    Shrunk { now: u64, before: u64, share: u8 },
    #[error("it would withhold {name}{below}; take the rule out, or the name out of `never`", below = if *.below { " or names below it at large" } else { "" })]
    Matches {
        name: Box<Name>,
        below: bool,
        /// The first line by which it would, where that was found.
        line: Option<usize>,
    },
}

/// Judges the text before it is read.
pub fn judge_text(text: &str) -> Result<(), Unfit> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let head: String = start.chars().take(256).collect::<String>().to_ascii_lowercase();
    if start.is_empty() {
        return Err(Unfit::Empty);
    }
    match head.starts_with("<!doctype") || head.starts_with("<html") || head.starts_with("<?xml") {
        true => Err(Unfit::WebPage),
        false => Ok(()),
    }
}

/// Judges what was read. `before` is how many rules the list had when it was last good.
pub fn judge_rules(gathered: &Gathered, before: Option<u64>, bounds: &Bounds) -> Result<(), Unfit> {
    let (now, refused) = (gathered.len(), gathered.refusals().count);
    if now == 0 && refused == 0 {
        return Err(Unfit::Empty);
    }
    if refused as u64 > now {
        let line = gathered.refusals().told.first().map(|refusal| refusal.line);
        return Err(Unfit::Foreign { refused, rules: now, line });
    }
    let share = bounds.least_share;
    match before {
        Some(before) if u128::from(now) * 100 < u128::from(before) * u128::from(share) => {
            Err(Unfit::Shrunk { now, before, share })
        }
        Some(_) | None => Ok(()),
    }
}

/// Judges what the list would do.
pub fn judge_list(list: &List, bounds: &Bounds) -> Result<(), Unfit> {
    let nobody = Client::at(std::net::Ipv4Addr::UNSPECIFIED.into());
    let withholds = |name: &Name| match list.decide(name, RecordType::A, &nobody) {
        None | Some((Action::Pass, _)) => false,
        Some((
            Action::Block
            | Action::Nxdomain
            | Action::Nodata
            | Action::Refused
            | Action::Drop
            | Action::TcpOnly
            | Action::Local(_),
            _,
        )) => true,
    };
    for name in &bounds.never {
        if withholds(name) {
            return Err(Unfit::Matches { name: Box::new(name.clone()), below: false, line: None });
        }
        // A name that nobody has: who withholds it withholds all below.
        let below = [b"\x19interdict-asks-for-nobody", name.as_wire()].concat();
        if Name::from_wire(&below).is_ok_and(|name| withholds(&name)) {
            return Err(Unfit::Matches { name: Box::new(name.clone()), below: true, line: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_must_not_match_are_names() {
        assert_eq!(Bounds::default().never.len(), NEVER.len());
    }
}
