//! `interdict man`: one page with every command, from the same definitions as the help.

use std::io::{self, Write};

use clap_mangen::Man;

pub(super) fn run(out: &mut dyn Write) -> anyhow::Result<()> {
    let mut definition = super::definition();
    definition.build();
    let man = Man::new(definition.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    // In place of the generator's list of commands, which refers to a page for each.
    for command in definition.get_subcommands() {
        write_command(out, command, "interdict")?;
    }
    man.render_extra_section(out)?;
    Ok(man.render_version_section(out)?)
}

/// Writes a section of the command, and of those below it.
fn write_command(out: &mut dyn Write, command: &clap::Command, above: &str) -> io::Result<()> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let name = format!("{above} {}", command.get_name());
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    writeln!(out, ".SH \"{}\"", name.to_uppercase())?;
    for line in String::from_utf8_lossy(&text).lines() {
        // The page has one section a command; what the generator takes for sections are parts of it.
        match line.strip_prefix(".SH ") {
            Some(title) => writeln!(out, ".SS {title}")?,
            // The page's own head defines the quotation mark once.
            None if line.starts_with(".ie ") || line.starts_with(".el ") => {}
            None => writeln!(out, "{line}")?,
        }
    }
    command.get_subcommands().try_for_each(|below| write_command(out, below, &name))
}
