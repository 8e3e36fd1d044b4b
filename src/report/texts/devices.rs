//! The words for what devices may be, how they stand, and what to do next.

use super::Texts;
use crate::devices::{Confidence, Role, State, Step};

impl Texts {
    pub(in crate::report) const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::Endpoint => self.role_endpoint,
            Role::Many => self.role_many,
            Role::WhiteLabel => self.role_white_label,
            Role::Download => self.role_download,
            Role::Visitor => self.role_visitor,
            Role::Leak => self.role_leak,
            Role::Administrator => self.role_administrator,
            Role::Unclear => self.role_unclear,
        }
    }

    pub(in crate::report) const fn confidence(&self, confidence: Confidence) -> &'static str {
        match confidence {
            Confidence::High => self.sure_high,
            Confidence::Medium => self.sure_medium,
            Confidence::Low => self.sure_low,
        }
    }

    pub(in crate::report) const fn state(&self, state: State) -> &'static str {
        match state {
            State::Active => self.state_active,
            State::GoneQuiet => self.state_quiet,
            State::Removed => self.state_removed,
            State::Waived => self.state_waived,
        }
    }

    pub(in crate::report) const fn step(&self, step: Step) -> &'static str {
        match step {
            Step::Remove => self.step_remove,
            Step::FindOthers => self.step_find_others,
            Step::AskMaker => self.step_ask_maker,
            Step::AskWho => self.step_ask_who,
            Step::Look => self.step_look,
            Step::LookAgain => self.step_look_again,
            Step::AskApprover => self.step_ask_approver,
            Step::Nothing => self.step_nothing,
        }
    }
}
