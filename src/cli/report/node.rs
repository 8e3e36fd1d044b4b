//! One resolver as a report takes it in: its logs at their checkpoints, verified, and an index over them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::made::Wanted;
use crate::cli::folder::Folder;
use crate::cli::ledger::read_text;
use crate::ledger::checkpoint::{self, Checkpoint, MAX_NOTE};
use crate::ledger::verify::{Against, KeySource, Verification, verify_folder};
use crate::ledger::{CHECKPOINT, KeyRing, Leaf, logs, segments, tree};
use crate::report::{CheckpointShown, LogBasis, Node, NodeBasis};
use crate::store::{Store, bundle};

/// A resolver whose log and index can be read.
#[derive(Debug)]
pub(in crate::cli) struct Opened {
    pub(in crate::cli) store: Store,
    pub(in crate::cli) basis: NodeBasis,
    pub(in crate::cli) node: Node,
    pub(in crate::cli) keys: KeyRing,
    /// The folder of archived policies, where there is one.
    pub(in crate::cli) policies: Option<PathBuf>,
}

/// A log at a checkpoint.
struct Log {
    folder: PathBuf,
    basis: LogBasis,
    head: Checkpoint,
}

/// Opens a resolver at its newest checkpoint.
pub(in crate::cli) fn open(folder: &Path, wanted: &Wanted<'_>) -> anyhow::Result<Opened> {
    let logs = folders(folder)?.into_iter().map(newest).collect::<anyhow::Result<Vec<_>>>()?;
    let (mut first, last) = ends(&logs)?;
    let names: Vec<_> = logs.iter().map(|log| log.basis.origin.as_str()).collect();
    let of_these = |note: &&String| parsed(note).is_some_and(|head| names.contains(&head.origin.as_str()));
    let anchor = wanted.anchors.iter().find(of_these).cloned();
    let keys = wanted.keys.iter().filter(|key| names.contains(&key.name())).map(ToString::to_string).collect();
    let data = Folder::new(folder, false);
    let has_journal = data.journal().is_dir();
    let (store, unread) = if has_journal {
        let oldest = segments(&data.journal())?.first().copied().unwrap_or_default();
        first = first.max(oldest);
        (crate::cli::index::open(&data)?, 0)
    } else {
        indexed(&logs)?
    };
    let verified = wanted.verify;
    let logged = logs.iter().map(|log| log.basis.clone()).collect();
    let basis = NodeBasis { first, last, logs: logged, keys, anchor, verified };
    finish(folder, (&logs, basis), (store, unread), wanted)
}

/// Opens the resolver of a data folder with all that its index has, signed or not.
pub(in crate::cli) fn whole(data: &Folder) -> anyhow::Result<Opened> {
    let note = crate::ledger::newest(&data.log()).ok().flatten();
    let note = note.and_then(|folder| read_text(&folder.join(CHECKPOINT), MAX_NOTE as u64).ok());
    let name = note.as_deref().and_then(parsed).map(|head| head.origin).unwrap_or_default();
    let basis =
        NodeBasis { first: 0, last: u64::MAX, logs: Vec::new(), keys: Vec::new(), anchor: None, verified: false };
    let policies = Some(data.policies()).filter(|folder| folder.is_dir());
    let node = Node { name, ..Node::default() };
    Ok(Opened { store: crate::cli::index::open(data)?, basis, node, keys: data.keys(), policies })
}

/// Opens a resolver as an earlier report has named it, from its leaves alone.
pub(super) fn reopen(folder: &Path, basis: &NodeBasis, wanted: &Wanted<'_>) -> anyhow::Result<Opened> {
    let here = folders(folder)?;
    let mut logs = Vec::new();
    for named in &basis.logs {
        let at = |folder: &&PathBuf| newest((*folder).clone()).is_ok_and(|log| log.basis.origin == named.origin);
        let place =
            here.iter().find(at).with_context(|| format!("the log {} is not in {}", named.origin, folder.display()))?;
        let head = parsed(&named.note).filter(|head| head.origin == named.origin && head.size == named.size);
        let head = head.with_context(|| format!("the report names no checkpoint of {}", named.origin))?;
        logs.push(Log { folder: place.clone(), basis: named.clone(), head });
    }
    let (first, last) = ends(&logs)?;
    if last != basis.last {
        bail!("the last record of {} is {last}, and the report has {}", folder.display(), basis.last);
    }
    if first > basis.first {
        bail!(
            "{} begins with record {first}, and the report with {}: records were removed since, and the report cannot \
             be made again from what is left",
            folder.display(),
            basis.first
        );
    }
    let continues = |log: &Log| {
        let earlier = Some(log.basis.note.as_str());
        let found = verify_folder(folder, Against { keys: wanted.keys, earlier, ..Against::default() })?;
        let anchors = found.logs.iter().filter(|of| of.origin.as_ref() == Some(&log.basis.origin));
        let mut anchors = anchors.filter_map(|of| of.anchored.as_ref());
        match anchors.any(|anchor| anchor.leaves == log.basis.size) {
            true => Ok(()),
            false => bail!("{} does not continue the checkpoint that the report names", log.folder.display()),
        }
    };
    // The logs before the newest one do not grow any more.
    logs.last().map_or(Ok(()), continues)?;
    let (store, unread) = indexed(&logs)?;
    finish(folder, (&logs, basis.clone()), (store, unread), wanted)
}

/// Returns whether the folder holds a log of this name.
pub(super) fn has(folder: &Path, origin: &str) -> bool {
    let logs = folders(folder).unwrap_or_default();
    logs.into_iter().any(|folder| newest(folder).is_ok_and(|log| log.basis.origin == origin))
}

fn finish(
    folder: &Path,
    (logs, basis): (&[Log], NodeBasis),
    (store, unread): (Store, u64),
    wanted: &Wanted<'_>,
) -> anyhow::Result<Opened> {
    let found = wanted.verify.then(|| verified(folder, &basis, wanted)).transpose()?;
    let data = Folder::new(folder, false);
    let policies = Some(data.policies()).filter(|folder| folder.is_dir());
    let name = logs.last().map(|log| log.basis.origin.clone()).unwrap_or_default();
    let shown = |log: &Log| CheckpointShown {
        origin: log.basis.origin.clone(),
        size: log.basis.size,
        root: checkpoint::encode(&log.head.root),
    };
    let mut node = Node { name, checkpoints: logs.iter().map(shown).collect(), unread, ..Node::default() };
    node.records = (basis.first, basis.last);
    node.policies_known = policies.is_some();
    if let Some(found) = &found {
        tell(found, &mut node);
    }
    Ok(Opened { store, basis, node, keys: data.keys(), policies })
}

/// What verification says, as far as it stays the same while a sound log grows.
fn tell(found: &Verification, node: &mut Node) {
    let word = serde_json::to_value(found.integrity).ok();
    node.integrity = word.and_then(|word| word.as_str().map(str::to_owned));
    let faults = found.faults.iter().chain(found.logs.iter().flat_map(|log| &log.faults));
    node.faults = faults.map(|fault| fault.text.clone()).collect();
    node.key_given = found.logs.iter().all(|log| log.key == Some(KeySource::Given));
    let anchored = found.logs.iter().find_map(|log| log.anchored.as_ref());
    node.anchored = anchored.map(|anchor| (anchor.leaves, anchor.at));
}

fn verified(folder: &Path, basis: &NodeBasis, wanted: &Wanted<'_>) -> anyhow::Result<Verification> {
    let against = Against { keys: wanted.keys, ..Against::default() };
    Ok(verify_folder(folder, Against { earlier: basis.anchor.as_deref(), ..against })?)
}

/// Returns the folders of logs, the oldest first: those of a data folder, of its folder `ledger`, or the one log itself.
fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(CHECKPOINT).exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let within = folder.join("ledger");
    let within = if within.is_dir() { within } else { folder.to_owned() };
    let found =
        logs(&within).with_context(|| format!("cannot look into {}; ask as the daemon's user", within.display()))?;
    let folders: Vec<_> = found.into_iter().map(|number| within.join(number.to_string())).collect();
    let folders: Vec<_> = folders.into_iter().filter(|folder| folder.join(CHECKPOINT).exists()).collect();
    if folders.is_empty() {
        bail!(
            "no signed log is in {}: a data folder, its folder `ledger` or a copy of one is expected",
            folder.display()
        );
    }
    Ok(folders)
}

fn newest(folder: PathBuf) -> anyhow::Result<Log> {
    let path = folder.join(CHECKPOINT);
    let note = read_text(&path, MAX_NOTE as u64)?;
    let head = parsed(&note).with_context(|| format!("{} is no checkpoint", path.display()))?;
    let basis = LogBasis { origin: head.origin.clone(), size: head.size, note };
    Ok(Log { folder, basis, head })
}

/// Reads the text of a note; nobody's signature is looked at.
pub(in crate::cli) fn parsed(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(&note[..=note.rfind("\n\n")?]).ok()
}

/// Returns the numbers of the first leaf whose entry is there, and of the last that is signed.
fn ends(logs: &[Log]) -> anyhow::Result<(u64, u64)> {
    let mut first = None;
    let mut last = None;
    for Log { folder, basis, .. } in logs {
        let bundles = basis.size.div_ceil(tree::WIDTH);
        for index in 0..bundles {
            if first.is_some() {
                break;
            }
            first = bundle(folder, index, basis.size)?.and_then(|entries| number(entries.first()?));
        }
        if let Some(index) = bundles.checked_sub(1) {
            last = bundle(folder, index, basis.size)?.and_then(|entries| number(entries.last()?)).or(last);
        }
    }
    first.zip(last).context("no leaf is signed yet; a checkpoint comes once a minute")
}

fn number(entry: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Leaf>(entry).ok().map(|leaf| leaf.seq)
}

/// Makes an index for this one report.
fn indexed(logs: &[Log]) -> anyhow::Result<(Store, u64)> {
    let mut store = Store::temporary()?;
    let mut unread = 0;
    for Log { folder, basis, .. } in logs {
        unread += store.fill_from(folder, basis.size)?;
    }
    Ok((store, unread))
}
