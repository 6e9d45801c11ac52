//! The socket for commands beside a running server.

use super::Disk;
use super::error::DiskError;
use super::paths::Place;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Returns where the server of `data_dir` listens for commands, whether one runs or not.
pub fn control_socket(data_dir: &Path) -> PathBuf {
    Place::ControlSocket.below(data_dir)
}

/// Returns where the database of `data_dir` is or would be.
pub fn state_dir_of(data_dir: &Path) -> PathBuf {
    Place::State.below(data_dir)
}

impl Disk {
    /// Listens at the control socket, mode 0600. A socket that a killed server left is replaced:
    /// this process holds the directory's lock, so nobody else can be listening.
    ///
    /// # Errors
    /// `Io`: also when the directory's path is too long for a socket (107 bytes).
    pub fn bind_control(&self) -> Result<UnixListener, DiskError> {
        let path = self.path(Place::ControlSocket);
        let named = |action| {
            let path = path.clone();
            move |cause| DiskError::from_io(action, &path, cause)
        };
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(named("remove")(cause));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(named("listen at"))?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).map_err(named("set the mode of"))?;
        Ok(listener)
    }
}
