//! What is kept of answers outlives a restart, where the configuration says so: written at a stop, taken up and removed at
//! the next start.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::background::Runner;
use super::folder::ANSWERS;
use crate::cache::Boot;
use crate::pipeline::Pipeline;

/// What a file of answers may take at most beyond the memory that they may take; more was not written here.
const MOST_BEYOND: u64 = 1 << 20;

/// Writes what is kept into the data folder.
pub(super) fn save(pipeline: &Pipeline, folder: &Path) {
    let (path, partial) = (folder.join(ANSWERS), partial(folder));
    let write = || {
        // One that was left by a crash is not this user's to be read by others.
        remove(&partial)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        pipeline.save(BufWriter::new(file), boot()?)?;
        fs::rename(&partial, &path)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, path = %path.display(), "kept answers cannot be saved; the next start begins without");
        let _ = fs::remove_file(&partial);
    }
}

/// Takes up what was saved, off the path of queries, or only removes it.
pub(super) fn take_up(pipeline: &Arc<Pipeline>, folder: &Path, (wanted, size): (bool, u64), runner: Runner) {
    let (path, partial) = (folder.join(ANSWERS), partial(folder));
    let pipeline = Arc::clone(pipeline);
    tokio::spawn(async move {
        let job = move || {
            let read = |path: &Path| match fs::metadata(path) {
                Ok(file) if wanted && file.is_file() && file.len() <= size + MOST_BEYOND => {
                    Ok(Some((fs::read(path)?, boot()?)))
                }
                Ok(_) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
            let octets = read(&path);
            // Whatever it is, no later start takes it up.
            let removed = remove(&path).and(remove(&partial));
            match (octets, removed) {
                (Ok(Some((octets, boot))), Ok(())) => {
                    let answers = pipeline.take_up(&octets, boot);
                    tracing::info!(answers, "answers that were kept at the last stop were taken up");
                }
                (Ok(None), Ok(())) => {}
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, path = %path.display(), "kept answers cannot be taken up");
                }
            }
        };
        // A panic has told of itself.
        let _ = runner.run(job).await;
    });
}

/// Returns which boot of the machine it is.
fn boot() -> io::Result<Boot> {
    let mut boot = [0; 16];
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    hex::decode_to_slice(text.trim().replace('-', ""), &mut boot).map_err(io::Error::other)?;
    Ok(boot)
}

/// Where answers are written until all are.
fn partial(folder: &Path) -> PathBuf {
    folder.join(format!("{ANSWERS}.partial"))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
