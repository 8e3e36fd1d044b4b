//! Gives a running daemon a command, and tells what came of it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::output::plain;
use super::settings::{ConfigArgs, FolderArgs};
use crate::config::{Config, ControlSocket};
use crate::control::{self, AskError, Command, Reply};
use crate::daemon::folder::CONTROL;

/// Which daemon is commanded.
#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    pub(super) folder: FolderArgs,
}

/// Why the daemon did nothing, one text each.
#[derive(Debug, thiserror::Error)]
#[error("refused: {}", .0.join("\nrefused: "))]
pub(super) struct Refused(Vec<String>);

/// There is no way to command the daemon.
#[derive(Debug, thiserror::Error)]
#[error("the daemon takes no commands, because [control] listen is false")]
pub(super) struct Off;

/// What a daemon has answered to a command that it carried out.
#[derive(Debug)]
pub(super) struct Done {
    told: Vec<String>,
    shown: Option<Value>,
}

impl DaemonArgs {
    /// Returns the daemon that does not rehearse.
    pub(super) fn real(config: ConfigArgs) -> Self {
        Self { config, folder: FolderArgs::default() }
    }

    /// Gives the command, and waits for what comes of it.
    pub(super) fn ask(&self, command: &Command) -> anyhow::Result<Done> {
        let config = self.config.load()?;
        let path = self.socket(&config).ok_or(Off)?;
        match control::ask(&path, command)? {
            Reply::Done { told, shown } => Ok(Done { told, shown }),
            Reply::Refused { told } => Err(Refused(told).into()),
        }
    }

    fn socket(&self, config: &Config) -> Option<PathBuf> {
        match &config.control.listen {
            ControlSocket::Off => None,
            ControlSocket::At(path) if !self.folder.is_rehearsal() => Some(path.clone()),
            ControlSocket::InDataFolder | ControlSocket::At(_) => Some(self.folder.of(config).root().join(CONTROL)),
        }
    }
}

impl Done {
    /// Writes what is told, one text a line.
    pub(super) fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in &self.told {
            writeln!(out, "{}", plain(line))?;
        }
        Ok(())
    }

    /// Returns what is shown.
    pub(super) fn read<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        Ok(serde_json::from_value(self.shown.unwrap_or_default())?)
    }
}

/// Returns the exit code where a command could not be given.
pub(super) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    if error.is::<Off>() {
        return Some(69);
    }
    error.downcast_ref().map(AskError::exit_code)
}
