//! Who commands: the peer of a connection, as the kernel knows it.

use std::fmt;
use std::time::Duration;

use nix::unistd::{Uid, User};

/// How long the system may take to find the name of a user, which may lie in a directory service.
const NAME_TIME: Duration = Duration::from_secs(2);
/// The longest name of a user that is shown, in characters.
const MAX_NAME: usize = 64;

/// Whoever holds the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub uid: u32,
    /// The process that connected, where the kernel tells it.
    pub pid: Option<i32>,
    /// What the system calls the user, for people only.
    pub name: Option<String>,
}

impl Actor {
    /// Identifies the peer of a connection by its credentials (`SO_PEERCRED`).
    pub(super) async fn of(stream: &tokio::net::UnixStream) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let uid = credentials.uid();
        let find = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
        let found = tokio::time::timeout(NAME_TIME, find).await;
        let user = found.ok().and_then(Result::ok).and_then(Result::ok).flatten();
        Ok(Self { uid, pid: credentials.pid(), name: user.map(|user| user.name).filter(|name| is_plain(name)) })
    }
}

/// The name goes to records and logs.
fn is_plain(name: &str) -> bool {
    let harmless = |character: char| character.is_ascii_graphic() && !matches!(character, '(' | ')');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(harmless)
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.name.iter().try_for_each(|name| write!(f, " ({name})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_number_with_a_name_that_forges_nothing() {
        let actor = |name: Option<&str>| Actor { uid: 7, pid: None, name: name.map(str::to_owned) }.to_string();
        assert_eq!((actor(None), actor(Some("eve"))), ("uid 7".to_owned(), "uid 7 (eve)".to_owned()));
        for (name, plain) in [("eve", true), ("a b", false), ("e\n", false), ("x) uid 0 (root", false), ("", false)] {
            assert_eq!(is_plain(name), plain, "{name:?}");
        }
    }
}
