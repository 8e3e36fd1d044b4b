//! Notices that files of the configuration were replaced, where nobody is there to send a signal: a config map of Kubernetes changes
//! by itself, by a link that leads elsewhere from one moment to the next.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::config::Config;

/// How often it is looked.
const PACE: Duration = Duration::from_secs(1);
/// How many files of a folder are looked at.
const MOST: usize = 4096;

/// What tells one content of a file from the next without reading it: where it is, how long it is, when it was written, and when
/// the kernel says that it was.
type Identity = (u64, u64, u64, [(i64, i64); 2]);
/// None where there is no such file.
type Identities = BTreeMap<PathBuf, Option<Identity>>;

/// The files that a reload would read. Clones share what was seen of them.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// The configuration file.
    file: Option<PathBuf>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    paths: Vec<PathBuf>,
    /// As they were when they were read last.
    seen: Identities,
}

impl Files {
    /// Returns the files of a configuration as they are now.
    pub(super) fn new(file: Option<&Path>, config: &Config) -> Self {
        let paths = paths(file, config);
        let seen = look(&paths);
        Self { file: file.map(Path::to_owned), kept: Arc::new(Mutex::new(Kept { paths, seen })) }
    }

    /// Takes the files for read as they are now. To be called before they are read, so that no change is missed.
    pub(super) fn read(&self) {
        let mut kept = self.lock();
        kept.seen = look(&kept.paths);
    }

    /// Goes on with the files of another configuration, which is read now. To be called before they are, also where one of them
    /// turns out to be missing or wrong: it may come later.
    pub(super) fn follow(&self, config: &Config) {
        let paths = paths(self.file.as_deref(), config);
        let mut kept = self.lock();
        let seen = std::mem::take(&mut kept.seen);
        kept.seen = look(&paths);
        kept.seen.extend(seen.into_iter().filter(|(path, _)| paths.iter().any(|of| path.starts_with(of))));
        kept.paths = paths;
    }

    /// Tells of a file that is another one than was read, as often as that happens.
    pub(super) async fn watch(self, changed: mpsc::Sender<PathBuf>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            pace.tick().await;
            let paths = self.lock().paths.clone();
            let Ok(now) = spawn_blocking(move || look(&paths)).await else { continue };
            // What differs between two looks is still being written.
            let steady = before.as_ref() == Some(&now);
            let other = self.lock().other(&now);
            if let Some(path) = other.filter(|_| steady)
                && changed.send(path).await.is_err()
            {
                return;
            }
            before = Some(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }
}

impl Kept {
    /// Returns the first file that is another one now.
    fn other(&self, now: &Identities) -> Option<PathBuf> {
        let changed = now.iter().find(|(path, identity)| self.seen.get(*path) != Some(identity));
        let gone = || self.seen.keys().find(|path| !now.contains_key(*path));
        changed.map(|(path, _)| path).or_else(gone).cloned()
    }
}

/// Returns what a reload would read. What comes with the program has names that are no files, and stay so.
fn paths(file: Option<&Path>, config: &Config) -> Vec<PathBuf> {
    let policy = &config.policy;
    let chosen = policy.catalogues.iter().chain(&policy.orders).chain(&policy.waivers).map(PathBuf::from);
    // What the daemon has fetched itself it takes up by itself.
    let lists = config.lists.lists.iter().filter(|list| list.origin.is_none()).map(|list| list.source.path.clone());
    let others = chosen.chain(lists).chain(policy.shadow.clone());
    file.map(Path::to_owned).into_iter().chain(others).collect()
}

fn look(paths: &[PathBuf]) -> Identities {
    let within = |path: &PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).take(MOST);
        entries.map(|entry| entry.path()).collect()
    };
    let all = paths.iter().flat_map(|path| std::iter::once(path.clone()).chain(within(path)));
    all.map(|path| (path.clone(), identity(&path))).collect()
}

fn identity(path: &Path) -> Option<Identity> {
    let of = fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.len(), [(of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_another_one_once_its_content_its_place_or_a_folder_of_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("orders")).unwrap();
        fs::create_dir_all(at("one")).unwrap();
        fs::write(at("one/conf"), "a").unwrap();
        std::os::unix::fs::symlink("one", at("data")).unwrap();
        let paths = vec![at("data/conf"), at("orders")];
        let mut kept = Kept { seen: look(&paths), paths: paths.clone() };
        let mut other = || {
            let now = look(&paths);
            let other = kept.other(&now);
            kept.seen = now;
            other
        };
        assert_eq!(other(), None);
        fs::write(at("one/conf"), "bc").unwrap();
        assert_eq!(other(), Some(at("data/conf")));
        let written = fs::metadata(at("one/conf")).unwrap().modified().unwrap();
        fs::write(at("one/conf"), "cb").unwrap();
        fs::File::options().write(true).open(at("one/conf")).unwrap().set_modified(written).unwrap();
        assert_eq!(other(), Some(at("data/conf")), "as long, and dated back");
        fs::create_dir(at("two")).unwrap();
        fs::write(at("two/conf"), "bc").unwrap();
        std::os::unix::fs::symlink("two", at("new")).unwrap();
        fs::rename(at("new"), at("data")).unwrap();
        assert_eq!(other(), Some(at("data/conf")), "the same octets elsewhere");
        fs::write(at("orders/a.toml"), "").unwrap();
        assert!(other().is_some_and(|path| path.starts_with(at("orders"))));
        fs::remove_file(at("orders/a.toml")).unwrap();
        assert!(other().is_some_and(|path| path.starts_with(at("orders"))));
        fs::remove_file(at("two/conf")).unwrap();
        assert_eq!(other(), Some(at("data/conf")));
        assert_eq!(other(), None);
    }
}
