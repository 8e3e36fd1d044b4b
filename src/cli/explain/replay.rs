//! Replays what a record says, by the policy that decided it.

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Context as _, anyhow, bail};

use super::account::{Account, Comparison};
use super::{Origin, Question, anyone, archived};
use crate::cli::attempts::client_of;
use crate::cli::folder::{self, Folder};
use crate::client::{Client, GroupId};
use crate::ledger::{self, Body, Record};
use crate::policy::{Sink, Snapshot, When};
use crate::query::{Target, Through};

pub(super) fn run(
    seq: u64,
    name: Option<&Target>,
    folder: &Folder,
    sink: Sink,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let record = find(seq, folder)?;
    let client = client_of(&record, &mut folder.keys())?;
    let digest = folder::digest(&record.policy).with_context(|| format!("record {seq} names no policy"))?;
    let snapshot = archived(folder, &digest)?;
    let question =
        question(&record, client.as_deref(), &snapshot).with_context(|| format!("record {seq} cannot be replayed"))?;
    if name.is_some_and(|name| *name != question.asked && Some(name) != question.subject.as_ref()) {
        bail!("record {seq} is about {}; leave the name out, or give that one", question.asked);
    }
    let mut account = Account::new(&question, &snapshot, sink);
    let comparison = compare(seq, &record, client, &account);
    let same = comparison.same;
    account.record = Some(comparison);
    super::write(&account, Origin::Record, json, out)?;
    if same { Ok(()) } else { Err(anyhow!("the replay of record {seq} gives another decision than the record")) }
}

fn find(seq: u64, folder: &Folder) -> anyhow::Result<Box<Record>> {
    let leaf = ledger::find(&folder.journal(), seq)?;
    let leaf = leaf.with_context(|| format!("there is no record {seq} in {}", folder.root().display()))?;
    match leaf.body {
        Body::Attempt(record) => Ok(record),
        Body::Coverage(_) => bail!("leaf {seq} is no attempt: it tells what a period of time was like"),
        Body::Change(_) => bail!("leaf {seq} is no attempt: it tells a change of the daemon"),
        Body::Gap(_) => bail!("leaf {seq} is no attempt: it tells what could not be recorded"),
        Body::Unknown => bail!("leaf {seq} was written by a later version of this program"),
    }
}

fn question(record: &Record, client: Option<&str>, snapshot: &Snapshot) -> anyhow::Result<Question> {
    let name = |text: &str| text.parse().map(Target::Name).with_context(|| format!("`{text}` is no name"));
    let found = |text: &str| text.parse().map(Target::Address).with_context(|| format!("`{text}` is no address"));
    let through = match record.through.as_deref() {
        None => Through::Question,
        Some(word) => Through::ALL
            .into_iter()
            .find(|through| through.as_str() == word)
            .with_context(|| format!("a later version of this program found it through `{word}`"))?,
    };
    // A name may look like an address; what it was found through tells them apart.
    let subject = |text: &str| if through.is_to_address() { found(text) } else { name(text) };
    let asked = record.name.as_deref().context("it stands for look-ups of several names that were put together")?;
    // A network stands for clients that are not told apart; without the key there is no client at all.
    let address = client.map(|text| text.split_once('/').map_or(text, |(address, _)| address));
    let address = address.and_then(|text| text.parse::<IpAddr>().ok());
    let group = match &record.group {
        None => GroupId::DEFAULT,
        Some(name) => snapshot.group_named(name).with_context(|| format!("its policy has no group `{name}`"))?,
    };
    Ok(Question {
        asked: name(asked)?,
        subject: record.subject.as_deref().map(subject).transpose()?,
        through,
        record_type: record.r#type.clone().unwrap_or_default(),
        client: Client::member(address.unwrap_or_else(|| anyone().address()), group).within(record.prefix),
        when: When { at: record.at, ends: record.ends.unwrap_or(record.at) },
    })
}

fn compare(seq: u64, record: &Record, client: Option<String>, account: &Account<'_>) -> Comparison {
    let Record { verdict, order, prohibition, rule, waiver, .. } = record;
    let found = &account.deciding;
    let same = found.verdict == verdict
        && found.order == Some(order)
        && found.prohibition == prohibition.as_deref()
        && found.waiver == waiver.as_deref()
        && found.rule.is_some_and(|of| of.text() == *rule);
    Comparison {
        seq,
        verdict: verdict.clone(),
        order: order.clone(),
        prohibition: prohibition.clone(),
        rule: rule.clone(),
        waiver: waiver.clone(),
        client,
        same,
    }
}
