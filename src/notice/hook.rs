//! A notice as a signed request over HTTPS.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::facts::Facts;
use crate::fetch::{FetchError, Fetcher, Sent, Url, hmac};

/// The shortest secret, in octets.
const MIN_SECRET: usize = 16;
/// The longest answer that is read, in octets.
const MAX_ANSWER: u64 = 64 << 10;

/// Somebody who gets notices as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    pub url: Url,
    /// The file whose first line requests are signed with.
    pub secret: PathBuf,
    /// Certificates that are believed besides those that Mozilla trusts.
    pub ca: Option<PathBuf>,
    /// Whether the host may have a private address, or be this machine.
    pub private: bool,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("cannot use the secret in {}", path.display())]
    Secret { path: PathBuf, source: io::Error },
    #[error("the notice cannot be written")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it answers {0}")]
    Status(u16),
}

/// Returns a notice as webhooks get it.
///
/// # Errors
/// Where it cannot be written.
pub fn payload(facts: &Facts) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(facts)
}

impl Webhook {
    /// Reads what requests are signed with.
    ///
    /// # Errors
    /// Where it cannot be read, or is too short.
    pub fn key(&self) -> Result<String, HookError> {
        super::secret(&self.secret, MIN_SECRET)
            .map_err(|source| HookError::Secret { path: self.secret.clone(), source })
    }

    /// Sends a notice. `id` is the same when it is sent once more, so that a receiver can discard it.
    ///
    /// # Errors
    /// Where the receiver has not answered that it took it.
    pub async fn send(&self, fetcher: &Fetcher, facts: &Facts, (id, at): (&str, Timestamp)) -> Result<(), HookError> {
        let (secret, body) = (self.key()?, payload(facts)?);
        let at = at.as_second().to_string();
        let signature = signature(secret.as_bytes(), &at, &body);
        let sent = Sent::json(&self.url, body)
            .with("x-interdict-id", id.to_owned())
            .with("x-interdict-timestamp", at)
            .with("x-interdict-signature", signature);
        match fetcher.send(sent, self.private, MAX_ANSWER).await?.status {
            200..=299 => Ok(()),
            status => Err(HookError::Status(status)),
        }
    }
}

/// Signs a body with the instant at which it is sent, so that neither can be used with another.
pub(super) fn signature(secret: &[u8], at: &str, body: &[u8]) -> String {
    let text = [at.as_bytes(), b".", body].concat();
    format!("sha256={}", hex::encode(hmac(secret, &text)))
}
