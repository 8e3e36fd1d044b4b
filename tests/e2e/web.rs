//! A web server that does as it is told, with certificates made for the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::place;

/// Somebody who certifies servers, believed by whoever is given its certificate.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the certificate to a file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    /// Certifies a server of this name; returns the files of the certificate and its key.
    pub fn certify(&self, name: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let own = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&own, &self.0).unwrap();
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, own.serialize_pem()).unwrap();
        (certificate, key)
    }

    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// What somebody asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    /// All of the head, in lower case.
    pub head: String,
}

/// How a server answers.
#[derive(Clone)]
pub enum Answer {
    /// A status with header lines and a body.
    Say(u16, Vec<String>, Vec<u8>),
    /// These octets as they are, and then the end of the connection.
    Raw(Vec<u8>),
    /// A head, and then this again and again, for as long as somebody takes it.
    Endless(Vec<u8>, Duration),
    /// Nothing at all.
    Silence,
}

impl Answer {
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::Say(200, Vec::new(), body.into())
    }

    pub fn with(status: u16, header: &str) -> Self {
        Self::Say(status, vec![header.to_owned()], Vec::new())
    }
}

/// A running server.
pub struct Web {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

impl Web {
    /// Starts a server that `authority` certifies as `name`; one without TLS where there is none.
    pub fn start(
        certified: Option<(&Authority, &str)>,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let address = place::socket();
        let listener = TcpListener::bind(address).unwrap();
        let tls = certified.map(|(authority, name)| authority.server(name));
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, over, script) = (Arc::clone(&asked), Arc::clone(&ended), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), tls) = (stream, tls.clone()) else { continue };
                let (log, over, script) = (Arc::clone(&log), Arc::clone(&over), Arc::clone(&script));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(place::PATIENCE)).unwrap();
                    match tls {
                        None => converse(stream, &log, &over, script.as_ref()),
                        Some(tls) => {
                            let session = ServerConnection::new(tls).unwrap();
                            converse(StreamOwned::new(session, stream), &log, &over, script.as_ref());
                        }
                    }
                });
            }
        });
        Self { address, asked, ended }
    }

    /// Returns what was asked for at a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn converse<S: Read + Write>(
    stream: S,
    log: &Mutex<Vec<Asked>>,
    ended: &AtomicBool,
    script: &dyn Fn(&Asked) -> Answer,
) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) && line.trim_end() != "" {
        head.push_str(&line.to_ascii_lowercase());
        line.clear();
    }
    let Some(path) = head.split(' ').nth(1) else { return };
    let asked = Asked { path: path.to_owned(), head: head.clone() };
    log.lock().unwrap().push(asked.clone());
    let mut stream = reader.into_inner();
    match script(&asked) {
        Answer::Say(status, headers, body) => {
            let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
            drop(stream.write_all(&[head.as_bytes(), &body].concat()));
        }
        Answer::Raw(octets) => drop(stream.write_all(&octets)),
        Answer::Endless(octets, pause) => {
            let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while going.is_ok() && !ended.load(Ordering::SeqCst) {
                std::thread::sleep(pause);
                going = stream.write_all(&octets).and_then(|()| stream.flush());
            }
        }
        Answer::Silence => {
            // Until whoever waits goes away.
            drop(stream.read(&mut [0; 1]));
        }
    }
    drop(stream.flush());
}
