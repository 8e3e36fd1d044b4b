//! Why the daemon does not start, with the exit code, and the line of the configuration that has to be changed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::control;
use crate::ledger;
use crate::listen::BindError;

/// Why the daemon does not start. Every variant says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Every fault of the configuration, the catalogues, the orders and the local zones.
    #[error("the configuration cannot be used:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    #[error("cannot write to the data folder {}; give it to this user, or set another data_dir", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("another Interdict works in the data folder {}; stop it, or set another data_dir", path.display())]
    Locked { path: PathBuf },
    /// Root without capabilities is a user like any other, and what it leaves behind would keep the owner out.
    #[error("the data folder {} is of another user ({uid}); start the daemon as that one", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error(
        "a later version of Interdict wrote {} (format {found}; this one knows {known}): start that version, or put back a copy of \
         the data folder from before it",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the admin address {address} is in use; set another [admin] listen, or \"\" for none")]
    AdminInUse { address: SocketAddr },
    #[error("listening on the admin address {address} is not permitted; set another [admin] listen, or \"\" for none")]
    AdminRefused { address: SocketAddr },
    #[error("cannot listen on the admin address {address}")]
    Admin { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Control(#[from] control::BindError),
    #[error("cannot open the ledger")]
    Ledger(#[source] ledger::OpenError),
    #[error("the system gives no thread, socket or signal handler")]
    System(#[source] io::Error),
}

impl StartError {
    /// Returns the exit code (sysexits.h).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Newer { .. } | Self::Ledger(ledger::OpenError::Journal(ledger::RecoverError::Newer { .. })) => 78,
            Self::Faults(_) | Self::Control(control::BindError::Long { .. } | control::BindError::Other { .. }) => 78,
            Self::Control(control::BindError::Failed { .. }) => 73,
            Self::Control(control::BindError::InUse { .. }) => 69,
            Self::Unwritable { .. } | Self::Foreign { .. } | Self::Ledger(_) => 73,
            Self::Locked { .. } | Self::AdminInUse { .. } => 69,
            Self::Bind(BindError::InUse { .. } | BindError::Failed { .. } | BindError::Given { .. }) => 69,
            Self::Bind(BindError::Refused { .. }) | Self::AdminRefused { .. } => 77,
            Self::Admin { .. } => 69,
            Self::System(_) => 71,
        }
    }

    /// Returns where the configuration says what cannot be had, if it says so itself.
    pub fn place(&self, config: &Config) -> Option<String> {
        match self {
            Self::Unwritable { .. } | Self::Locked { .. } | Self::Foreign { .. } => config.place("data_dir"),
            Self::Bind(
                BindError::InUse { address } | BindError::Refused { address } | BindError::Failed { address, .. },
            ) => {
                let place = config.listen.dns.iter().position(|own| own == address)?;
                config.place(&format!("listen.dns[{place}]"))
            }
            Self::AdminInUse { .. } | Self::AdminRefused { .. } | Self::Admin { .. } => config.place("admin.listen"),
            Self::Control(_) => config.place("control.listen"),
            // Faults say where they are; the others are none of the configuration's.
            Self::Faults(_) | Self::Newer { .. } | Self::Ledger(_) | Self::System(_) => None,
            Self::Bind(BindError::Given { .. }) => None,
        }
    }
}
