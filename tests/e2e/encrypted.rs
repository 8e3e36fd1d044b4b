//! Upstreams that are spoken to encrypted: Unbound over TLS and HTTPS, and over QUIC a server made here on the QUIC library
//! that the program's client stands on too, since no packaged server speaks DNS over it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicServerConfig;

use crate::clients::dig;
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::unbound::Unbound;
use crate::web::Authority;
use crate::wire;

const NAME: &str = "dns.example";

/// Names of which everything is known, to compare whole answers.
const TYPES: &str = " local-zone: \"types.\" static\n local-data: \"types. 300 IN SOA ns.types. a.types. 1 2 3 4 60\"\n \
                     local-data: 'odd.types. 300 IN TYPE65280 \\# 3 010203'\n \
                     local-data: 'web.types. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9'\n \
                     local-data: 'text.types. 300 IN TXT \"a\" \"b\"'\n";

/// A certified Unbound, with whoever certified it.
struct Peer {
    unbound: Unbound,
    authority: PathBuf,
    _folder: tempfile::TempDir,
    tls: SocketAddr,
    https: SocketAddr,
}

impl Peer {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let path = folder.path().join("ca.pem");
        authority.write(&path);
        let (certificate, key) = authority.certify(NAME, folder.path());
        let (tls, https) = (place::socket(), place::socket());
        let lines = format!(
            " interface: {ip}@{}\n interface: {ip}@{}\n tls-port: {}\n https-port: {}\n http-endpoint: \"/dns-query\"\n \
             tls-service-pem: \"{}\"\n tls-service-key: \"{}\"\n{more}",
            tls.port(),
            https.port(),
            tls.port(),
            https.port(),
            certificate.display(),
            key.display(),
            ip = tls.ip(),
        );
        Self { unbound: Unbound::with("192.0.2.1", &lines), authority: path, _folder: folder, tls, https }
    }

    fn over_tls(&self) -> String {
        format!("tls://{}#{NAME}", self.tls)
    }

    fn over_https(&self) -> String {
        format!("https://{NAME}:{}/dns-query#{}", self.https.port(), self.https.ip())
    }
}

fn setup(servers: &[String], authority: &std::path::Path) -> Setup {
    Setup::new()
        .set("upstream.servers", servers.to_vec())
        .set("upstream.ca", authority.display().to_string())
        .set("upstream.timeout_ms", 1000)
}

/// Asks for a name that nobody has asked for yet.
fn ask(daemon: &Daemon) -> Vec<u8> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("n{}.example", NEXT.fetch_add(1, Ordering::Relaxed));
    wire::udp(daemon.dns, &wire::query(&name, wire::A))
}

fn is_answered(daemon: &Daemon) -> bool {
    let answer = wire::parse(&ask(daemon));
    answer.answers.len() == 1
}

fn tries(daemon: &Daemon, result: &str) -> f64 {
    let (_, page) = crate::daemon::fetch(daemon.admin, "/metrics").unwrap();
    let lines = page.lines().filter(|line| line.starts_with("interdict_upstream_tries_total{upstream=\""));
    let lines = lines.filter(|line| line.contains("://") && line.contains(&format!("result=\"{result}\"")));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Returns how many connections to a server the kernel knows, those just closed here included.
fn connections(server: SocketAddr) -> usize {
    let remote = remote(server);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().filter(|line| line.split_whitespace().nth(2) == Some(&remote)).count()
}

/// Returns whether a connection to a server is established.
fn is_connected(server: SocketAddr) -> bool {
    let (remote, table) = (remote(server), std::fs::read_to_string("/proc/net/tcp").unwrap());
    let mut lines = table.lines().map(|line| line.split_whitespace().skip(2));
    lines.any(|mut words| words.next() == Some(&remote) && words.next() == Some("01"))
}

/// Returns a server as the kernel writes it.
fn remote(server: SocketAddr) -> String {
    let SocketAddr::V4(server) = server else { unreachable!("tests use IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(server.ip().octets()), server.port())
}

/// Asks 200 questions, eight at a time.
fn ask_often(daemon: &Daemon) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert!(is_answered(daemon))));
        }
    });
    assert!(tries(daemon, "answered") >= 200.0);
    assert_eq!(tries(daemon, "unreachable") + tries(daemon, "timeout"), 0.0);
}

#[test]
fn one_connection_over_tls_or_https_carries_many_questions_whose_answers_stay_whole() {
    needs!("unbound", "dig");
    let peer = Peer::start(TYPES);
    for (server, address) in [(peer.over_tls(), peer.tls), (peer.over_https(), peer.https)] {
        let daemon = setup(std::slice::from_ref(&server), &peer.authority).start();
        ask_often(&daemon);
        assert_eq!(connections(address), 1, "{server}");
        for question in
            [["odd.types", "TYPE65280"], ["web.types", "HTTPS"], ["text.types", "TXT"], ["absent.types", "A"]]
        {
            let (truth, answer) = (dig(peer.unbound.address, &question), dig(daemon.dns, &question));
            assert_eq!(answer.status, truth.status, "{server} {question:?}\n{}", answer.text);
            for section in ["question", "answer", "authority"] {
                assert_eq!(answer.section(section), truth.section(section), "{server} {question:?}\n{}", answer.text);
            }
        }
    }
}

#[test]
fn a_server_with_another_certificate_or_another_name_is_not_believed() {
    needs!("unbound");
    let (peer, plain) = (Peer::start(""), Scripted::start(|query| vec![wire::reply(query, 0, &[[192, 0, 2, 7]])]));
    let stranger = peer.authority.with_file_name("stranger.pem");
    Authority::new().write(&stranger);
    let other_name = format!("tls://{}#other.example", peer.tls);
    for (server, authority) in
        [(peer.over_tls(), &stranger), (peer.over_https(), &stranger), (other_name, &peer.authority)]
    {
        let daemon = setup(std::slice::from_ref(&server), authority).start();
        assert_eq!(wire::rcode(&ask(&daemon)), wire::SERVFAIL, "{server}");
        assert!(tries(&daemon, "unreachable") >= 1.0 && daemon.told().contains("certificate"), "{server}");
        // Whoever is next answers, and what is not believed has cost one try.
        let daemon = setup(&[server, plain.address.to_string()], authority).start();
        let begun = Instant::now();
        assert!(is_answered(&daemon) && is_answered(&daemon));
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn a_server_that_was_killed_is_asked_again_once_it_is_back() {
    needs!("unbound");
    let mut peer = Peer::start("");
    for server in [peer.over_tls(), peer.over_https()] {
        let daemon = setup(std::slice::from_ref(&server), &peer.authority).start();
        assert!(is_answered(&daemon), "{server}");
        peer.unbound.kill();
        let begun = Instant::now();
        assert_eq!(wire::rcode(&ask(&daemon)), wire::SERVFAIL, "{server}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{server}");
        peer.unbound.restart();
        place::until(PATIENCE, "an answer again", || is_answered(&daemon).then_some(()));
    }
}

#[test]
fn a_connection_that_the_server_closes_while_idle_costs_no_answer() {
    needs!("unbound");
    let peer = Peer::start(" tcp-idle-timeout: 200\n");
    let daemon = setup(&[peer.over_tls()], &peer.authority).start();
    for _ in 0..3 {
        assert!(is_answered(&daemon));
        place::until(PATIENCE, "the server to close", || (!is_connected(peer.tls)).then_some(()));
    }
    assert_eq!(tries(&daemon, "unreachable") + tries(&daemon, "timeout"), 0.0);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_costs_one_try() {
    let deaf = TcpListener::bind(place::socket()).unwrap();
    let plain = Scripted::start(|query| vec![wire::reply(query, 0, &[[192, 0, 2, 7]])]);
    for strategy in ["order", "race"] {
        let servers = [format!("tls://{}#{NAME}", deaf.local_addr().unwrap()), plain.address.to_string()];
        let setup = Setup::new().set("upstream.servers", servers.to_vec()).set("upstream.timeout_ms", 300);
        let daemon = setup.set("upstream.strategy", strategy).start();
        let begun = Instant::now();
        (0..20).for_each(|_| assert!(is_answered(&daemon)));
        assert!(begun.elapsed() < Duration::from_millis(1200), "{strategy}: {:?}", begun.elapsed());
        // Whether a client's question or the daemon's own check finds it out first, nobody else waits for it.
        place::until(PATIENCE, "the silence to be told", || {
            (daemon.metric("interdict_upstream_silent{upstream=\"tls://") == 1.0).then_some(())
        });
    }
}

#[test]
fn a_server_that_is_told_by_name_is_looked_up_at_the_bootstrap_servers() {
    needs!("unbound");
    let peer = Peer::start("");
    let std::net::IpAddr::V4(ip) = peer.tls.ip() else { unreachable!("tests use IPv4") };
    let bootstrap = Scripted::start(move |query| vec![wire::reply(query, wire::NOERROR, &[ip.octets()])]);
    let server = format!("tls://{NAME}:{}", peer.tls.port());
    let setup = setup(&[server], &peer.authority);
    let told = setup.check(&[]);
    assert!(told.contains("nothing tells the address of") && told.contains("upstream.bootstrap"), "{told}");
    let daemon = setup.set("upstream.bootstrap", vec![bootstrap.address.to_string()]).start();
    assert!(is_answered(&daemon) && is_answered(&daemon));
    assert_eq!(bootstrap.asked(NAME), 1, "once for each connection");
}

/// A server over QUIC (RFC 9250) that gives every name an address.
struct Quic {
    address: SocketAddr,
    /// Every connection that there was.
    connections: Arc<Mutex<Vec<quinn::Connection>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Quic {
    fn start(authority: &Authority) -> Self {
        let mut tls = rustls::ServerConfig::clone(&authority.server(NAME));
        tls.alpn_protocols = vec![b"doq".to_vec()];
        let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = UdpSocket::bind(place::socket()).unwrap();
        let address = socket.local_addr().unwrap();
        let entered = runtime.enter();
        let endpoint =
            quinn::Endpoint::new(Default::default(), Some(config), socket, Arc::new(quinn::TokioRuntime)).unwrap();
        let connections = Arc::default();
        let all: Arc<Mutex<Vec<_>>> = Arc::clone(&connections);
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else { continue };
                all.lock().unwrap().push(connection.clone());
                tokio::spawn(serve(connection));
            }
        });
        drop(entered);
        Self { address, connections, _runtime: runtime }
    }

    fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Closes what is open, as a server does with what is idle.
    fn close(&self) {
        self.connections.lock().unwrap().iter().for_each(|connection| connection.close(0_u32.into(), b"idle"));
    }
}

async fn serve(connection: quinn::Connection) {
    while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let framed = receiver.read_to_end(65_537).await.unwrap();
            assert_eq!(framed[2..4], [0, 0], "RFC 9250, section 4.2.1: the id is 0");
            let reply = wire::reply(&framed[2..], wire::NOERROR, &[[192, 0, 2, 8]]);
            sender.write_all(&wire::framed(&reply)).await.unwrap();
            sender.finish().unwrap();
        });
    }
}

#[test]
fn one_connection_over_quic_carries_many_questions_and_is_made_anew_where_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let path = folder.path().join("ca.pem");
    authority.write(&path);
    let quic = Quic::start(&authority);
    let server = format!("quic://{}#{NAME}", quic.address);
    let daemon = setup(std::slice::from_ref(&server), &path).start();
    ask_often(&daemon);
    assert_eq!(quic.connections(), 1);
    quic.close();
    assert!(is_answered(&daemon));
    assert_eq!(quic.connections(), 2);
    // Nobody's certificate but that of whoever is believed.
    let stranger = folder.path().join("stranger.pem");
    Authority::new().write(&stranger);
    let daemon = setup(&[server], &stranger).start();
    assert_eq!(wire::rcode(&ask(&daemon)), wire::SERVFAIL);
}
