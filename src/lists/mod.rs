//! Lists that operators bring: decided after the orders, and never against them.
//!
//! Reads many formats into one immutable index for each list, and decides by an ordered chain of them. Knows no order, reads
//! no clock and writes no response.

mod chain;
mod gather;
mod guard;
pub mod index;
mod list;
mod load;
mod map;
mod parse;
mod print;
mod rule;

pub use chain::{Chain, Dates, Link, Listed};
pub use gather::{Gathered, Refusal, Refusals};
pub use guard::{Bounds, LEAST_SHARE, NEVER, Unfit, judge_list, judge_rules, judge_text};
pub use list::{List, Rule, TableError, compile};
pub use load::{Admitted, LoadError, Loaded, MAX_TEXT, Source, admit, check, is_current, kept, load};
pub use parse::{Format, detect, network_of_labels, network_to_labels, parse};
pub use print::{Trigger, heading, print, translate};
pub use rule::{Action, Alias, Choice, Condition, LOCAL_TTL, Local, LocalRecord};
