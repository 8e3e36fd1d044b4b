//! The configuration as commands need it: which file, which environment, which faults.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::SignedDuration;

use super::folder::Folder;
use crate::config::{self, Config};
use crate::feed::{self, Loaded};
use crate::policy::Operator;

/// Which configuration a command works with.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file; without it, the defaults and the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which records a command works with.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FolderArgs {
    /// Look at rehearsals, whose records are kept apart.
    #[arg(long)]
    rehearsal: bool,
}

/// Everything that is wrong with the configuration and what it chooses, one text each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(super) struct Faults(pub(super) Vec<String>);

impl ConfigArgs {
    /// Returns the configuration file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Loads the configuration.
    pub(super) fn load(&self) -> Result<Config, Faults> {
        self.load_config().map_err(|faults| Faults(texts(&faults)))
    }

    /// Loads the configuration as the daemon does, at its start and at each reload.
    pub(super) fn load_config(&self) -> Result<Config, Vec<config::Fault>> {
        Config::load_here(self.config.as_deref())
    }
}

impl FolderArgs {
    pub(super) const fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    pub(super) fn of(&self, config: &Config) -> Folder {
        Folder::new(&config.data_dir, self.rehearsal)
    }
}

/// Reads and compiles what the configuration chooses; waivers that were added by command are the daemon's alone.
pub(super) fn load_policy(config: &Config) -> Result<Loaded, Faults> {
    let days = config.control.waiver_max_days;
    let longest = (days > 0).then(|| SignedDuration::from_hours(i64::from(days) * 24));
    let faults = |faults: Vec<feed::Fault>| Faults(texts(&config.located(faults)));
    let files = feed::read_waivers(&config.policy.waivers, longest).map_err(faults)?;
    if !files.unread.is_empty() {
        return Err(faults(files.unread));
    }
    let waivers = files.waivers.iter().map(|file| file.waiver.clone()).collect();
    let operator = Operator { waivers, ..config.operator() };
    let fetched = config.shelf().documents().map_err(faults)?;
    feed::load_with(&config.selection(), fetched, operator, 1).map_err(|of| faults(files.located(of)))
}

pub(super) fn texts(faults: &[impl ToString]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
