//! An upstream that does as it is told: late, wrong or lying answers that no real server gives on demand.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::place;
use crate::wire::{self, Stream};

/// A server whose answers are given by a function from each query to the datagrams that are sent back.
pub struct Scripted {
    pub address: SocketAddr,
    asked: Log,
    ended: Arc<AtomicBool>,
}

impl Scripted {
    pub fn start(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::by_transport(move |query, _| script(query))
    }

    /// As [`Self::start`], where the script is told as well whether the query came over TCP.
    pub fn by_transport(script: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let address = place::socket();
        let socket = UdpSocket::bind(address).unwrap();
        let listener = TcpListener::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (script, asked, ended) = (Arc::new(script), Log::default(), Arc::new(AtomicBool::new(false)));
        let shared = (script, asked.clone(), ended.clone());
        std::thread::spawn(move || datagrams(&socket, &listener, shared));
        Self { address, asked, ended }
    }

    /// Returns how many queries for a name have come. The daemon asks for names of its own as well, to find loops.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(_, query)| wire::asked_name(query) == name).count()
    }

    /// Returns from where each query came, and the query.
    pub fn queries(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

type Log = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;
type Shared<S> = (Arc<S>, Log, Arc<AtomicBool>);

fn datagrams<S>(socket: &UdpSocket, listener: &TcpListener, shared: Shared<S>)
where
    S: Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
{
    let mut buffer = [0; 65535];
    while !shared.2.load(Ordering::SeqCst) {
        if let Ok((stream, _)) = listener.accept() {
            let shared = (shared.0.clone(), shared.1.clone(), shared.2.clone());
            stream.set_nonblocking(false).unwrap();
            std::thread::spawn(move || stream_of(Stream(stream), &shared));
        }
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let query = buffer[..length].to_vec();
        let (script, asked) = (shared.0.clone(), shared.1.clone());
        let socket = socket.try_clone().unwrap();
        // A thread for each query, so that one that is held back does not hold up the others.
        std::thread::spawn(move || {
            asked.lock().unwrap().push((from, query.clone()));
            for answer in script(&query, false) {
                drop(socket.send_to(&answer, from));
            }
        });
    }
}

fn stream_of<S: Fn(&[u8], bool) -> Vec<Vec<u8>>>(mut stream: Stream, (script, asked, _): &Shared<S>) {
    let Ok(from) = stream.0.peer_addr() else { return };
    while let Ok(query) = stream.receive() {
        asked.lock().unwrap().push((from, query.clone()));
        for answer in script(&query, true) {
            if stream.send(&answer).is_err() {
                return;
            }
        }
    }
}

/// Holds threads back until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn pass(&self) {
        let (open, changed) = &*self.0;
        // The limit keeps a failed test from leaving threads behind for ever.
        drop(changed.wait_timeout_while(open.lock().unwrap(), Duration::from_secs(60), |open| !*open).unwrap());
    }

    pub fn open(&self) {
        let (open, changed) = &*self.0;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }
}
