//! Signatures of requests to object stores (AWS Signature Version 4, for S3: one request, its body hashed whole). Pure.

use std::fmt;
use std::fmt::Write as _;

use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::Sent;

/// What a request is signed with. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
    /// Of credentials that end by themselves.
    pub token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Adds the headers to a request that show who sends it: its date, the hash of its body and the signature over all of them.
pub fn sign(sent: &mut Sent<'_>, credentials: &Credentials, region: &str, at: Timestamp) {
    let time = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let digest = hex::encode(Sha256::digest(&sent.body));
    let headers = [
        ("x-amz-content-sha256", Some(&digest)),
        ("x-amz-date", Some(&time)),
        ("x-amz-security-token", credentials.token.as_ref()),
    ];
    let added = headers.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?.clone())));
    sent.headers.extend(added);
    let mut signed: Vec<_> =
        sent.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.trim().to_owned())).collect();
    signed.push(("host".to_owned(), host(sent.url)));
    signed.sort_unstable();
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (method, path) = (&sent.method, path(sent.url));
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{digest}", query(sent.url));
    let scope = format!("{}/{region}/s3/aws4_request", &time[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = format!("AWS4{}", credentials.secret);
    let key = [&time[..8], region, "s3", "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
    let id = &credentials.id;
    let value = format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}");
    sent.headers.push((hyper::header::AUTHORIZATION, value));
}

/// Returns whether a text may stand in a header.
pub fn is_header(text: &str) -> bool {
    !text.is_empty() && HeaderValue::from_str(text).is_ok()
}

/// As the connection sends it: without the port that the scheme has anyway.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn path(url: &Url) -> String {
    // The octets that a URL leaves as they are, and S3 wants encoded.
    let mut path = String::new();
    for octet in url.path().bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'%' => {
                path.push(char::from(octet))
            }
            other => drop(write!(path, "%{other:02X}")),
        }
    }
    path
}

fn query(url: &Url) -> String {
    let mut parts: Vec<_> = url.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()).collect();
    parts.sort_unstable();
    let with_value = |part: &&str| if part.contains('=') { (*part).to_owned() } else { format!("{part}=") };
    parts.iter().map(with_value).collect::<Vec<_>>().join("&")
}

/// Returns the HMAC-SHA256 of a text (RFC 2104).
pub fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|octet| octet ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|octet| octet ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Method;

    /// Amazon S3 API reference, "Signature Calculations for the Authorization Header", examples.
    #[test]
    fn the_published_examples_are_signed_alike() {
        let credentials = Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let header = |name, value: &str| (HeaderName::from_static(name), value.to_owned());
        let put =
            [header("date", "Fri, 24 May 2013 00:00:00 GMT"), header("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        for (method, path, headers, body, signature) in [
            (
                Method::GET,
                "test.txt",
                vec![header("range", "bytes=0-9")],
                "",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::PUT,
                "test$file.text",
                put.to_vec(),
                "Welcome to Amazon S3.",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (Method::GET, "?lifecycle", vec![], "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (
                Method::GET,
                "?max-keys=2&prefix=J",
                vec![],
                "",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = format!("https://examplebucket.s3.amazonaws.com/{path}").parse().unwrap();
            let mut sent = Sent { method, url: &url, headers, body: body.into() };
            sign(&mut sent, &credentials, "us-east-1", "2013-05-24T00:00:00Z".parse().unwrap());
            let (_, value) = sent.headers.last().unwrap();
            assert!(value.ends_with(&format!("Signature={signature}")), "{path}: {value}");
        }
        assert!(!format!("{credentials:?}").contains("wJal"));
    }

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn short_and_long_keys_are_taken() {
        let told = |key: &[u8], text: &str| hex::encode(hmac(key, text.as_bytes()));
        assert_eq!(
            told(b"Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            told(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
