//! What is said of a name that a list of the operator withholds or gives records of its own.

use super::{InfoCode, Style, cut, write_sunk};
use crate::lists::{Action, Local};
use crate::message::{Name, Owner, RecordType, ResponseCode, Section, Writer};
use crate::policy::Sink;
use crate::query::Query;

/// The words that go with the extended error, before the name of the list. It is the operator who chose the list, and not
/// the client: Blocked, and not Filtered (RFC 8914, sections 4.16 and 4.18).
pub(super) const INFO: (InfoCode, &str) = (InfoCode::Blocked, "blocked by this network's list ");

/// Writes what `action` says; whether anything is withheld by it is told by the result.
pub(super) fn write_listed(
    writer: &mut Writer<'_>,
    query: &Query,
    (action, behind, left): (&Action, &[Name], Option<u32>),
    style: &Style,
) -> (ResponseCode, bool) {
    let ttl = cut(style.sink_ttl, left);
    // What is withheld whole is said of the question; what has a meaning of its own, of the name that is meant, behind the
    // aliases that lead there.
    let own = behind.last().filter(|_| matches!(action, Action::Nxdomain | Action::Nodata | Action::Local(_)));
    let name = own.unwrap_or(&query.question.name);
    if own.is_some() {
        let mut owner = Owner::QUESTION;
        for target in behind {
            let kind = (RecordType::CNAME, query.question.class);
            writer.record(Section::Answer, owner, kind, ttl, &[target.as_wire()]);
            owner = Owner::Name(target);
        }
    }
    let sunk = |writer: &mut Writer<'_>, sink| write_sunk(writer, query, (name, ttl, false), sink);
    match action {
        Action::Block => (sunk(writer, style.sink), true),
        Action::Nxdomain => (sunk(writer, Sink::Nxdomain), true),
        Action::Nodata => (sunk(writer, Sink::Nodata), true),
        Action::Refused => (ResponseCode::REFUSED, true),
        Action::Local(local) => match write_local(writer, query, (local, own), left) {
            true => (ResponseCode::NO_ERROR, false),
            false => (sunk(writer, Sink::Nodata), true),
        },
        // Whoever asks for these to be written has nothing to say.
        Action::Pass | Action::Drop | Action::TcpOnly => (ResponseCode::SERV_FAIL, true),
    }
}

/// Writes the records of the type that was asked for; tells whether there were any.
fn write_local(
    writer: &mut Writer<'_>,
    query: &Query,
    (local, name): (&Local, Option<&Name>),
    left: Option<u32>,
) -> bool {
    let class = query.question.class;
    let owner = name.map_or(Owner::QUESTION, Owner::Name);
    let name = name.unwrap_or(&query.question.name);
    if let Some(alias) = &local.alias {
        let Some(target) = alias.target_for(name) else { return false };
        let kind = (RecordType::CNAME, class);
        writer.record(Section::Answer, owner, kind, cut(alias.ttl, left), &[target.as_wire()]);
        return true;
    }
    let asked = query.question.record_type;
    let records = local.records.iter();
    let mut written = false;
    for record in records.filter(|record| asked == RecordType::ANY || record.record_type == asked.0) {
        let kind = (RecordType(record.record_type), class);
        writer.record(Section::Answer, owner, kind, cut(record.ttl, left), &[&record.data]);
        written = true;
    }
    written
}

/// Returns the response with which an alias of a list begins, and where it leads.
pub fn alias_of(query: &Query, local: &Local) -> Option<(Vec<u8>, Name)> {
    let target = local.alias.as_ref()?.target_for(&query.question.name)?;
    let mut message = Vec::new();
    let mut writer = Writer::new(&mut message, 0, crate::message::flag::RESPONSE);
    writer.question(query.question.name.as_wire(), query.question.record_type, query.question.class);
    write_local(&mut writer, query, (local, None), None);
    Some((message, target))
}
