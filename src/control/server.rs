//! Takes requests: bounded in size, time and number, one a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Actor, Command, MAX_REQUEST, Reply, Request, VERSION};

/// Connections at a time; commands are given by people.
const CONNECTIONS: usize = 16;
/// How long a peer may take over its request, and over taking the reply.
const PEER_TIME: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };
/// How long a command may wait for those before it and be carried out.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// How long accepting pauses when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A command that waits to be carried out.
#[derive(Debug)]
pub struct Call {
    pub actor: Actor,
    pub command: Command,
    /// Where the peer waits for what came of it.
    pub reply: oneshot::Sender<Reply>,
}

/// Takes connections and hands their commands to `calls`, for as long as somebody takes them.
pub async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let calls = calls.clone();
        tokio::spawn(async move {
            // A connection that breaks concerns its peer alone.
            let _ = converse(stream, &calls).await;
            drop(permit);
        });
    }
}

async fn converse(mut stream: UnixStream, calls: &mpsc::Sender<Call>) -> io::Result<()> {
    let actor = Actor::of(&stream).await?;
    let reply = match tokio::time::timeout(PEER_TIME, read(&mut stream)).await {
        Ok(Ok(command)) => carry_out(actor, command, calls).await,
        Ok(Err(told)) => Reply::refused(told),
        Err(_) => Reply::refused("the request took too long to come"),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    let write = async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(PEER_TIME, write).await?
}

/// Reads the one request of a connection; where there is none, returns what to tell the peer.
async fn read(stream: &mut UnixStream) -> Result<Command, String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream).take(MAX_REQUEST as u64 + 1);
    reader.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
    if line.len() > MAX_REQUEST {
        return Err(format!("a request has at most {MAX_REQUEST} octets"));
    }
    if !line.ends_with(b"\n") {
        return Err("the request has no end: it is one line of JSON with its line feed".to_owned());
    }
    let Request { version, command } =
        serde_json::from_slice(&line).map_err(|error| format!("this is no request that a daemon takes: {error}"))?;
    match version {
        VERSION => Ok(command),
        other => Err(format!("the request has version {other}; this daemon takes version {VERSION}")),
    }
}

async fn carry_out(actor: Actor, command: Command, calls: &mpsc::Sender<Call>) -> Reply {
    let (reply, done) = oneshot::channel();
    let ending = || Reply::refused("the daemon is stopping");
    let carried = async {
        if calls.send(Call { actor, command, reply }).await.is_err() {
            return ending();
        }
        done.await.unwrap_or_else(|_| ending())
    };
    let late = || Reply::refused("the daemon is busy; whether it was done is shown by `interdict changes`");
    tokio::time::timeout(COMMAND_TIME, carried).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A daemon that says of each command who gave it.
    fn start(path: &Path) {
        let listener = UnixListener::from_std(super::super::bind(path).unwrap()).unwrap();
        let (calls, mut called) = mpsc::channel::<Call>(1);
        tokio::spawn(serve(listener, calls));
        tokio::spawn(async move {
            while let Some(Call { actor, command, reply }) = called.recv().await {
                drop(reply.send(Reply::done(format!("{} {command:?}", actor.uid))));
            }
        });
    }

    async fn say(path: &Path, octets: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        // A peer that is told that its request is too long may find the connection closed while it still writes.
        let _ = stream.write_all(octets).await;
        let _ = stream.shutdown().await;
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply).await;
        reply
    }

    #[tokio::test]
    async fn only_a_whole_request_is_a_command_and_the_kernel_says_whose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        start(&path);
        let own = nix::unistd::geteuid();
        let long = format!("{{\"version\":1,\"command\":\"{}\"}}\n", "x".repeat(MAX_REQUEST));
        for (request, told) in [
            (
                "{\"version\":1,\"command\":\"clock-show\"}\n".to_owned(),
                format!("\"done\":{{\"told\":[\"{own} ClockShow"),
            ),
            ("{\"version\":1,\"command\":\"clock-show\",\"uid\":0}\n".to_owned(), "unknown field `uid`".to_owned()),
            ("{\"version\":2,\"command\":\"clock-show\"}\n".to_owned(), "version 2".to_owned()),
            ("{\"version\":1,\"command\":{\"clock-accept\":{}}}\n".to_owned(), "missing field `reason`".to_owned()),
            ("{\"version\":1,\"command\":\"clock-show\"}".to_owned(), "has no end".to_owned()),
            ("{\"version\":1,\"comm".to_owned(), "has no end".to_owned()),
            ("\u{0}\u{1}garbage\n".to_owned(), "no request".to_owned()),
            ("[[[[[[[[\n".to_owned(), "no request".to_owned()),
            (format!("{}\n", "[".repeat(60_000)), "no request".to_owned()),
            (String::new(), "has no end".to_owned()),
        ] {
            let reply = say(&path, request.as_bytes()).await;
            assert!(reply.contains(&told) && reply.ends_with('\n'), "{request:?}: {reply}");
        }
        let reply = say(&path, long.as_bytes()).await;
        assert!(reply.is_empty() || reply.contains("at most"), "{reply}");
    }

    /// Whoever holds connections without asking loses them, and nobody else waits for longer than that.
    #[tokio::test]
    async fn slow_peers_do_not_keep_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        start(&path);
        let mut slow = Vec::new();
        for index in 0..CONNECTIONS + 4 {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            if index % 2 == 0 {
                stream.write_all(b"{\"version\":1,").await.unwrap();
            }
            slow.push(stream);
        }
        let asked = say(&path, b"{\"version\":1,\"command\":\"clock-show\"}\n");
        let reply = tokio::time::timeout(20 * PEER_TIME, asked).await.expect("it is answered in time");
        assert!(reply.contains("ClockShow"), "{reply}");
    }
}
