//! The socket itself: bound so that at no moment anybody else can reach it, and replaced where its daemon is gone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_to, listen, socket};
use nix::sys::stat::{Mode, fchmod};

/// For the user and the group of the daemon.
const MODE: u32 = 0o660;
/// Connections that may wait to be accepted.
const WAITING: i32 = 16;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "the path of the control socket is longer than the {most} octets that the system takes: {}; set [control] listen \
         to a shorter one, or to false",
        path.display()
    )]
    Long { path: PathBuf, most: usize },
    #[error("another process listens on the control socket {}; set another [control] listen", path.display())]
    InUse { path: PathBuf },
    #[error("{} is no socket, and is not replaced by one; move it away, or set another [control] listen", path.display())]
    Other { path: PathBuf },
    #[error("cannot listen on the control socket {}; set another [control] listen, or false", path.display())]
    Failed { path: PathBuf, source: io::Error },
}

/// Listens at `path`. A socket that nobody listens on any more is replaced.
///
/// # Errors
/// Where the path is too long, taken, or cannot be bound.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Failed { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::Other { path: path.to_owned() }),
        // Whoever holds the lock of the data folder is alone there; elsewhere another daemon may be alive.
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(BindError::InUse { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let address = UnixAddr::new(&fresh).map_err(|_| BindError::Long { path: path.to_owned(), most: longest() })?;
    // What a daemon left behind that was killed between the two steps below.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let bound = || -> io::Result<UnixListener> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        // The file that `bind` makes has the mode of the socket, cut by the umask: nobody else gets in between.
        fchmod(&socket, Mode::from_bits_truncate(MODE))?;
        bind_to(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)?;
        listen(&socket, Backlog::new(WAITING)?)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(MODE))?;
        // In one step, so that there is never none and never a half-made one.
        fs::rename(&fresh, path)?;
        Ok(UnixListener::from(socket))
    };
    bound().map_err(failed)
}

/// Returns how long a path may be: the room of the address but its closing zero and the ending of the fresh one.
fn longest() -> usize {
    108 - 1 - ".new".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_user_and_group_and_replaces_only_what_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = bind(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(bind(&path), Err(BindError::InUse { .. })));
        drop(first);
        fs::write(folder.path().join("control.sock.new"), "left behind").unwrap();
        let second = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's letters").unwrap();
        assert!(matches!(bind(&path), Err(BindError::Other { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"somebody's letters");
    }

    #[test]
    fn a_path_that_is_too_long_is_told_with_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let room = longest() - folder.path().as_os_str().len() - 1;
        assert!(bind(&folder.path().join("x".repeat(room))).is_ok());
        let told = bind(&folder.path().join("x".repeat(room + 1))).unwrap_err().to_string();
        assert!(told.contains("103 octets") && told.contains("[control] listen"), "{told}");
    }
}
