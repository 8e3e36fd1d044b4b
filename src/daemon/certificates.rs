//! Files of certificates that the configuration names: which of them run out.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::fetch;

/// How long before a file holds nothing any more that is told: a month, in which certificates are usually renewed.
const NEAR: Duration = Duration::from_secs(30 * 86_400);

/// Tells of each file in which no certificate holds for long. It is no fault: what a certificate signed that has run out is
/// believed all the same, for as long as that holds itself; a server that shows the very certificate is not.
pub(super) fn notes(config: &Config, at: Timestamp) -> Vec<String> {
    let told = |(key, path): (String, &Path)| {
        let last = fetch::last_end(path)?;
        let file = path.display();
        let text = if last <= at {
            format!("{file}: every certificate in it has run out, the last one at {last}; name one that holds")
        } else if last <= at.checked_add(NEAR).ok()? {
            format!("{file}: every certificate in it runs out by {last}; add the one that follows")
        } else {
            return None;
        };
        Some(config.told(&key, text))
    };
    files(config).into_iter().filter_map(told).collect()
}

/// The files, each with the key that names it.
fn files(config: &Config) -> Vec<(String, &Path)> {
    let smtp = config.notice.smtp.as_ref().and_then(|smtp| smtp.ca.as_ref());
    let single = [("upstream.ca", &config.upstream.ca), ("fetch.ca", &config.fetch.ca)];
    let single = single.into_iter().map(|(key, ca)| (key.to_owned(), ca.as_ref()));
    let receivers = config.export.iter().enumerate();
    let receivers = receivers.map(|(place, of)| (format!("export.receiver[{place}].ca"), of.ca.as_ref()));
    let hooks = config.notice.webhooks.iter().enumerate();
    let hooks = hooks.map(|(place, of)| (format!("notice.webhook[{place}].ca"), of.ca.as_ref()));
    let all = single.chain([("notice.smtp.ca".to_owned(), smtp)]).chain(receivers).chain(hooks);
    all.filter_map(|(key, ca)| Some((key, ca?.as_path()))).collect()
}
