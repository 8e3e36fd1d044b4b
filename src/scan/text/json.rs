//! Logs of one JSON object a line: Zeek, Suricata, AdGuard Home, and what Interdict itself exports.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Fault, Read, address, name, plain_name, record_type, transport};
use crate::scan::Seen;
use crate::scan::calendar::{Calendar, iso};

type Text<'l> = Cow<'l, str>;

/// `dns.log` of Zeek with `LogAscii::use_json`.
#[derive(Deserialize)]
struct Zeek<'l> {
    #[serde(borrow)]
    ts: Time<'l>,
    #[serde(rename = "id.orig_h", borrow)]
    client: Text<'l>,
    #[serde(borrow)]
    query: Option<Text<'l>>,
    #[serde(borrow)]
    qtype_name: Option<Text<'l>>,
    #[serde(borrow)]
    proto: Option<Text<'l>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'l> {
    Seconds(f64),
    #[serde(borrow)]
    Text(Text<'l>),
}

/// An event of Suricata (EVE); those of version 3 have their questions in a list.
#[derive(Deserialize)]
struct Suricata<'l> {
    #[serde(borrow)]
    timestamp: Text<'l>,
    #[serde(borrow)]
    event_type: Text<'l>,
    #[serde(borrow)]
    src_ip: Option<Text<'l>>,
    #[serde(borrow)]
    proto: Option<Text<'l>>,
    #[serde(borrow)]
    dns: Option<SuricataDns<'l>>,
}

#[derive(Deserialize)]
struct SuricataDns<'l> {
    #[serde(borrow)]
    r#type: Option<Text<'l>>,
    #[serde(flatten, borrow)]
    one: SuricataQuestion<'l>,
    #[serde(default, borrow)]
    queries: Vec<SuricataQuestion<'l>>,
}

#[derive(Deserialize)]
struct SuricataQuestion<'l> {
    #[serde(borrow)]
    rrname: Option<Text<'l>>,
    #[serde(borrow)]
    rrtype: Option<Text<'l>>,
}

/// A line of AdGuard Home's `querylog.json`.
#[derive(Deserialize)]
struct AdGuard<'l> {
    #[serde(rename = "T", borrow)]
    time: Text<'l>,
    #[serde(rename = "IP", borrow)]
    client: Text<'l>,
    #[serde(rename = "QH", borrow)]
    host: Text<'l>,
    #[serde(rename = "QT", borrow)]
    record_type: Text<'l>,
    #[serde(rename = "QC", borrow)]
    class: Text<'l>,
}

/// A record of Interdict, as `interdict export` writes it as JSON.
#[derive(Deserialize)]
struct Own<'l> {
    #[serde(borrow)]
    kind: Option<Text<'l>>,
    at: Option<Timestamp>,
    last: Option<Timestamp>,
    count: Option<u64>,
    #[serde(borrow)]
    address: Option<Text<'l>>,
    #[serde(borrow)]
    name: Option<Text<'l>>,
    #[serde(borrow)]
    r#type: Option<Text<'l>>,
    #[serde(borrow)]
    transport: Option<Text<'l>>,
}

/// The same as ECS has it, with the whole record in it.
#[derive(Deserialize)]
struct Wrapped<'l> {
    #[serde(borrow)]
    interdict: Own<'l>,
}

/// The same as OCSF has it.
#[derive(Deserialize)]
struct Ocsf<'l> {
    class_uid: u32,
    #[serde(borrow)]
    query: Option<OcsfQuery<'l>>,
    #[serde(borrow)]
    src_endpoint: Option<OcsfEndpoint<'l>>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    count: Option<u64>,
}

#[derive(Deserialize)]
struct OcsfQuery<'l> {
    #[serde(borrow)]
    hostname: Option<Text<'l>>,
    #[serde(borrow)]
    r#type: Option<Text<'l>>,
}

#[derive(Deserialize)]
struct OcsfEndpoint<'l> {
    #[serde(borrow)]
    ip: Option<Text<'l>>,
}

const NOT_JSON: Fault = Fault::Line("the line is no JSON object of this log");

fn parsed<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, Fault> {
    serde_json::from_slice(line).map_err(|_| NOT_JSON)
}

fn instant(text: &str, calendar: &mut Calendar) -> Result<Timestamp, Fault> {
    let (stamp, _) = iso(text.as_bytes()).ok_or(Fault::TIME)?;
    calendar.instant(stamp)
}

pub(super) fn zeek(line: &[u8], calendar: &mut Calendar) -> Read {
    let Zeek { ts, client, query, qtype_name, proto } = parsed(line)?;
    let Some(query) = query else { return Ok(None) };
    let at = match ts {
        Time::Text(text) => instant(&text, calendar)?,
        // Zeek writes microseconds, which are all that the number has room for.
        Time::Seconds(seconds) if seconds.is_finite() => {
            Timestamp::from_microsecond((seconds * 1e6).round() as i64).map_err(|_| Fault::TIME)?
        }
        Time::Seconds(_) => return Err(Fault::TIME),
    };
    Ok(Some(Seen {
        record_type: qtype_name.and_then(|of| record_type(of.as_bytes())),
        transport: proto.and_then(|of| transport(of.as_bytes())),
        ..Seen::once(at, address(client.as_bytes())?, plain_name(query.as_bytes())?)
    }))
}

pub(super) fn suricata(line: &[u8], calendar: &mut Calendar) -> Read {
    let Suricata { timestamp, event_type, src_ip, proto, dns } = parsed(line)?;
    let Some(dns) = dns.filter(|_| event_type == "dns") else { return Ok(None) };
    if !dns.r#type.is_some_and(|of| of == "query" || of == "request") {
        return Ok(None);
    }
    if dns.queries.len() > 1 {
        return Err(Fault::Line("the event has more than one question"));
    }
    let SuricataQuestion { rrname, rrtype } = dns.queries.into_iter().next().unwrap_or(dns.one);
    let (Some(rrname), Some(client)) = (rrname, src_ip) else { return Err(Fault::CUT) };
    let at = instant(&timestamp, calendar)?;
    Ok(Some(Seen {
        record_type: rrtype.and_then(|of| record_type(of.as_bytes())),
        transport: proto.and_then(|of| transport(of.as_bytes())),
        ..Seen::once(at, address(client.as_bytes())?, plain_name(rrname.as_bytes())?)
    }))
}

pub(super) fn adguard(line: &[u8], calendar: &mut Calendar) -> Read {
    let AdGuard { time, client, host, record_type: of, class } = parsed(line)?;
    if class != "IN" {
        return Ok(None);
    }
    let at = instant(&time, calendar)?;
    let seen = Seen::once(at, address(client.as_bytes())?, plain_name(host.as_bytes())?);
    Ok(Some(Seen { record_type: record_type(of.as_bytes()), ..seen }))
}

pub(super) fn own(line: &[u8]) -> Read {
    if let Ok(Ocsf { class_uid, query, src_endpoint, start_time, end_time, count }) = parsed(line) {
        let Some(query) = query.filter(|_| class_uid == 4003) else { return Ok(None) };
        let instant = |at: Option<i64>| at.and_then(|at| Timestamp::from_millisecond(at).ok());
        let OcsfQuery { hostname, r#type } = query;
        let client = src_endpoint.and_then(|of| of.ip);
        let (kind, transport) = (Some(Text::Borrowed("attempt")), None);
        let (at, last) = (instant(start_time), instant(end_time));
        return record(Own { kind, at, last, count, address: client, name: hostname, r#type, transport });
    }
    match parsed::<Wrapped<'_>>(line) {
        Ok(Wrapped { interdict }) => record(interdict),
        Err(_) => record(parsed(line)?),
    }
}

fn record(own: Own<'_>) -> Read {
    let Own { kind, at, last, count, address: client, name: asked, r#type, transport: over } = own;
    let Some(asked) = asked.filter(|_| kind.is_some_and(|kind| kind == "attempt")) else { return Ok(None) };
    let at = at.ok_or(Fault::TIME)?;
    let client = match client {
        Some(client) => address(client.as_bytes())?,
        // Its key is gone, or it was exported without.
        None => std::net::Ipv4Addr::UNSPECIFIED.into(),
    };
    Ok(Some(Seen {
        last: last.unwrap_or(at).max(at),
        count: count.unwrap_or(1),
        record_type: r#type.and_then(|of| record_type(of.as_bytes())),
        transport: over.and_then(|of| transport(of.as_bytes())),
        ..Seen::once(at, client, name(asked.as_bytes())?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// Samples written from the documentation of each program: Zeek 6, Suricata 7 and 8, AdGuard Home 0.107.
    #[test]
    fn each_log_tells_the_same_query() {
        let mut calendar = Calendar::new(Some(TimeZone::UTC), None);
        for (read, line) in [
            (
                zeek as fn(&[u8], &mut Calendar) -> Read,
                r#"{"ts":1700000000.25,"uid":"C1","id.orig_h":"192.0.2.7","id.orig_p":4000,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","trans_id":7,"query":"UPD.example.com","qclass":1,"qclass_name":"C_INTERNET","qtype":1,"qtype_name":"A","rcode":0}"#,
            ),
            (
                zeek,
                r#"{"ts":"2023-11-14T22:13:20.250000Z","id.orig_h":"192.0.2.7","proto":"udp","query":"upd.example.com","qtype_name":"A"}"#,
            ),
            (
                suricata,
                r#"{"timestamp":"2023-11-14T23:13:20.250000+0100","flow_id":1,"event_type":"dns","src_ip":"192.0.2.7","src_port":4000,"dest_ip":"192.0.2.53","dest_port":53,"proto":"UDP","dns":{"type":"query","id":7,"rrname":"upd.example.com","rrtype":"A","tx_id":0}}"#,
            ),
            (
                suricata,
                r#"{"timestamp":"2023-11-14T22:13:20.250000+0000","event_type":"dns","src_ip":"192.0.2.7","proto":"UDP","dns":{"version":3,"type":"request","id":7,"queries":[{"rrname":"upd.example.com","rrtype":"A"}]}}"#,
            ),
        ] {
            let seen = read(line.as_bytes(), &mut calendar).unwrap().unwrap();
            assert_eq!(seen.at.to_string(), "2023-11-14T22:13:20.25Z", "{line}");
            assert_eq!(
                (seen.client.to_string(), seen.name.to_string()),
                ("192.0.2.7".to_owned(), "upd.example.com".to_owned())
            );
            assert_eq!(seen.record_type.map(|of| of.0), Some(1), "{line}");
            assert_eq!(seen.transport, Some(crate::query::Transport::Udp), "{line}");
        }
        let line = r#"{"T":"2023-11-15T01:13:20.25+03:00","QH":"upd.example.com","QT":"A","QC":"IN","CP":"","Answer":"AA==","Result":{},"Elapsed":1,"IP":"192.0.2.7"}"#;
        let seen = adguard(line.as_bytes(), &mut calendar).unwrap().unwrap();
        assert_eq!((seen.at.to_string(), seen.transport), ("2023-11-14T22:13:20.25Z".to_owned(), None));
        for line in [
            r#"{"timestamp":"2023-11-14T22:13:20+0000","event_type":"flow","src_ip":"192.0.2.7"}"#,
            r#"{"timestamp":"2023-11-14T22:13:20+0000","event_type":"dns","src_ip":"192.0.2.7","dns":{"type":"answer","rrname":"x"}}"#,
        ] {
            assert_eq!(suricata(line.as_bytes(), &mut calendar), Ok(None), "{line}");
        }
    }
}
