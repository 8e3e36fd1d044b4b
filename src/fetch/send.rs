//! Requests that send something: to the host that is named, once, and never further where a server leads elsewhere.

use hyper::Method;
use hyper::header::HeaderName;
use tokio::time::timeout;
use url::Url;

use super::{FetchError, Fetcher};

/// A request with what it sends.
#[derive(Debug, Clone)]
pub struct Sent<'a> {
    pub method: Method,
    pub url: &'a Url,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Vec<u8>,
}

impl<'a> Sent<'a> {
    /// Returns a request that posts a text.
    pub fn post(url: &'a Url, body: Vec<u8>) -> Self {
        let kind = (hyper::header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
        Self { method: Method::POST, url, headers: vec![kind], body }
    }

    /// Returns a request that posts JSON.
    pub fn json(url: &'a Url, body: Vec<u8>) -> Self {
        let kind = (hyper::header::CONTENT_TYPE, "application/json".to_owned());
        Self { headers: vec![kind], ..Self::post(url, body) }
    }

    /// Adds a header, whose name has to be in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }
}

/// What a server answered, whatever it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Fetcher {
    /// Sends a request and returns its answer, of at most `most` octets. `private` says whether the host may have a private
    /// address, or be this machine.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn send(&self, sent: Sent<'_>, private: bool, most: u64) -> Result<Answer, FetchError> {
        let time = self.bounds.time;
        let whole = async {
            let Sent { method, url, headers, body } = sent;
            let connection = self.connect(url, private).await?;
            let response = connection.send((method, url), &headers, body).await?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: connection.read(response.into_body(), most).await? })
        };
        timeout(time, whole).await.unwrap_or(Err(FetchError::TooLong(time)))
    }
}
