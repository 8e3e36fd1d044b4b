//! Looks up the hosts of fetched files as a client of this resolver would: the system's resolver may be this daemon, which
//! would wait for itself, or somebody who is not bound by what is withheld here.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use crate::fetch::Lookup;
use crate::ledger::Recorder;
use crate::message::{Class, Name, Record, RecordType, ResponseCode, ResponseView, Section, Writer, flag};
use crate::pipeline::{Pipeline, Step};
use crate::query::{Peer, Transport};

/// Asks the pipeline, by which the question is decided and recorded like anybody's.
pub(super) struct OwnLookup {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) recorder: Recorder,
}

impl Lookup for OwnLookup {
    fn addresses(&self, name: Name) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + '_>> {
        Box::pin(async move {
            let four = self.ask(&name, RecordType::A).await;
            let six = self.ask(&name, RecordType::AAAA).await;
            match (four, six) {
                (Ok(four), Ok(six)) => Ok(by_turns(four, six)),
                // A host that is known by one kind of address may be known by no other.
                (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
                (Err(reason), _) | (_, Err(reason)) => Err(reason),
            }
        })
    }
}

impl OwnLookup {
    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Vec<IpAddr>, String> {
        let mut packet = Vec::new();
        Writer::new(&mut packet, rand::random(), flag::RECURSION_DESIRED).question(
            name.as_wire(),
            record_type,
            Class::IN,
        );
        let mut answer = Vec::new();
        let peer = Peer::direct(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), None);
        let moment = self.pipeline.moment();
        match self.pipeline.begin(&packet, (peer, Transport::Tcp), &moment, &self.recorder, &mut answer) {
            Step::Answer | Step::Repeatable(_) | Step::Ignore => {}
            // Nobody outside hears the answer.
            Step::Commit(_, _) => {}
            Step::Forward(query) | Step::Resolve(query) => {
                self.pipeline.complete(&query, &self.recorder, &mut answer).await;
            }
        }
        let view = ResponseView::read(&answer).map_err(|_| "it is withheld here".to_owned())?;
        let code = ResponseCode(view.response_code());
        if code != ResponseCode::NO_ERROR {
            let word = code.mnemonic().unwrap_or("an error");
            return Err(format!("the answer is {word}; `interdict explain {name}` tells whether it is withheld here"));
        }
        let is_address = |record: &Record| record.section == Section::Answer && record.record_type == record_type;
        let records = view.records().filter_map(Result::ok).filter(is_address);
        Ok(records.filter_map(|record| address(&answer[record.data..record.end])).collect())
    }
}

/// Returns both kinds by turns, so that a network that has only one of them comes to it soon.
fn by_turns(four: Vec<IpAddr>, six: Vec<IpAddr>) -> Vec<IpAddr> {
    let longest = four.len().max(six.len());
    (0..longest).flat_map(|at| [four.get(at), six.get(at)]).flatten().copied().collect()
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(data).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    four.or_else(|_| <[u8; 16]>::try_from(data).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}
