//! Secrets that systemd hands over (`LoadCredential=`), named in the configuration as
//! `credential:NAME`.
//!
//! Only the service has its directory of credentials. Commands beside it find the one of the unit
//! in `systemd/`, if they may; a configuration is good without, and a server isn't started.

use std::path::{Path, PathBuf};
use toml::Value;

/// How a secret of systemd's is named where a file is expected.
const PREFIX: &str = "credential:";
/// Where the unit's credentials are while it runs, for commands in a shell.
const OF_THE_UNIT: &str = "/run/credentials/slipway.service";
/// Keys that name files with secrets, or hold tables that do.
const KEYS: [&str; 7] = [
    "auth.jwt.key_file",
    "originals.key_file",
    "tls.certificate",
    "tls.key",
    "hooks.webhooks",
    "hooks.pre_create",
    "hooks.pre_finish",
];
/// What in those tables names one.
const SECRET_FILE: &str = "secret_file";

/// The directory, as far as it is known.
pub(super) struct Credentials {
    directory: Option<PathBuf>,
}

/// A value without names of credentials.
pub(super) struct Resolved {
    pub(super) value: Value,
    /// A credential that isn't there for this process.
    pub(super) lacks: Option<String>,
}

impl Credentials {
    /// Takes systemd's directory, or the unit's while it runs.
    pub(super) fn of(handed: Option<&Path>) -> Self {
        let unit = || Some(PathBuf::from(OF_THE_UNIT)).filter(|path| path.is_dir());
        Self { directory: handed.map(Path::to_owned).or_else(unit) }
    }

    /// Puts paths in the place of credentials in a key's value.
    ///
    /// # Errors
    /// What is wrong with a credential's name.
    pub(super) fn resolved(&self, key: &str, value: &Value) -> Result<Resolved, String> {
        let mut resolved = Resolved { value: value.clone(), lacks: None };
        if !KEYS.contains(&key) {
            return Ok(resolved);
        }
        let mut lacks = None;
        match &mut resolved.value {
            Value::String(text) => self.put(text, &mut lacks)?,
            Value::Table(table) => self.put_in(table, &mut lacks)?,
            Value::Array(list) => {
                for table in list.iter_mut().filter_map(Value::as_table_mut) {
                    self.put_in(table, &mut lacks)?;
                }
            }
            _ => {}
        }
        resolved.lacks = lacks;
        Ok(resolved)
    }

    fn put_in(&self, table: &mut toml::Table, lacks: &mut Option<String>) -> Result<(), String> {
        let before = lacks.take();
        if let Some(Value::String(text)) = table.get_mut(SECRET_FILE) {
            self.put(text, lacks)?;
        }
        if lacks.is_some() {
            // The table is read as if it were there; nobody signs anything with this.
            table.remove(SECRET_FILE);
            table.insert("secret".to_owned(), Value::String(super::hooks::PLACEHOLDER.to_owned()));
        }
        *lacks = before.or_else(|| lacks.take());
        Ok(())
    }

    fn put(&self, text: &mut String, lacks: &mut Option<String>) -> Result<(), String> {
        let Some(name) = text.strip_prefix(PREFIX) else { return Ok(()) };
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // As systemd has it, a credential's name is that of a file.
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(usual) {
            return Err(format!("`{PREFIX}` and a name of letters, digits, `-`, `_` and `.`"));
        }
        let path = self.directory.as_deref().unwrap_or(Path::new(OF_THE_UNIT)).join(name);
        if !path.exists() {
            *lacks = Some(name.to_owned());
        }
        *text = path.display().to_string();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockingHook, Loaded, load};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const SECRET: &str = "whsec_c2VjcmV0IGJ5dGVzIG9mIHRoZSBhcHAgaGVyZQ==";

    fn loaded(text: &str, directory: Option<&Path>) -> Result<Loaded, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let named = directory.map(|it| it.to_str().expect("text").to_owned());
        let environment = named.map(|it| ("CREDENTIALS_DIRECTORY".to_owned(), it));
        load(Some(file.path()), environment.into_iter(), &[]).map_err(|error| error.to_string())
    }

    /// Every secret that a file may hold can be one of systemd's; what is shown is its name.
    #[test]
    fn secrets_come_from_systemd() {
        let directory = tempfile::tempdir().expect("a directory");
        let there = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).expect("ours");
            path
        };
        let hook = there("hook.1", SECRET);
        let (jwt, key) = (there("jwt", "x"), there("tls-key", "x"));
        let (certificate, originals) = (there("tls-certificate", "x"), there("keys", "x"));
        let text = "
            [auth]
            mode = \"jwt\"
            jwt.key_file = \"credential:jwt\"
            [tls]
            certificate = \"credential:tls-certificate\"
            key = \"credential:tls-key\"
            [originals]
            key_file = \"credential:keys\"
            [hooks]
            webhooks = [{url = \"https://a.example/\", secret_file = \"credential:hook.1\"}]
            pre_create = {url = \"https://a.example/\", secret_file = \"credential:hook.1\"}
        ";
        let loaded_here = loaded(text, Some(directory.path())).expect("good");
        let config = &loaded_here.config;
        assert_eq!(config.lacking_credential, None);
        assert_eq!(config.jwt.key_file.as_ref(), Some(&jwt));
        assert_eq!(config.tls.certificate.as_ref(), Some(&certificate));
        assert_eq!(config.tls.key.as_ref(), Some(&key));
        assert_eq!(config.originals.key_file.as_ref(), Some(&originals));
        let bytes = b"secret bytes of the app here";
        assert_eq!(config.hooks.webhooks[0].secret.bytes(), bytes);
        let Some(BlockingHook::Url { secret: Some(secret), .. }) = &config.hooks.pre_create else {
            panic!("a hook with a secret: {:?}", config.hooks.pre_create)
        };
        assert_eq!(secret.bytes(), bytes);
        let shown = loaded_here.to_toml();
        for name in ["jwt", "tls-key", "keys", "hook.1"] {
            assert!(shown.contains(&format!("\"credential:{name}\"")), "{shown}");
        }
        assert!(!shown.contains(SECRET), "{shown}");

        // In a shell beside the service they aren't there: the configuration is good all the same,
        // and who would start a server by it learns which one is missing.
        std::fs::remove_file(hook).expect("ours");
        let elsewhere = loaded(text, Some(directory.path())).expect("good");
        assert_eq!(elsewhere.config.lacking_credential.as_deref(), Some("hook.1"));
        assert_eq!(elsewhere.config.hooks.webhooks.len(), 1);
        for bad in ["", "../jwt", "a/b", ".", "a b"] {
            let text = format!("[tls]\nkey = \"credential:{bad}\"\n");
            let why = loaded(&text, Some(directory.path())).expect_err(bad);
            assert!(why.contains("`tls.key`") && why.contains("a name of letters"), "{why}");
        }
    }
}
