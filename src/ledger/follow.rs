//! A thread that follows the journal. Nothing ever waits for it but whoever stops it.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that does its work in rounds, until stopped or dropped.
#[derive(Debug)]
pub struct Follower {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    flags: Mutex<Flags>,
    told: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Flags {
    /// Whether the thread is to end.
    wanted: bool,
    /// Whether it has.
    ended: bool,
}

impl State {
    fn flags(&self) -> std::sync::MutexGuard<'_, Flags> {
        self.flags.lock().expect("no holder of this lock panics")
    }
}

/// Tells whoever waits that the thread has ended, however it did.
struct Ending(Arc<State>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.flags().ended = true;
        self.0.told.notify_all();
    }
}

impl Follower {
    /// Starts a thread that calls `round` and waits for as long as that returns, again and again. `round` is told whether
    /// the end is asked for; then it is called until it wants to wait, so that it sees what was there by then.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(name: &str, mut round: impl FnMut(bool) -> Duration + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let of = Ending(Arc::clone(&state));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let Ending(state) = &of;
            loop {
                // Read before the work, so that one more round is made after the end was asked for.
                let stopping = state.flags().wanted;
                let wait = round(stopping);
                if wait.is_zero() {
                    continue;
                }
                if stopping {
                    return;
                }
                let flags = state.flags();
                if !flags.wanted {
                    drop(state.told.wait_timeout(flags, wait));
                }
            }
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Asks for the end, without waiting for it.
    pub fn ask_to_stop(&self) {
        self.state.flags().wanted = true;
        self.state.told.notify_all();
    }

    /// Lets the thread do a last round, and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    /// As [`stop`](Self::stop), but waits for so long at most; what the thread is at then, it does not finish.
    /// Returns whether it came to its end.
    pub fn stop_within(mut self, patience: Duration) -> bool {
        self.ask_to_stop();
        let waited = self.state.told.wait_timeout_while(self.state.flags(), patience, |flags| !flags.ended);
        let ended = waited.is_ok_and(|(flags, _)| flags.ended);
        if ended {
            self.end();
        } else {
            self.thread = None;
        }
        ended
    }

    fn end(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            // What follows the journal can go on from there at the next start.
            if thread.join().is_err() {
                tracing::error!(name, "a thread that follows the journal has panicked");
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_last_round_is_made_after_the_end_was_asked_for() {
        let (tell, told) = mpsc::channel();
        let follower = Follower::start("test", move |stopping| {
            tell.send(stopping).unwrap();
            Duration::from_secs(3600)
        })
        .unwrap();
        assert!(!told.recv().unwrap());
        follower.stop();
        assert_eq!(told.iter().collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn a_thread_that_hangs_is_not_waited_for_longer_than_wanted() {
        let (let_go, held) = mpsc::channel::<()>();
        let follower = Follower::start("test", move |_| {
            let _ = held.recv();
            Duration::from_secs(1)
        })
        .unwrap();
        assert!(!follower.stop_within(Duration::from_millis(20)));
        drop(let_go);
    }
}
