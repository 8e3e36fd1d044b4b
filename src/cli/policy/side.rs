//! One of two policies that are compared: where it comes from, and what it is.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cli::folder::{Folder, digest};
use crate::cli::settings::{Faults, load_policy, texts};
use crate::config::Config;
use crate::daemon::folder::CURRENT;
use crate::feed::Archive;
use crate::policy::Snapshot;

/// The word for the policy that the running daemon decides by.
const DAEMON: &str = "current";

/// A policy, as it was named.
#[derive(Debug)]
pub(in crate::cli) struct Side {
    pub(in crate::cli) given: String,
    pub(in crate::cli) snapshot: Snapshot,
}

impl Side {
    /// Loads what `given` names: the policy of the running daemon, an archived one by its digest, or the one that a
    /// configuration file chooses.
    pub(in crate::cli) fn load(given: &str, folder: &Folder) -> anyhow::Result<Self> {
        let snapshot = match digest(given) {
            _ if given == DAEMON => match folder.running_policy()? {
                Some(digest) => archived(&folder.policies(), &digest)?,
                None => bail!("no daemon runs in {}; {}", folder.root().display(), used_last(folder)),
            },
            Ok(digest) => archived(&folder.policies(), &digest)?,
            Err(_) if let Some((folder, digest)) = elsewhere(given) => archived(folder, &digest)?,
            Err(_) => {
                let config = Config::load_here(Some(Path::new(given))).map_err(|faults| Faults(texts(&faults)))?;
                load_policy(&config)?.snapshot
            }
        };
        Ok(Self { given: given.to_owned(), snapshot })
    }

    pub(in crate::cli) fn digest(&self) -> String {
        hex::encode(self.snapshot.digest())
    }
}

/// Returns the folder and the digest of a policy that is archived elsewhere.
fn elsewhere(given: &str) -> Option<(&Path, [u8; 32])> {
    let (folder, name) = given.rsplit_once('/')?;
    Some((Path::new(folder), digest(name).ok()?))
}

fn archived(policies: &Path, digest: &[u8; 32]) -> anyhow::Result<Snapshot> {
    let archive = Archive::open(policies, digest)?;
    let faults = |faults: Vec<_>| Faults(texts(&faults));
    archive.compile(1).map_err(faults).context("this program does not read the policy that was kept")
}

/// Says what may be given instead where no daemon runs.
fn used_last(folder: &Folder) -> String {
    match fs::read_to_string(folder.policies().join(CURRENT)) {
        Ok(text) => format!("the policy used there last is {}", text.trim()),
        Err(_) => "give a configuration file, or the digest of an archived policy".to_owned(),
    }
}
