//! Keeps the index up with the journal while the daemon runs. Nothing ever waits for it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Store;

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// A thread that follows the journal, until stopped or dropped.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    wanted: Mutex<bool>,
    told: Condvar,
}

/// Starts a thread that keeps the index in the file `index` up with the journal in the folder `journal`.
///
/// # Errors
/// Where the system gives no thread.
pub fn follow(journal: impl Into<PathBuf>, index: impl Into<PathBuf>) -> io::Result<Follower> {
    let (journal, index) = (journal.into(), index.into());
    let stop = Arc::new(Stop::default());
    let thread = std::thread::Builder::new().name("index".to_owned()).spawn({
        let stop = Arc::clone(&stop);
        move || run(&journal, &index, &stop)
    })?;
    Ok(Follower { stop, thread: Some(thread) })
}

impl Follower {
    /// Reads what the journal has by now, then ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        *self.stop.wanted.lock().expect("no holder of this lock panics") = true;
        self.stop.told.notify_all();
        if let Some(thread) = self.thread.take() {
            // The index can always be made again, so that a panic here costs nothing but a log line.
            if thread.join().is_err() {
                tracing::error!("the thread of the index has panicked");
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(journal: &std::path::Path, index: &std::path::Path, stop: &Stop) {
    let mut store = None;
    let mut told = String::new();
    loop {
        // Read before the work, so that one more round is made after the stop was asked for.
        let stopping = *stop.wanted.lock().expect("no holder of this lock panics");
        if let Err(error) = round(&mut store, journal, index) {
            let text = chain(&error);
            // An error that lasts is told once.
            if text != told {
                tracing::warn!(error = text, "the index falls behind the journal; records are not affected");
                told = text;
            }
        } else if !told.is_empty() {
            tracing::info!("the index is up with the journal again");
            told.clear();
        }
        if stopping {
            return;
        }
        let wanted = stop.wanted.lock().expect("no holder of this lock panics");
        if !*wanted {
            drop(stop.told.wait_timeout(wanted, PERIOD));
        }
    }
}

fn round(
    store: &mut Option<Store>,
    journal: &std::path::Path,
    index: &std::path::Path,
) -> Result<(), super::StoreError> {
    let mut open = match store.take() {
        Some(store) => store,
        None => Store::open(index)?,
    };
    open.catch_up(journal)?;
    // Kept only if all went well: after an error it is opened afresh.
    *store = Some(open);
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
