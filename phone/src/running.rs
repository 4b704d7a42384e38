//! One phone a person: what is opened while one runs goes to the running one, by a socket of the
//! person's run-time folder (XDG_RUNTIME_DIR, which only that person can enter).

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::state::Key;

const SOCKET: &str = "trunkline-phone.socket";
/// Longest time for the other end to say or take its line.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any link or path, in octets.
const OCTETS_MAX: u64 = 4_200;

/// Where the running phone listens; none where the person has no run-time folder.
pub fn socket() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|folder| !folder.is_empty())
        .map(|folder| PathBuf::from(folder).join(SOCKET))
}

/// Gives a link or the absolute path of a file to the running phone. `false`: none runs.
pub fn hand_over(socket: &Path, target: &str) -> bool {
    let told = || -> io::Result<()> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(target.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        // The running phone says that it has taken it; one that is just ending does not.
        let mut taken = [0; 1];
        stream.read_exact(&mut taken)
    };
    told().is_ok()
}

/// Listens for what is opened, until the process ends.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(socket: &Path, keys: mpsc::Sender<Key>) -> io::Result<()> {
    // One of a phone that was killed; a living one has been asked before.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    std::thread::Builder::new().name("opened".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            match take(stream, &keys) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "what was opened did not arrive"),
            }
        }
    })?;
    Ok(())
}

/// Takes one link or path. `false`: nobody wants it any more.
fn take(mut stream: UnixStream, keys: &mpsc::Sender<Key>) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut target = String::new();
    (&stream).take(OCTETS_MAX).read_to_string(&mut target)?;
    // What cannot wait is dropped: a page that opens hundreds of links rings nobody.
    match keys.try_send(Key::Open(target)) {
        Ok(()) => stream.write_all(b"\n").map(|()| true),
        Err(mpsc::error::TrySendError::Full(_)) => Ok(true),
        Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_goes_to_the_running_phone_and_to_none_after_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join(SOCKET);
        assert!(!hand_over(&socket, "tel:0333331234"), "none runs");
        let (sender, mut keys) = mpsc::channel(1);
        listen(&socket, sender).unwrap();
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(hand_over(&socket, "tel:0333331234"));
        // The queue is full: not taken, and the phone goes on listening.
        assert!(!hand_over(&socket, "tel:0333331235"));
        assert_eq!(keys.blocking_recv(), Some(Key::Open("tel:0333331234".to_owned())));
        assert!(hand_over(&socket, "/tmp/x.vlf"));
        drop(keys);
        assert!(!hand_over(&socket, "tel:0333331236"));
        let (sender, _keys) = mpsc::channel(1);
        listen(&socket, sender).unwrap();
        assert!(hand_over(&socket, "tel:0333331236"), "the socket of the dead phone is replaced");
    }
}
