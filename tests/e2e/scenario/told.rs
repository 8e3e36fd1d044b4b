//! What an answer and a record say, by the words that a scenario has for it.

use hickory_proto::op::Message;
use interdict::ledger::Record;

pub fn of_answer(key: &str, answer: &Message) -> String {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    match key {
        "answers" => answer.answers.len().to_string(),
        "data" => answer.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(","),
        "ech" => {
            let shown = answer.answers.iter().any(|record| record.data.to_string().contains("ech="));
            if shown { "yes" } else { "no" }.to_owned()
        }
        "least" => answer.answers.iter().map(|record| record.ttl).min().unwrap_or(0).to_string(),
        "ttl" => {
            answer.answers.iter().chain(&answer.authorities).map(|record| record.ttl).max().unwrap_or(0).to_string()
        }
        _ => match answer.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Unknown(15))) {
            Some(EdnsOption::Unknown(_, octets)) => u16::from_be_bytes([octets[0], octets[1]]).to_string(),
            _ => "none".to_owned(),
        },
    }
}

pub fn of_record(key: &str, record: &Record) -> String {
    let none = || "none".to_owned();
    match key {
        "rule" => record.rule.clone(),
        "order" => record.order.clone(),
        "service" => record.service.clone(),
        "prohibition" => record.prohibition.clone().unwrap_or_else(none),
        "waiver" => record.waiver.clone().unwrap_or_else(none),
        "group" => record.group.clone().unwrap_or_else(none),
        "identified" => record.identified.clone().unwrap_or_else(none),
        "through" => record.through.clone().unwrap_or_else(none),
        "subject" => record.subject.clone().unwrap_or_else(none),
        _ => panic!("nothing is known of `{key}`"),
    }
}
