//! The candidate that `[policy] shadow` names. It is checked with the rest, and its faults concern nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::build::load_policy;
use crate::config::Config;
use crate::pipeline::{Shadow, State};
use crate::policy::{Operator, Snapshot};

/// A candidate that the configuration names, and what it came to.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub path: PathBuf,
    /// The digest of its policy, or every fault for which there is no shadow.
    pub outcome: Result<[u8; 32], Vec<String>>,
}

impl Candidate {
    /// Returns the first fault, with how many there are.
    pub(super) fn fault(&self) -> Option<String> {
        let faults = self.outcome.as_ref().err()?;
        let first = faults.first().map_or("it has a fault", String::as_str);
        Some(match faults.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} (and {} more)", count - 1),
        })
    }
}

/// Compiles the candidate, to decide beside `live` from `since` on.
pub(super) fn load(
    config: &Config,
    live: &Arc<Snapshot>,
    since: Timestamp,
) -> (Option<Candidate>, Option<Arc<Shadow>>) {
    let Some(path) = &config.policy.shadow else { return (None, None) };
    match compile(path, live) {
        Ok(candidate) => {
            let outcome = Ok(*candidate.digest());
            let shadow = Arc::new(Shadow::new(Arc::clone(live), candidate, since));
            (Some(Candidate { path: path.clone(), outcome }), Some(shadow))
        }
        Err(faults) => (Some(Candidate { path: path.clone(), outcome: Err(faults) }), None),
    }
}

/// Nothing goes by the number of a candidate's snapshot: it is asked for no epoch.
const NUMBER: u64 = 0;

fn compile(path: &Path, live: &Snapshot) -> Result<Snapshot, Vec<String>> {
    let texts = |faults: Vec<crate::feed::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut config = Config::load_here(Some(path)).map_err(texts)?;
    // Waivers are of the installation and of no file: they would hold under the candidate as well.
    let waivers = live.inputs().operator.waivers.clone();
    config.policy.operator = Operator { waivers, ..config.policy.operator };
    load_policy(&config, NUMBER).map(|loaded| loaded.snapshot).map_err(texts)
}

/// Lets the counters go on where a reload changed neither policy.
pub(super) fn go_on(state: &mut State, before: &State) {
    if let (Some(shadow), Some(counted)) = (&state.shadow, &before.shadow)
        && let Some(going_on) = shadow.going_on(counted)
    {
        state.shadow = Some(Arc::new(going_on));
    }
}
