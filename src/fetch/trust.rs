//! Who vouches for a file: nobody but its server, somebody who told its SHA-256, or somebody who signed it (minisign).

use std::fmt;
use std::str::FromStr;

use minisign_verify::Signature;
use sha2::{Digest as _, Sha256};
use url::Url;

/// Who vouches for a file. Where both do, both are held to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The SHA-256 that the file must have.
    pub digest: Option<[u8; 32]>,
    /// Whoever must have signed it.
    pub key: Option<PublicKey>,
    /// Where the signature is; beside the file, with `.minisig` behind its name, where nothing is said.
    pub signature: Option<Url>,
}

/// A public key of minisign, as `minisign -G` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(String);

/// Why a file is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("its SHA-256 is {found}, not {expected} as `sha256` wants")]
    Digest { expected: String, found: String },
    #[error("its signature is none of minisign")]
    NoSignature,
    #[error("it is signed by another key than `public_key`, or was changed since")]
    Signature,
    #[error("it could not be judged")]
    Unjudged,
}

impl Trust {
    /// Returns whether anybody besides the server vouches for the file.
    pub const fn is_vouched(&self) -> bool {
        self.digest.is_some() || self.key.is_some()
    }

    /// Returns where the signature of the file at `url` is; `None` where none is wanted.
    pub(super) fn signature_url(&self, url: &Url) -> Option<Url> {
        self.key.as_ref()?;
        Some(self.signature.clone().unwrap_or_else(|| {
            let mut beside = url.clone();
            beside.set_path(&format!("{}.minisig", url.path()));
            beside
        }))
    }

    /// Judges a file.
    ///
    /// # Errors
    /// Where whoever is to vouch for it does not.
    pub(super) fn judge(&self, octets: &[u8], signature: Option<&str>) -> Result<(), Distrust> {
        if let Some(expected) = self.digest {
            let found = <[u8; 32]>::from(Sha256::digest(octets));
            if found != expected {
                return Err(Distrust::Digest { expected: hex::encode(expected), found: hex::encode(found) });
            }
        }
        if let Some(PublicKey(key)) = &self.key {
            let key = minisign_verify::PublicKey::from_base64(key).map_err(|_| Distrust::Signature)?;
            let signature = signature.and_then(|text| Signature::decode(text).ok()).ok_or(Distrust::NoSignature)?;
            key.verify(octets, &signature, false).map_err(|_| Distrust::Signature)?;
        }
        Ok(())
    }
}

/// Says in one text what is held to, so that what was kept under other terms is known for it.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, key, signature } = self;
        let digest = digest.map(|digest| format!("sha256 {}", hex::encode(digest)));
        let key = key.as_ref().map(|PublicKey(key)| format!("key {key}"));
        let signature = signature.as_ref().map(|url| format!("signature {url}"));
        f.write_str(&digest.into_iter().chain(key).chain(signature).collect::<Vec<_>>().join(", "))
    }
}

/// The text is no key of minisign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey;

impl FromStr for PublicKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        minisign_verify::PublicKey::from_base64(text).map(|_| Self(text.to_owned())).map_err(|_| NoKey)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.0)
    }
}

/// Reads a SHA-256 in hexadecimal digits.
pub fn read_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
}
