//! Which format a text is in, where nobody said.

use std::net::IpAddr;

use super::Format;

/// Lines that are looked at: headers of lists are long, and the first rule tells.
const LOOKED_AT: usize = 500;

/// Returns the format of a text, where one of its first lines tells; a list of bare names is [`Format::Domains`].
pub fn detect(text: &str) -> Option<Format> {
    let mut names = 0;
    for line in text.trim_start_matches('\u{feff}').lines().take(LOOKED_AT).map(str::trim) {
        if line.starts_with("[Adblock") {
            return Some(Format::Adblock);
        }
        if line.is_empty() || line.starts_with(['#', '!', ';']) {
            continue;
        }
        if line.starts_with("||") || line.starts_with("@@") {
            return Some(Format::Adblock);
        }
        if ["$TTL", "$ORIGIN"].iter().any(|word| line.starts_with(word)) || has_word(line, "SOA") {
            return Some(Format::Rpz);
        }
        if ["address=/", "server=/", "local=/"].iter().any(|key| line.starts_with(key)) {
            return Some(Format::Dnsmasq);
        }
        if line == "server:" || ["local-zone:", "local-data:"].iter().any(|key| line.starts_with(key)) {
            return Some(Format::Unbound);
        }
        let mut words = line.split_ascii_whitespace();
        match (words.next().map(|word| word.parse::<IpAddr>()), words.next()) {
            (Some(Ok(_)), Some(_)) => return Some(Format::Hosts),
            (Some(Err(_)), None) if super::name(line.strip_prefix("*.").unwrap_or(line)).is_ok() => names += 1,
            _ => {}
        }
    }
    (names > 0).then_some(Format::Domains)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split_ascii_whitespace().any(|part| part == word)
}
