//! The comparison of two policies, told to people.

use std::io::{self, Write};

use super::diff::{Change, Compared, Comparison, Instant, Kind, Shown};
use crate::cli::audience::Audience;
use crate::cli::output::plain;

/// How many names are listed of those that are still withheld, or still resolved.
const FEW: usize = 10;

pub(super) fn write(of: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    for (title, Compared { given, policy, orders }) in [("OLD", &of.old), ("NEW", &of.new)] {
        writeln!(out, "{title}  {}", plain(given))?;
        writeln!(out, "     policy {policy}")?;
        let orders = if orders.is_empty() { "none".to_owned() } else { orders.join(", ") };
        writeln!(out, "     orders {}", plain(&orders))?;
    }
    write_scope(of, out)?;
    if of.changes.is_empty() {
        let when = if of.instant_only { "at that instant" } else { "now or later" };
        return writeln!(out, "\nno difference: both treat every name that was compared alike, {when}");
    }
    writeln!(out)?;
    write_instants(of, out)?;
    let whole = of.groups.iter().filter(|group| group.network.is_none()).count();
    for change in &of.changes {
        write_change(change, whole, of, out)?;
    }
    Ok(())
}

/// Says what was compared, and what was not.
fn write_scope(of: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "\n{} compared", counted(of.listed as u64, "listed name"))?;
    if of.given > 0 || of.faulty_lines > 0 {
        write!(out, ", and {} that {} given", counted(of.given, "name"), if of.given == 1 { "was" } else { "were" })?;
    }
    if of.faulty_lines > 0 {
        write!(out, " ({} left out)", counted(of.faulty_lines, "faulty line"))?;
    }
    let groups: Vec<_> = of.groups.iter().filter(|group| group.network.is_none()).collect();
    if groups.len() > 1 {
        let names: Vec<_> = groups.iter().map(|group| group.group.as_str()).collect();
        write!(out, ", for the groups {}", plain(&names.join(", ")))?;
    }
    writeln!(out)?;
    for Audience { group, missing, other_members, .. } in groups {
        if *other_members {
            writeln!(out, "group {} takes other clients in NEW: who moves by that is not compared", plain(group))?;
        }
        if let Some(missing) = missing {
            let missing = missing.to_uppercase();
            writeln!(out, "group {} is not in {missing}: compared with the default group there", plain(group))?;
        }
    }
    match of.instants_left_out {
        0 => Ok(()),
        left_out => writeln!(out, "{left_out} later instants are left out; compare at one of them with --at"),
    }
}

/// Writes a line for each instant at which the sums become other ones.
fn write_instants(of: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut before = None;
    for Instant { at, counts } in &of.instants {
        if before == Some(counts) {
            continue;
        }
        before = Some(counts);
        let title = if *at == of.from { format!("at {at:.0}") } else { format!("from {at}") };
        let parts: Vec<_> = Kind::ALL.iter().filter(|kind| counts[*kind] > 0).collect();
        let parts: Vec<_> = parts.into_iter().map(|kind| format!("{} {}", counts[kind], word(*kind))).collect();
        let parts = if parts.is_empty() { "no difference".to_owned() } else { parts.join(", ") };
        writeln!(out, "{title:<27}  {parts}")?;
    }
    Ok(())
}

fn write_change(of: &Change<'_>, whole: usize, comparison: &Comparison<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Change { change, order, service, groups, from, until, old, new, count, names } = of;
    let rule = [("order", order), ("service", service)].map(|(word, id)| id.map(|id| format!(", {word} {id}")));
    let rule: String = rule.into_iter().flatten().collect();
    writeln!(out, "\n{}: {}{}", word(*change), counted(*count, "name"), plain(&rule))?;
    let everyone = groups.len() == whole && !comparison.groups.iter().any(|group| group.network.is_some());
    let whom = if everyone { "every client".to_owned() } else { groups.join(", ") };
    let from = if *from == comparison.from { String::new() } else { format!(" from {from}") };
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    writeln!(out, "  for   {}{from}{until}", plain(&whom))?;
    writeln!(out, "  OLD   {}", plain(&told(old)))?;
    writeln!(out, "  NEW   {}", plain(&told(new)))?;
    let most = match change {
        Kind::Sunk | Kind::Freed | Kind::Monitored | Kind::Waived => names.len(),
        // Nobody meets another answer, or another silence.
        Kind::Reason | Kind::Rule | Kind::Answer => names.len().min(FEW),
    };
    for name in &names[..most] {
        writeln!(out, "    {}", plain(name))?;
    }
    match count - most as u64 {
        0 => Ok(()),
        more if most < names.len() => writeln!(out, "    and {more} more, which --json lists"),
        more => writeln!(out, "    and {more} more"),
    }
}

/// Says what one policy makes of names.
fn told(of: &Shown<'_>) -> String {
    let Shown { verdict, order, prohibition, service, waiver, binding, sink } = of;
    let mut text = (*verdict).to_owned();
    let parts = [("by order", order), ("prohibition", prohibition), ("service", service), ("waiver", waiver)];
    let parts = parts.into_iter().filter_map(|(word, id)| id.map(|id| format!("{word} {id}")));
    let binding = binding.map(|binding| if binding { "told as binding" } else { "told as this network's policy" });
    let sink = sink.map(|sink| format!("answered with {sink}"));
    let parts: Vec<_> = parts.chain(binding.map(str::to_owned)).chain(sink).collect();
    if parts.is_empty() {
        text.push_str(": no rule matches");
    } else {
        text.push_str(", ");
        text.push_str(&parts.join(", "));
    }
    text
}

fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Sunk => "newly sunk",
        Kind::Freed => "freed",
        Kind::Monitored => "newly monitored",
        Kind::Waived => "newly waived",
        Kind::Reason => "resolved for another reason",
        Kind::Rule => "by another rule",
        Kind::Answer => "sunk and answered otherwise",
    }
}
