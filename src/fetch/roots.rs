//! Whom we believe in TLS: the roots that Mozilla trusts, and those of the operator.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};

use super::expiry::{Expiries, Noting, expiry};
use crate::clock::Clock;

/// The largest file of certificates, in octets.
const MAX_FILE: u64 = 4 << 20;

/// How connections are encrypted, and who is believed.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<ClientConfig>, [u8; 32], Expiries);

/// Why the operator's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the certificates in {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate that can be a root; give PEM, `-----BEGIN CERTIFICATE-----`", path.display())]
    None { path: PathBuf },
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Returns the settings by which the certificates of `extra`, a file in PEM, are believed too. The dates of certificates
    /// are held against `clock`.
    ///
    /// # Errors
    /// Where there is no certificate in the file.
    pub fn new(extra: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Self, RootsError> {
        let mut mark = [0; 32];
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = extra {
            let octets = read(path).map_err(|source| RootsError::Read { path: path.to_owned(), source })?;
            mark = Sha256::digest(&octets).into();
            let certificates = CertificateDer::pem_slice_iter(&octets).filter_map(Result::ok);
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(RootsError::None { path: path.to_owned() });
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let inner = inner.map_err(|error| RootsError::Setup(rustls::Error::General(error.to_string())))?;
        let expiries = Expiries::default();
        let verifier = Arc::new(Noting { inner, expiries: expiries.clone() });
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Now(clock)));
        let builder = builder.with_safe_default_protocol_versions().map_err(RootsError::Setup)?;
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self(Arc::new(config), mark, expiries))
    }

    /// Returns the settings for connections of others.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Returns when the certificates run out of those whom these settings have connected to.
    pub fn expiries(&self) -> Expiries {
        self.2.clone()
    }

    /// Returns what is another one where others are believed.
    pub const fn mark(&self) -> [u8; 32] {
        self.1
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file of certificates"));
    }
    fs::read(path)
}

/// Returns the end of the certificate in a file that holds longest, if there is one that can be read.
pub fn last_end(path: &Path) -> Option<Timestamp> {
    let octets = read(path).ok()?;
    let certificates = CertificateDer::pem_slice_iter(&octets).filter_map(Result::ok);
    Timestamp::from_second(certificates.filter_map(|certificate| expiry(&certificate)).max()?).ok()
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// A board without a clock of its own has policy time, which the guard keeps; a rehearsed instant is none of a certificate.
struct Now(Arc<dyn Clock>);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.0.read();
        let at = if self.0.is_rehearsal() { now.raw } else { now.at };
        let seconds = u64::try_from(at.as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}
