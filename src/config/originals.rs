//! Settings of originals: how long they are kept, whether they are encrypted, and where the keys
//! are.

use super::ConfigError;
use crate::cipher::{BadKeys, Keyring};
use crate::model::keep::KeepOriginals;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name under which systemd hands the keys over (`LoadCredential=originals-key:…`).
const CREDENTIAL: &str = "originals-key";

/// Most that is read of a file of keys; what is longer is no such file.
const KEY_FILE_BYTES_MAX: u64 = 128 * 1024;

/// Settings of originals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalsConfig {
    /// New uploads and their originals are encrypted.
    pub is_encrypted: bool,
    /// Where the keys are; none for what systemd hands over.
    pub key_file: Option<PathBuf>,
    /// Systemd's directory of credentials, if there is one.
    pub credentials: Option<PathBuf>,
    /// How long they are kept once their video is ready.
    pub keep: KeepOriginals,
}

impl OriginalsConfig {
    /// Reads the keys from the file, or from systemd's directory of credentials if there are some
    /// in it. Only who opens files needs them: other commands work without.
    ///
    /// # Errors
    /// `BadValue`; `Conflict` if there are none, but originals are to be encrypted.
    pub fn keys(&self) -> Result<Option<Keyring>, ConfigError> {
        let handed = self.credentials.as_ref().map(|directory| directory.join(CREDENTIAL));
        let handed = handed.filter(|path| path.exists());
        let (path, is_handed) = match (&self.key_file, handed) {
            (Some(path), _) => (path.clone(), self.is_handed(path)),
            (None, Some(path)) => (path, true),
            (None, None) if self.is_encrypted => {
                return Err(ConfigError::Conflict {
                    key: "originals.key_file",
                    mend: "originals.encryption needs a key: `slipway originals new-key > FILE` \
                           makes one",
                });
            }
            (None, None) => return Ok(None),
        };
        // Systemd guards its own directory; the mode of its files may name a group all the same.
        read(&path, is_handed).map(Some).map_err(|mend| ConfigError::BadValue {
            origin: if is_handed { "systemd" } else { "configuration" }.to_owned(),
            key: "originals.key_file".to_owned(),
            value: path.display().to_string(),
            mend,
        })
    }

    /// Says whether a file is one that systemd hands over (`credential:NAME`).
    fn is_handed(&self, path: &Path) -> bool {
        self.credentials.as_ref().is_some_and(|directory| path.starts_with(directory))
    }
}

/// Reads a file of keys that others can't read.
fn read(path: &Path, is_guarded: bool) -> Result<Keyring, String> {
    let cause = |error: std::io::Error| format!("the file can't be read: {error}");
    let mut file = File::open(path).map_err(cause)?;
    let about = file.metadata().map_err(cause)?;
    if about.permissions().mode() & 0o007 != 0 && !is_guarded {
        return Err("others may read it; `chmod 600` (or 640 for a group) mends that".to_owned());
    }
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    file.by_ref().take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(cause)?;
    Keyring::parse(&bytes).map_err(|bad: BadKeys| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Loaded, load};
    use super::*;
    use crate::cipher::MasterKey;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
    }

    fn loaded(settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Loaded, String> {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let none = tempfile::NamedTempFile::new().expect("a file");
        load(Some(none.path()), own(environment).into_iter(), &own(settings))
            .map_err(|error| error.to_string())
    }

    /// Keys come from the file or from systemd, the file before; a file that others may read, one
    /// that isn't one of keys and none at all stop the start, and what is in it is never shown.
    #[test]
    fn keys_come_from_a_guarded_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mine, handed) = (MasterKey::fresh(), MasterKey::fresh());
        let path = directory.path().join("keys");
        let file = path.to_str().expect("text");
        write(&path, &mine.to_line(), 0o640);
        write(&directory.path().join(CREDENTIAL), &handed.to_line(), 0o444);
        let on = ("originals.encryption", "xchacha20-poly1305");
        let systemd = [("CREDENTIALS_DIRECTORY", directory.path().to_str().expect("text"))];
        let keys = |loaded: &Loaded| loaded.config.originals.keys().map_err(|it| it.to_string());
        let id = |loaded: &Loaded| keys(loaded).expect("good").map(|keys| keys.first().id());

        let by_file = loaded(&[on, ("originals.key_file", file)], &systemd).expect("good");
        assert_eq!(id(&by_file), Some(mine.id()));
        let shown = format!("{:?}{}", by_file.config, by_file.to_toml());
        assert!(!shown.contains(mine.to_line().as_str()), "{shown}");
        assert_eq!(id(&loaded(&[on], &systemd).expect("good")), Some(handed.id()));
        let off = loaded(&[], &systemd).expect("good");
        assert_eq!((id(&off), off.config.originals.is_encrypted), (Some(handed.id()), false));
        assert_eq!(id(&loaded(&[], &[]).expect("good")), None);

        let refused = |settings: &[(&str, &str)], wanted: &str| {
            let line = loaded(settings, &[]).and_then(|loaded| keys(&loaded)).expect_err(wanted);
            let named = line.contains("`originals.") && line.contains(wanted);
            assert!(named && !line.contains('\n'), "{line}");
        };
        refused(&[on], "new-key");
        refused(&[("originals.encryption", "rot13")], "needs one of");
        refused(&[("originals.key_file", "keys")], "absolute");
        refused(&[("originals.key_file", "/nowhere/keys")], "can't be read");
        for (text, mode, wanted) in [
            (mine.to_line().as_str(), 0o644, "others may read it"),
            ("# none", 0o600, "no key"),
            ("correct horse", 0o600, "line 1 isn't a key"),
        ] {
            write(&path, text, mode);
            refused(&[("originals.key_file", file)], wanted);
        }
    }
}
