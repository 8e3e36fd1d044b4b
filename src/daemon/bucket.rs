//! A bucket of an object store that speaks S3, which logs are published to: one request an object, signed, over the connections of
//! `fetch`, which look names up here and follow no redirect.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, IF_NONE_MATCH};
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::config::BucketConfig;
use crate::control::harmless;
use crate::fetch::{Answer, Credentials, FetchError, Fetcher, Sent, Url, is_header, sign};
use crate::ledger::{Target, TargetError};

/// The longest answer to what is no reading of a file, in octets.
const MAX_ANSWER: u64 = 1 << 20;

/// Why a request had no effect.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the store answers {status}{code}")]
    Status { status: u16, code: String },
    #[error("no credentials: {0}")]
    Credentials(String),
}

pub(super) struct Bucket {
    config: BucketConfig,
    fetcher: Fetcher,
    /// Its own, since it outlives that of the daemon by the last checkpoint.
    runtime: Runtime,
    clock: Arc<dyn Clock>,
    /// Whether the store takes requests only for objects that are not there.
    conditional: bool,
}

impl Bucket {
    pub(super) fn new(config: &BucketConfig, fetcher: Fetcher, clock: &Arc<dyn Clock>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).thread_name("bucket").enable_all().build()?;
        Ok(Self { config: config.clone(), fetcher, runtime, clock: Arc::clone(clock), conditional: true })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.config.endpoint.clone();
        let BucketConfig { bucket, prefix, .. } = &self.config;
        let parts = [url.path(), bucket, prefix, path].map(|part| part.trim_matches('/'));
        let path = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
        url.set_path(&path);
        url
    }

    /// Sends a request and returns its answer, whatever it is.
    fn ask(&self, method: Method, url: &Url, body: &[u8], (fresh, most): (bool, u64)) -> Result<Answer, RequestError> {
        let credentials = credentials(self.config.credentials.as_deref()).map_err(RequestError::Credentials)?;
        let mut headers = Vec::new();
        if method == Method::PUT {
            headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
        }
        if fresh {
            headers.push((IF_NONE_MATCH, "*".to_owned()));
        }
        let mut sent = Sent { method, url, headers, body: body.to_vec() };
        sign(&mut sent, &credentials, &self.config.region, self.clock.read().at);
        // Whoever names an endpoint knows where it is: stores often have a private address.
        Ok(self.runtime.block_on(self.fetcher.send(sent, true, most))?)
    }

    fn write(&self, path: &str, octets: &[u8], fresh: bool) -> Result<Answer, RequestError> {
        self.ask(Method::PUT, &self.url(path), octets, (fresh, MAX_ANSWER))
    }

    fn failed_write(&self, path: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> TargetError {
        TargetError::Write { path: self.shown(path), source: source.into() }
    }

    fn failed_read(&self, path: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> TargetError {
        TargetError::Read { path: self.shown(path), source: source.into() }
    }

    /// Writes a file that is not there; returns whether it was not.
    fn create(&mut self, path: &str, octets: &[u8]) -> Result<bool, TargetError> {
        if self.conditional {
            let answer = self.write(path, octets, true).map_err(|error| self.failed_write(path, error))?;
            match answer.status {
                200..=299 => return Ok(true),
                // 409 where somebody else writes it at this moment.
                409 | 412 => return Ok(false),
                // A store that does not know of conditions.
                501 => self.conditional = false,
                _ => return Err(self.failed_write(path, refused(&answer))),
            }
        }
        if self.is_there(path)? {
            return Ok(false);
        }
        self.put(path, octets).map(|()| true)
    }

    fn list(&self, below: &str) -> Result<Vec<String>, RequestError> {
        let mut url = self.url("");
        let prefix = self.url(below);
        let root = self.url_of_bucket();
        let key = prefix.path().strip_prefix(root.path()).unwrap_or_default().trim_start_matches('/').to_owned();
        url.set_path(root.path());
        let encoded = key.replace('/', "%2F");
        url.set_query(Some(&format!("list-type=2&prefix={encoded}%2F")));
        let answer = self.ask(Method::GET, &url, &[], (false, MAX_ANSWER))?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let own = key + "/";
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>").map(|(key, _)| key));
        Ok(keys.filter_map(|key| key.strip_prefix(&own).map(|name| format!("{below}{name}"))).collect())
    }

    fn url_of_bucket(&self) -> Url {
        let mut url = self.config.endpoint.clone();
        let path = format!("{}/{}", url.path().trim_end_matches('/'), self.config.bucket);
        url.set_path(&path);
        url
    }
}

/// Returns the refusal of a store, with its code where it tells one.
fn refused(answer: &Answer) -> RequestError {
    let text = String::from_utf8_lossy(&answer.body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code = code.filter(|code| code.len() <= 64).map(|code| format!(", {}", harmless(code))).unwrap_or_default();
    RequestError::Status { status: answer.status, code }
}

impl Target for Bucket {
    fn shown(&self, path: &str) -> String {
        let BucketConfig { bucket, prefix, .. } = &self.config;
        let parts = [bucket.as_str(), prefix, path].map(|part| part.trim_matches('/'));
        format!("s3://{}", parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/"))
    }

    fn is_near(&self) -> bool {
        false
    }

    fn ready(&mut self) -> Result<(), TargetError> {
        Ok(())
    }

    fn read(&mut self, path: &str, most: u64) -> Result<Option<Vec<u8>>, TargetError> {
        match self.ask(Method::GET, &self.url(path), &[], (false, most)) {
            Ok(answer) if answer.status == 200 => Ok(Some(answer.body)),
            Ok(answer) if answer.status == 404 && !is_bucket_missing(&answer) => Ok(None),
            Ok(answer) => Err(self.failed_read(path, refused(&answer))),
            Err(RequestError::Fetch(FetchError::TooLarge(_))) => Err(TargetError::TooLarge(self.shown(path))),
            Err(error) => Err(self.failed_read(path, error)),
        }
    }

    fn is_there(&mut self, path: &str) -> Result<bool, TargetError> {
        match self.ask(Method::HEAD, &self.url(path), &[], (false, MAX_ANSWER)) {
            Ok(answer) if answer.status == 200 => Ok(true),
            Ok(answer) if answer.status == 404 => Ok(false),
            Ok(answer) => Err(self.failed_read(path, refused(&answer))),
            Err(error) => Err(self.failed_read(path, error)),
        }
    }

    fn put(&mut self, path: &str, octets: &[u8]) -> Result<(), TargetError> {
        let answer = self.write(path, octets, false).map_err(|error| self.failed_write(path, error))?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(self.failed_write(path, refused(&answer))) }
    }

    fn put_new<'a>(&mut self, files: &'a [(String, Vec<u8>)]) -> Result<Option<&'a str>, TargetError> {
        for (path, octets) in files {
            if !self.create(path, octets)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn remove(&mut self, path: &str) -> Result<(), TargetError> {
        let failed = |source: RequestError| TargetError::Remove { path: self.shown(path), source: source.into() };
        let answer = self.ask(Method::DELETE, &self.url(path), &[], (false, MAX_ANSWER)).map_err(failed)?;
        if matches!(answer.status, 200..=299 | 404) { Ok(()) } else { Err(failed(refused(&answer))) }
    }

    fn remove_below(&mut self, path: &str) {
        // What stays takes room, and no more.
        for path in self.list(path).unwrap_or_default() {
            let _ = self.remove(&path);
        }
    }
}

fn is_bucket_missing(answer: &Answer) -> bool {
    String::from_utf8_lossy(&answer.body).contains("<Code>NoSuchBucket</Code>")
}

/// Reads credentials: from a file of the form that the tools of AWS have, or from the environment by their names. Read anew for
/// each request, since some end by themselves.
fn credentials(file: Option<&Path>) -> Result<Credentials, String> {
    const NAMES: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
    let values: [Option<String>; 3] = match file {
        None => NAMES.map(|name| std::env::var(name.to_uppercase()).ok()),
        Some(path) => {
            let mut text = String::new();
            let read = File::open(path).and_then(|file| file.take(16 << 10).read_to_string(&mut text));
            read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let lines: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
            let of =
                |name: &str| lines.iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
            NAMES.map(of)
        }
    };
    let [Some(id), Some(secret), token] = values.map(|value| value.filter(|value| is_header(value))) else {
        let place = file.map_or("the environment".to_owned(), |path| path.display().to_string());
        return Err(format!("{place} has no {} and {}", NAMES[0], NAMES[1]));
    };
    Ok(Credentials { id, secret, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_a_file_of_the_usual_form_and_never_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "[default]\naws_access_key_id = A\naws_secret_access_key=b=c \n").unwrap();
        let read = credentials(Some(&path)).unwrap();
        assert_eq!((read.id.as_str(), read.secret.as_str(), read.token), ("A", "b=c", None));
        std::fs::write(&path, "aws_access_key_id = A\naws_secret_access_key = \n").unwrap();
        let told = credentials(Some(&path)).unwrap_err();
        assert!(told.contains("aws_secret_access_key") && told.contains("credentials"), "{told}");
    }
}
