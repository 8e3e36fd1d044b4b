//! Where the log is published, in the configuration.

use std::path::PathBuf;

use super::load::Settings;
use super::node::{Faults, quote};
use super::types::{BucketConfig, PublishConfig};
use super::value::Value;
use crate::fetch::Url;

/// What a bucket begins with.
const SCHEME: &str = "s3://";

/// Parts a place in an object store into the bucket and what its keys begin with.
fn parted(to: &str) -> Option<(String, String)> {
    let (bucket, prefix) = to.split_once('/').unwrap_or((to, ""));
    let of_bucket = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'.');
    let of_prefix = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'/');
    let prefix = prefix.trim_end_matches('/');
    let plain = prefix.split('/').all(|part| !matches!(part, "." | "..")) && !prefix.contains("//");
    let fits = (3..=63).contains(&bucket.len()) && bucket.bytes().all(of_bucket) && prefix.bytes().all(of_prefix);
    (fits && plain).then(|| (bucket.to_owned(), prefix.to_owned()))
}

pub(super) fn check_publish(settings: &Settings, faults: &mut Faults) {
    let text = |key| match settings.get("ledger", key) {
        Some((place, Value::Text(text))) => Some((place, text.as_str())),
        _ => None,
    };
    let Some((place, to)) = text("publish") else { return };
    let has_endpoint = matches!(settings.get("ledger", "publish_endpoint"), Some((_, Value::Url(Some(_)))));
    match to.strip_prefix(SCHEME) {
        Some(to) => {
            if parted(to).is_none() {
                let told =
                    format!("`ledger.publish` is {}: no bucket with a plain prefix", quote(&format!("{SCHEME}{to}")));
                faults.push(place, told, "write it as \"s3://bucket/prefix\"");
            }
            if !has_endpoint {
                let told = "`ledger.publish` names a bucket, and no `ledger.publish_endpoint` says whose".to_owned();
                faults.push(
                    place,
                    told,
                    "add `publish_endpoint = \"https://s3.eu-central-1.amazonaws.com\"` or that of your store",
                );
            }
        }
        None if to.contains("://") => {
            let told = format!("`ledger.publish` is {}: neither a folder nor a bucket", quote(to));
            faults.push(place, told, "write a path, or \"s3://bucket/prefix\"");
        }
        None => {}
    }
}

impl Settings {
    pub(super) fn publish(&mut self) -> Option<PublishConfig> {
        let to: String = self.take("ledger", "publish");
        let endpoint: Option<Url> = self.take("ledger", "publish_endpoint");
        let (region, credentials): (String, String) =
            (self.take("ledger", "publish_region"), self.take("ledger", "publish_credentials"));
        let credentials = Some(credentials).filter(|path| !path.is_empty()).map(PathBuf::from);
        match to.strip_prefix(SCHEME) {
            _ if to.is_empty() => None,
            None => Some(PublishConfig::Folder(PathBuf::from(to))),
            Some(of) => {
                let (bucket, prefix) = parted(of)?;
                Some(PublishConfig::Bucket(BucketConfig { bucket, prefix, endpoint: endpoint?, region, credentials }))
            }
        }
    }
}
