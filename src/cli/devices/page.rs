//! One device with the reasons for its role.

use std::io::{self, Write};

use super::written::{role, state, told_by};
use crate::cli::output::plain;
use crate::report::{Device, DeviceList};

pub(super) fn write(device: &Device, list: &DeviceList, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}\n", plain(&device.label), state(device))?;
    let mut row = |title: &str, value: &str| {
        if value.is_empty() { Ok(()) } else { writeln!(out, "  {title:<13}{}", plain(value)) }
    };
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    row("told by", told_by(device.kind))?;
    row("name now", &or_empty(&device.name))?;
    row("addresses", &device.addresses.join(", "))?;
    row("group", device.group.as_deref().unwrap_or(crate::client::DEFAULT_GROUP))?;
    row("known by", &or_empty(&device.identified))?;
    row("told through", &or_empty(&device.via))?;
    row("likely", &role(device))?;
    for (id, words) in &device.role.reasons {
        row("because", &format!("{words} [{id}]"))?;
    }
    let otherwise: Vec<_> = device.role.otherwise.iter().map(|role| role.as_str()).collect();
    row("or else", &otherwise.join(", "))?;
    row("services", &device.services.join(", "))?;
    let sums = &device.sums;
    let let_through = sums.let_through();
    row(
        "look-ups",
        &format!("{} of attempted contact: {} withheld, {let_through} let through", device.attempted, sums.withheld),
    )?;
    row("first", &format!("{:.0}", device.first))?;
    row("last", &format!("{:.0}", device.last))?;
    if let Some((hours, regularity)) = device.rhythm {
        row("updates", &format!("about every {hours} hours ({regularity} % of the waits)"))?;
    }
    if device.around_lookups > 0 {
        let tried = format!("{} look-ups of {}", device.around_lookups, device.around.join(", "));
        row("ways round", &tried)?;
    }
    row("waivers", &device.waivers.join(", "))?;
    if let Some(standing) = &device.standing {
        if let Some(since) = standing.silent_since {
            row("silent since", &format!("{since:.0}"))?;
        }
        if let Some(of) = &standing.confirmation {
            row("confirmed", &format!("{:.0} by {}: {}", of.at, of.actor, of.what))?;
        }
    }
    row("next", device.next.words())?;
    for help in &list.help {
        let note = help.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
        row("left open", &format!("{}{note}", help.name))?;
    }
    Ok(())
}
