//! How a device stands: still seen, silent, confirmed as rid of the product, or excepted; and what to do next.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::role::Role;

/// How a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was seen lately.
    Active,
    /// It was not seen for a while. That is unknown, and not compliance: products turn to other resolvers.
    GoneQuiet,
    /// Somebody has confirmed that the product was removed, and it was not seen since.
    Removed,
    /// Since a waiver that is in force began, all of its contact was let through by it.
    Waived,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Active, Self::GoneQuiet, Self::Removed, Self::Waived];

    /// Returns the words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::GoneQuiet => "gone quiet",
            Self::Removed => "removed",
            Self::Waived => "waived",
        }
    }
}

/// When a device attempted contact with a prohibited service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub first: Timestamp,
    pub last: Timestamp,
    /// The last contact that no waiver let through.
    pub unwaived: Option<Timestamp>,
}

/// That a person has confirmed the removal of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    pub at: Timestamp,
    /// Who gave the command, as the kernel told.
    pub actor: String,
    /// Who confirms, and why, in the words of the record.
    pub what: String,
}

/// How a device stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub state: State,
    /// Since when nothing was seen, where it has gone quiet or was removed.
    pub silent_since: Option<Timestamp>,
    pub confirmation: Option<Confirmation>,
    /// Whether it was seen again after its removal was confirmed.
    pub seen_again: bool,
}

impl Standing {
    /// Judges a device that attempted contact. Records tell of the time up to `until`; a device that was not seen for `quiet`
    /// before that has gone quiet. `waived` is the instant at which the newest waiver began that has let contact of it through
    /// and is in force.
    pub fn of(
        seen: &Seen,
        confirmation: Option<&Confirmation>,
        waived: Option<Timestamp>,
        (until, quiet): (Timestamp, SignedDuration),
    ) -> Self {
        let confirmation = confirmation.cloned();
        let seen_again = confirmation.as_ref().is_some_and(|of| seen.last > of.at);
        let is_quiet = until.duration_since(seen.last) > quiet;
        // Waivers begin at whole seconds.
        let before = |last: Timestamp, from: Timestamp| last.as_second() <= from.as_second();
        let is_waived = waived.is_some_and(|from| seen.unwaived.is_none_or(|last| before(last, from)));
        let state = match (&confirmation, seen_again) {
            (Some(_), false) => State::Removed,
            (Some(_), true) | (None, _) if is_quiet => State::GoneQuiet,
            (Some(_), true) | (None, _) if is_waived => State::Waived,
            (Some(_), true) | (None, _) => State::Active,
        };
        let silent_since = matches!(state, State::GoneQuiet | State::Removed).then_some(seen.last);
        Self { state, silent_since, confirmation, seen_again }
    }
}

/// What whoever looks after the device does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Remove the product.
    Remove,
    /// Find out for whom it speaks.
    FindOthers,
    /// Ask the maker of the product that has the engine.
    AskMaker,
    /// Ask who fetched or opened it, and what for.
    AskWho,
    /// Look at the machine.
    Look,
    /// Look again: the removal was confirmed, and it was seen since.
    LookAgain,
    /// Ask whoever approved the waiver before it ends.
    AskApprover,
    /// Nothing.
    Nothing,
}

impl Step {
    pub const ALL: [Self; 8] = [
        Self::Remove,
        Self::FindOthers,
        Self::AskMaker,
        Self::AskWho,
        Self::Look,
        Self::LookAgain,
        Self::AskApprover,
        Self::Nothing,
    ];

    /// Returns the next step for a device of a role; without a standing it attempted no contact.
    pub const fn of(role: Role, standing: Option<&Standing>) -> Self {
        let Some(Standing { state, seen_again, .. }) = standing else { return Self::Nothing };
        match (state, role) {
            (State::Removed, _) => Self::Nothing,
            (State::Waived, _) => Self::AskApprover,
            (State::Active | State::GoneQuiet, _) if *seen_again => Self::LookAgain,
            (State::Active | State::GoneQuiet, Role::Visitor | Role::Leak) => Self::Nothing,
            (State::Active | State::GoneQuiet, Role::Many) => Self::FindOthers,
            (State::Active, Role::Endpoint) => Self::Remove,
            (State::Active, Role::WhiteLabel) => Self::AskMaker,
            (State::Active, Role::Download | Role::Administrator) => Self::AskWho,
            (State::Active, Role::Unclear) | (State::GoneQuiet, _) => Self::Look,
        }
    }

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::FindOthers => "find-others",
            Self::AskMaker => "ask-maker",
            Self::AskWho => "ask-who",
            Self::Look => "look",
            Self::LookAgain => "look-again",
            Self::AskApprover => "ask-approver",
            Self::Nothing => "nothing",
        }
    }

    /// Returns what to do, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Remove => "remove the product, then confirm the removal",
            Self::FindOthers => {
                "it speaks for others; look in its own lists for the machines behind it, move them, then remove the product there"
            }
            Self::AskMaker => "find the product that has the engine, and ask its maker for one without",
            Self::AskWho => "ask who fetched or opened it and what for; nothing need be installed",
            Self::Look => {
                "look at the machine; silence and little traffic prove nothing; remove what is found, then confirm"
            }
            Self::LookAgain => {
                "seen again after its removal was confirmed; look again, or find out whether the address went to another machine"
            }
            Self::AskApprover => "ask whoever approved the waiver what replaces the product, before the waiver ends",
            Self::Nothing => "nothing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn seen(last: &str, unwaived: Option<&str>) -> Seen {
        Seen { first: at("2026-01-01T00:00:00Z"), last: at(last), unwaived: unwaived.map(at) }
    }

    fn confirmed(when: &str) -> Confirmation {
        Confirmation { at: at(when), actor: "uid 7".to_owned(), what: "x".to_owned() }
    }

    #[test]
    fn silence_is_not_removal_and_being_seen_again_ends_it() {
        let (until, quiet) = (at("2026-03-01T00:00:00Z"), SignedDuration::from_hours(7 * 24));
        let (late, early) = ("2026-02-28T00:00:00Z", "2026-02-01T00:00:00Z");
        for (seen, confirmation, waived, state, again) in [
            (seen(late, Some(late)), None, None, State::Active, false),
            (seen(early, Some(early)), None, None, State::GoneQuiet, false),
            (seen("2026-02-22T00:00:00Z", Some(early)), None, None, State::Active, false),
            (seen(early, Some(early)), Some("2026-02-02T00:00:00Z"), None, State::Removed, false),
            (seen(early, Some(early)), Some(early), None, State::Removed, false),
            (seen(late, Some(late)), Some("2026-02-02T00:00:00Z"), None, State::Active, true),
            (seen("2026-02-03T00:00:00Z", Some(early)), Some("2026-02-02T00:00:00Z"), None, State::GoneQuiet, true),
            (seen(late, Some(early)), None, Some("2026-02-10T00:00:00Z"), State::Waived, false),
            (seen(late, None), None, Some("2026-02-10T00:00:00Z"), State::Waived, false),
            (seen(late, Some(late)), None, Some("2026-02-10T00:00:00Z"), State::Active, false),
            (seen(early, None), None, Some("2026-01-10T00:00:00Z"), State::GoneQuiet, false),
        ] {
            let confirmation = confirmation.map(confirmed);
            let found = Standing::of(&seen, confirmation.as_ref(), waived.map(at), (until, quiet));
            assert_eq!((found.state, found.seen_again), (state, again), "{seen:?} {confirmation:?} {waived:?}");
            let is_silent = matches!(state, State::GoneQuiet | State::Removed);
            assert_eq!(found.silent_since, is_silent.then_some(seen.last));
        }
    }

    #[test]
    fn nobody_is_told_to_remove_what_need_not_be_there() {
        let standing = |state, seen_again| Standing { state, silent_since: None, confirmation: None, seen_again };
        for role in Role::ALL {
            let of = |state, again| Step::of(role, Some(&standing(state, again)));
            assert_eq!(of(State::Active, false) == Step::Remove, role == Role::Endpoint, "{role}");
            assert_ne!(of(State::GoneQuiet, false), Step::Remove, "{role}");
            assert_eq!((of(State::Removed, false), of(State::Active, true)), (Step::Nothing, Step::LookAgain));
            assert_eq!((Step::of(role, None), of(State::Waived, true)), (Step::Nothing, Step::AskApprover));
        }
    }
}
