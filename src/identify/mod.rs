//! Finds out which device is at an address, and of which name: from the configuration, from lease files of DHCP servers,
//! from the kernel's neighbour table and from PTR records.
//!
//! Everything here runs on a thread of its own, off the path of queries, and fills the table of `client`. What a source
//! cannot tell is told to the operator once and hinders nothing: clients stay known by their networks.

mod files;
mod lease;
mod names;
mod neighbours;
mod pointers;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
pub use lease::{Format, LeaseFile};
pub use names::Names;

use crate::client::{Clients, Device, Hardware, Known, MAX_DEVICES, Source};
use crate::clock::Clock;
use crate::message::Name;
use crate::observe::Metrics;
use files::Watched;
use pointers::Pointers;

/// How often sources are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a start waits for the first look, so that the first query is decided by what is known already.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How long a stop waits for a look that is under way.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What tells devices and names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    pub devices: Vec<StaticDevice>,
    pub leases: Vec<LeaseFile>,
    /// Whether the kernel's neighbour table is read.
    pub neighbours: bool,
    /// Whether PTR records are asked for.
    pub ptr: bool,
}

impl Sources {
    /// Returns what is known without looking anywhere: the devices of the configuration.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        for StaticDevice { name, hardware, addresses } in &self.devices {
            known.names.extend(hardware.map(|hardware| (hardware, name.clone())));
            known.devices.extend(addresses.iter().map(|address| Device {
                address: *address,
                hardware: *hardware,
                name: Some(name.clone()),
                source: Source::Static,
            }));
        }
        known
    }
}

/// Reads once what the configuration and lease files tell of devices; what cannot be read is told in the log, and left out.
pub fn look_once(sources: &Sources, now: Timestamp) -> Known {
    let mut known = sources.known();
    for file in &sources.leases {
        let mut watched = Watched::new(file.clone());
        watched.look(now);
        known.devices.extend(watched.devices(now));
    }
    known
}

/// A device of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticDevice {
    pub name: Name,
    pub hardware: Option<Hardware>,
    pub addresses: Vec<IpAddr>,
}

/// The running thread.
pub struct Identifier {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    ended: Mutex<Receiver<()>>,
}

/// What the thread is told.
enum Order {
    /// Look at these sources from now on.
    Look(Sources),
    Stop,
}

struct Shared {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// Whom to tell, and what was told.
struct State {
    clients: Arc<Clients>,
    sources: Sources,
    /// What lease files, the kernel and PTR records told last.
    found: Vec<Device>,
    pointers: Pointers,
    /// Whether it was told that the table is full.
    told_full: bool,
}

impl Identifier {
    /// Starts the thread that fills the table of `clients`, and waits a little for its first look.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        sources: Sources,
        clients: Arc<Clients>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let state = State {
            clients,
            sources: sources.clone(),
            found: Vec::new(),
            pointers: Pointers::default(),
            told_full: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), clock, metrics });
        shared.lock().publish(&shared);
        let (orders, ordered) = channel();
        let (end, ended) = channel();
        let (looked, first) = channel();
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("identify".to_owned()).spawn(move || {
            own.run(sources, &ordered, &looked);
            // Nobody listens where the stop was not waited for.
            let _ = end.send(());
        })?;
        // Without it, clients are known by their networks until the first look is over.
        let _ = first.recv_timeout(FIRST_LOOK);
        Ok(Self { shared, orders, ended: Mutex::new(ended) })
    }

    /// Takes over other sources and other groups. What is known goes into their table at once; it is looked for anew
    /// by the thread.
    pub fn configure(&self, sources: Sources, clients: Arc<Clients>) {
        let mut state = self.shared.lock();
        state.found.retain(|device| match device.source {
            Source::Lease => !sources.leases.is_empty(),
            Source::Neighbour => sources.neighbours,
            Source::Ptr => sources.ptr,
            Source::Static => true,
        });
        if !sources.ptr {
            state.pointers = Pointers::default();
        }
        state.clients = clients;
        state.sources = sources.clone();
        state.publish(&self.shared);
        // A thread that has ended has told why.
        let _ = self.orders.send(Order::Look(sources));
    }

    /// Returns an address whose PTR record should be asked for now, if there is one. Never one that was answered for not
    /// long ago, so that the pace is the caller's alone.
    pub fn next_stranger(&self) -> Option<IpAddr> {
        let now = self.shared.clock.read().boot;
        let mut state = self.shared.lock();
        let State { clients, pointers, .. } = &mut *state;
        pointers.next(clients, now)
    }

    /// Takes the name that a PTR record tells, with its TTL; `None` where there is none.
    pub fn named(&self, address: IpAddr, name: Option<(Name, Duration)>) {
        let now = self.shared.clock.read().boot;
        self.shared.lock().pointers.answered(address, name, now);
    }

    /// Takes that nobody answered about the name of an address.
    pub fn unnamed(&self, address: IpAddr) {
        let now = self.shared.clock.read().boot;
        self.shared.lock().pointers.unanswered(address, now);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
        // A disk that hangs must not keep the daemon from stopping.
        let _ = self.ended.lock().expect("no holder of this lock panics").recv_timeout(LAST_LOOK);
    }
}

impl Shared {
    fn run(&self, mut sources: Sources, orders: &Receiver<Order>, looked: &Sender<()>) {
        let mut work = Work::default();
        loop {
            work.configure(&sources);
            let found = work.look(self.clock.as_ref());
            self.metrics.set_lease_lines_not_understood(work.files.iter().map(Watched::not_understood).sum());
            self.publish(&sources, found);
            let _ = looked.send(());
            sources = match orders.recv_timeout(PERIOD) {
                Ok(Order::Look(ordered)) => ordered,
                Err(RecvTimeoutError::Timeout) => sources,
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Builds the table anew where more or other is known than before. What was found for sources that count no more is
    /// let go.
    fn publish(&self, sources: &Sources, mut found: Vec<Device>) {
        let mut state = self.lock();
        found.extend(state.pointers.devices(self.clock.read().boot));
        if *sources == state.sources && found != state.found {
            state.found = found;
            state.publish(self);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn publish(&mut self, shared: &Shared) {
        let metrics = &shared.metrics;
        let known = self.known();
        for source in Source::ALL {
            let count = known.devices.iter().filter(|device| device.source == source).count();
            metrics.set_devices(source.as_str(), count);
        }
        self.clients.learn(&known);
        let left_out = self.clients.table().left_out();
        metrics.set_devices_left_out(left_out);
        if left_out > 0 && !self.told_full {
            tracing::warn!(left_out, most = MAX_DEVICES, "more is known than the table of clients takes");
        }
        self.told_full = left_out > 0;
    }

    fn known(&self) -> Known {
        let mut known = self.sources.known();
        known.devices.extend(self.found.iter().cloned());
        known
    }
}

/// What the thread keeps between its looks.
#[derive(Debug, Default)]
struct Work {
    files: Vec<Watched>,
    neighbours: bool,
    /// What was told of the neighbour table last, so that it is told once.
    told: Option<String>,
    /// What the kernel told last; kept while it does not answer.
    seen: Vec<Device>,
}

impl Work {
    /// Takes over other sources; files that stay are not read again.
    fn configure(&mut self, sources: &Sources) {
        self.neighbours = sources.neighbours;
        if self.files.iter().map(|watched| &watched.file).eq(&sources.leases) {
            return;
        }
        let mut before = std::mem::take(&mut self.files);
        self.files = sources
            .leases
            .iter()
            .map(|file| match before.iter().position(|watched| watched.file == *file) {
                Some(at) => before.swap_remove(at),
                None => Watched::new(file.clone()),
            })
            .collect();
    }

    /// Looks at every source and returns what it tells.
    fn look(&mut self, clock: &dyn Clock) -> Vec<Device> {
        // Leases end by the clock that their server goes by, which is not that of a rehearsal.
        let now = clock.read().raw;
        self.files.iter_mut().for_each(|file| file.look(now));
        let mut found: Vec<_> = self.files.iter().flat_map(|file| file.devices(now)).collect();
        if !self.neighbours {
            self.seen.clear();
            return found;
        }
        match neighbours::read() {
            Ok(seen) => {
                self.seen = seen;
                self.told = None;
            }
            Err(error) => self.tell(error.to_string()),
        }
        found.extend(self.seen.iter().cloned());
        found
    }

    fn tell(&mut self, error: String) {
        if self.told.as_ref() != Some(&error) {
            tracing::warn!(%error, "the neighbour table of the kernel cannot be read");
        }
        self.told = Some(error);
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identifier").finish_non_exhaustive()
    }
}
