//! The address of an upstream that is known by name only: asked of plain servers that are named for that, never of the system,
//! whose resolver may be this daemon, which would wait for itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use super::drive;
use super::exchange::Exchange;
use super::upstream::Group;
use crate::clock;
use crate::message::{Class, Name, Record, RecordType, ResponseView, Section};
use crate::observe::Metrics;
use crate::query::Question;

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Looks up an address of `name`, one of IPv4 before one of IPv6.
pub(super) fn address<'a>(
    name: &'a str,
    servers: Option<&'a Group>,
) -> Pin<Box<dyn Future<Output = io::Result<IpAddr>> + Send + 'a>> {
    // In a box, since plain servers are asked by whoever asks encrypted ones.
    Box::pin(look_up(name, servers))
}

async fn look_up(name: &str, servers: Option<&Group>) -> io::Result<IpAddr> {
    let servers = servers.ok_or_else(|| io::Error::other("no bootstrap server is named"))?;
    let name: Name = name.parse().map_err(io::Error::other)?;
    for record_type in [RecordType::A, RecordType::AAAA] {
        let question = Question { name: name.clone(), record_type, class: Class::IN };
        let mut exchange = Exchange::new(question, (false, false), servers.order(clock::monotonic()), (2, TIMEOUT));
        let first = exchange.next(drive::dice());
        // What is asked for our own sake is not counted.
        let answer = drive::drive(&mut exchange, first, servers, &Metrics::new()).await;
        if let Some(address) = answer.ok().and_then(|answer| first_address(&answer, record_type)) {
            return Ok(address);
        }
    }
    Err(io::Error::other("no bootstrap server tells an address"))
}

fn first_address(answer: &[u8], record_type: RecordType) -> Option<IpAddr> {
    let view = ResponseView::read(answer).ok()?;
    let is_address = |record: &Record| record.section == Section::Answer && record.record_type == record_type;
    let record = view.records().filter_map(Result::ok).find(is_address)?;
    let data = answer.get(record.data..record.end)?;
    let four = <[u8; 4]>::try_from(data).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    four.or_else(|_| <[u8; 16]>::try_from(data).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}
