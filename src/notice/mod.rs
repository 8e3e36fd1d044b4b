//! Notices: who is told, at which instants, which devices attempted contact with what is or will be prohibited.
//!
//! What is due ([`plan`]) and what a notice says ([`Facts`]) is pure but for reading an index; what becomes of each sending is
//! kept ([`Kept`]). A notice speaks of attempted contact, never of what is installed. Whoever sends them says when it is, looks
//! names up and writes the records; nothing here reads a clock.

mod facts;
mod gather;
mod hook;
mod kept;
mod mail;
mod plan;
mod smtp;
mod template;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

pub use facts::{Facts, Group, Listed, Subject};
pub use gather::{GatherError, Wanted, gather, marks};
pub use hook::{HookError, Webhook, payload};
pub use kept::{Entry, Kept, Sending, State, Waiting};
pub use mail::{Encryption, Mailbox, NoMailbox, NoServer, Server, Smtp};
pub use plan::{Kind, Mark, Notice, Plan, Weekly, plan};
pub use smtp::{MailError, mail};
pub use template::{Rendered, TemplateError, Templates};

/// The most octets of a file that holds a secret.
const MAX_SECRET: u64 = 4 << 10;

/// Who is told what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Ascending; 0 for the instant itself.
    pub days_before: Vec<u16>,
    pub digest: Option<Weekly>,
    pub look_back_days: u16,
    /// Whether names and addresses of devices are told.
    pub list_devices: bool,
    /// A folder of templates besides those of the program.
    pub templates: Option<PathBuf>,
    pub smtp: Option<Smtp>,
    pub webhooks: Vec<Webhook>,
}

impl Settings {
    /// Returns whether anybody is told anything.
    pub fn is_on(&self) -> bool {
        self.smtp.is_some() || !self.webhooks.is_empty()
    }

    /// Returns the names of the ways that notices go.
    pub fn channels(&self) -> Vec<String> {
        let mail = self.smtp.iter().map(|_| MAIL.to_owned());
        mail.chain(self.webhooks.iter().map(|hook| hook.name.clone())).collect()
    }
}

/// The name of the way by mail; that of a webhook is its own.
pub const MAIL: &str = "smtp";

/// Reads a secret: the first line of a file.
///
/// # Errors
/// Where it cannot be read, or is shorter than `least` octets.
pub fn secret(path: &Path, least: usize) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open(path)?.take(MAX_SECRET)).read_line(&mut line)?;
    let secret = line.trim_end_matches(['\r', '\n']);
    match secret.len() >= least.max(1) {
        true => Ok(secret.to_owned()),
        false => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("its first line has less than {least} octets")))
        }
    }
}
