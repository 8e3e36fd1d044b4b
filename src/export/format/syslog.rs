//! Syslog messages (RFC 5424).

use jiff::Timestamp;

use super::Text;
use crate::export::event::{Event, Origin, Weight};

/// The facility `log audit` (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// The longest HOSTNAME (section 6.2.4).
const MAX_HOST: usize = 255;

/// Returns an event as one message: a header, structured data on the program, and the event as `text` writes it.
pub(in crate::export) fn message(event: &Event, origin: &Origin, text: Text) -> String {
    let priority = FACILITY * 8 + severity(event.weight());
    let at = event.at().map_or_else(|| "-".to_owned(), micros);
    let (host, kind, version) = (printable(&origin.host), event.kind(), env!("CARGO_PKG_VERSION"));
    let body = text.write(event, origin);
    format!(
        "<{priority}>1 {at} {host} interdict - {kind} [origin software=\"interdict\" swVersion=\"{version}\"] {body}"
    )
}

fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Section 6.2.1.
const fn severity(weight: Weight) -> u8 {
    match weight {
        Weight::Error => 3,
        Weight::Warning => 4,
        Weight::Notice => 5,
        Weight::Informational => 6,
    }
}

/// Returns a name of a host of printable ASCII, which is all that a header may hold.
fn printable(host: &str) -> String {
    let host: String = host.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(MAX_HOST).collect();
    if host.is_empty() { "-".to_owned() } else { host }
}
