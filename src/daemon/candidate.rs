//! The candidate that `[policy] shadow` names. It is checked with the rest, and its faults concern nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::Daemon;
use super::build::{load_policy, with_register};
use crate::config::Config;
use crate::control::Kept;
use crate::feed::{Archive, Loaded};
use crate::pipeline::{Shadow, State};
use crate::policy::Snapshot;

/// A candidate that the configuration names, and what it came to.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub path: PathBuf,
    /// The digest of its policy, or every fault for which there is no shadow.
    pub outcome: Result<[u8; 32], Vec<String>>,
    /// Its policy without the waivers that were added by command.
    archive: Option<Archive>,
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

/// Compiles the candidate with the waivers of `kept`, to decide beside `live` from `since` on, and tells its faults.
pub(super) fn load(
    config: &Config,
    live: &Arc<Snapshot>,
    kept: &Kept,
    since: Timestamp,
) -> (Option<Candidate>, Option<Arc<Shadow>>) {
    let Some(path) = &config.policy.shadow else { return (None, None) };
    match read(path, config) {
        Ok(loaded) => {
            let archive = loaded.archive.clone();
            let (Loaded { snapshot, archive: _ }, _) = with_register(loaded, kept, NUMBER);
            let outcome = Ok(*snapshot.digest());
            let shadow = Arc::new(Shadow::new(Arc::clone(live), snapshot, since));
            (Some(Candidate { path: path.clone(), outcome, archive: Some(archive) }), Some(shadow))
        }
        Err(faults) => {
            for fault in &faults {
                tracing::error!(%fault, "the candidate of [policy] shadow is not used");
            }
            (Some(Candidate { path: path.clone(), outcome: Err(faults), archive: None }), None)
        }
    }
}

/// Nothing goes by the number of a candidate's snapshot: it is asked for no epoch.
const NUMBER: u64 = 0;

/// Reads the policy of a candidate. How long waivers may last is a matter of the configuration that names it.
fn read(path: &Path, live: &Config) -> Result<Loaded, Vec<String>> {
    let mut config =
        Config::load_here(Some(path)).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    config.control = live.control.clone();
    let mut faults = Vec::new();
    match load_policy(&config, NUMBER, &mut faults) {
        (Ok(_), Ok(loaded)) => Ok(loaded),
        (Err(()), _) | (_, Err(())) => Err(faults),
    }
}

/// Lets the counters go on where a reload changed neither policy.
pub(super) fn go_on(state: &mut State, before: &State) {
    if let (Some(shadow), Some(counted)) = (&state.shadow, &before.shadow)
        && let Some(going_on) = shadow.going_on(counted)
    {
        state.shadow = Some(Arc::new(going_on));
    }
}

impl Daemon {
    /// Compiles the candidate anew beside `live`, whose waivers are others than before: those that were added by command
    /// are of the installation, and hold under the candidate as well, but for those that name what it does not have.
    pub(super) fn beside(&self, live: &Arc<Snapshot>, kept: &Kept, before: Option<&Shadow>) -> Option<Arc<Shadow>> {
        let (before, archive) = (before?, self.standing().candidate.as_ref()?.archive.clone()?);
        let snapshot = archive.compile(NUMBER).ok()?;
        let (Loaded { snapshot, archive: _ }, _) = with_register(Loaded { snapshot, archive }, kept, NUMBER);
        if let Some(candidate) = &mut self.standing().candidate {
            candidate.outcome = Ok(*snapshot.digest());
        }
        let shadow = Shadow::new(Arc::clone(live), snapshot, self.clock.read().at);
        Some(Arc::new(shadow.with_clients_of(before)))
    }
}
