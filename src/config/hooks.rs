//! Settings of webhooks and of blocking hooks, and their secrets, which are never shown.

use crate::model::hook::HookEvent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Most webhooks.
const WEBHOOKS_MAX: usize = 16;
/// Longest address.
const URL_BYTES_MAX: usize = 2_000;
/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Longest file with a secret.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// Stands for a secret that isn't there for this process.
pub(super) const PLACEHOLDER: &str = "whsec_bm90IGEgc2VjcmV0LCBhbmQgbmV2ZXIgdXNlZCBhcyBvbmU=";

/// How long a blocking hook may take, unless somebody says otherwise.
const DEADLINE_MS: u64 = 5_000;

/// Settings of hooks.
#[derive(Clone, Debug, PartialEq)]
pub struct HooksConfig {
    /// Who is told what happens.
    pub webhooks: Vec<WebhookConfig>,
    /// Who is asked before an upload begins.
    pub pre_create: Option<BlockingHook>,
    /// Who is asked before an upload is finished.
    pub pre_finish: Option<BlockingHook>,
    /// How long either may take.
    pub deadline_ms: u64,
    /// Hooks may be at addresses that aren't public.
    pub allow_private: bool,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            webhooks: Vec::new(),
            pre_create: None,
            pre_finish: None,
            deadline_ms: DEADLINE_MS,
            allow_private: false,
        }
    }
}

/// Somebody who is asked before something happens.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockingHook {
    /// An address.
    Url {
        /// Where.
        url: String,
        /// What requests are signed with; none: they aren't.
        secret: Option<HookSecret>,
    },
    /// A program, by its absolute path.
    Program(PathBuf),
}

/// Somebody who is told what happens.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Where.
    pub url: String,
    /// What its deliveries are signed with.
    pub secret: HookSecret,
    /// Of what it is told; none for everything.
    pub events: Option<Vec<HookEvent>>,
}

/// A key for signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret(Vec<u8>);

impl HookSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// What is wanted instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.trim().strip_prefix(SECRET_PREFIX).and_then(|it| STANDARD.decode(it).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        bytes.map(Self).ok_or_else(|| {
            "a secret is \"whsec_\" and the base64 of 24 to 64 bytes, such as from \
             `echo whsec_$(head -c 32 /dev/urandom | base64)`"
                .to_owned()
        })
    }

    /// Returns the key.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

/// Reads `hooks.webhooks`.
pub(super) fn webhooks(value: &Value) -> Result<Vec<WebhookConfig>, String> {
    let list = value.as_array().ok_or("needs a list of {url, secret}")?;
    if list.len() > WEBHOOKS_MAX {
        return Err(format!("can hold {WEBHOOKS_MAX} webhooks at most"));
    }
    let mut webhooks: Vec<WebhookConfig> = Vec::new();
    for item in list {
        let table = item.as_table().ok_or("each webhook is a table: {url = …, secret = …}")?;
        let webhook = webhook(table)?;
        if webhooks.iter().any(|known| known.url == webhook.url) {
            return Err(format!("{} is there twice", webhook.url));
        }
        webhooks.push(webhook);
    }
    Ok(webhooks)
}

fn webhook(table: &Table) -> Result<WebhookConfig, String> {
    const KEYS: [&str; 4] = ["url", "secret", "secret_file", "events"];
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("a webhook has no `{key}`; it has {}", KEYS.join(", ")));
    }
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let url = text("url").ok_or("a webhook needs a `url`")?;
    check_url(url)?;
    let secret = match (text("secret"), text("secret_file")) {
        (Some(secret), None) => HookSecret::parse(secret)?,
        (None, Some(file)) => HookSecret::parse(&read_secret(Path::new(file))?)?,
        _ => return Err("a webhook needs either `secret` or `secret_file`".to_owned()),
    };
    let events = table.get("events").map(events).transpose()?;
    Ok(WebhookConfig { url: url.to_owned(), secret, events })
}

/// Reads `hooks.pre_create` or `hooks.pre_finish`: an address, a program's path, or a table.
pub(super) fn blocking(value: &Value) -> Result<Option<BlockingHook>, String> {
    let wanted = "needs an http:// or https:// address, the absolute path of a program, or \
                  {url = …, secret = …}";
    match value {
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text.starts_with('/') => program(text).map(Some),
        Value::String(url) => {
            check_url(url).map_err(|_| wanted.to_owned())?;
            Ok(Some(BlockingHook::Url { url: url.clone(), secret: None }))
        }
        Value::Table(table) => asked(table).map(Some),
        _ => Err(wanted.to_owned()),
    }
}

fn asked(table: &Table) -> Result<BlockingHook, String> {
    const KEYS: [&str; 3] = ["url", "secret", "secret_file"];
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("a hook has no `{key}`; it has {}", KEYS.join(", ")));
    }
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let url = text("url").ok_or("a hook that is a table needs a `url`")?;
    check_url(url)?;
    let is_set = |key: &str| table.contains_key(key);
    let secret = match (text("secret"), text("secret_file")) {
        (Some(secret), None) => Some(HookSecret::parse(secret)?),
        (None, Some(file)) => Some(HookSecret::parse(&read_secret(Path::new(file))?)?),
        (None, None) if !is_set("secret") && !is_set("secret_file") => None,
        _ => return Err("a hook has `secret` or `secret_file`, each a text".to_owned()),
    };
    Ok(BlockingHook::Url { url: url.to_owned(), secret })
}

/// Accepts files that can be run.
fn program(path: &str) -> Result<BlockingHook, String> {
    let cause = |error: std::io::Error| format!("the program {path} can't be run: {error}");
    let metadata = std::fs::metadata(path).map_err(cause)?;
    match metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        true => Ok(BlockingHook::Program(PathBuf::from(path))),
        false => Err(format!("{path} isn't a file that can be run; `chmod +x` makes it one")),
    }
}

/// Accepts addresses that can be sent to; a path, a query and a port are fine.
/// Checks the address of somebody who is told what happens.
///
/// # Errors
/// What it should be instead.
pub fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let is_fine = !host.is_empty()
        && !host.contains('@')
        && url.len() <= URL_BYTES_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fine { Ok(()) } else { Err(format!("{url} isn't an http:// or https:// address")) }
}

/// Reads a secret from a file that others can't read, as those of keys.
fn read_secret(path: &Path) -> Result<String, String> {
    let named = |what: &str| format!("`secret_file` {}: {what}", path.display());
    let cause = |error: std::io::Error| named(&error.to_string());
    let mut file = File::open(path).map_err(cause)?;
    let about = file.metadata().map_err(cause)?;
    if about.permissions().mode() & 0o007 != 0 {
        return Err(named("others may read it; `chmod 600` (or 640 for a group) mends that"));
    }
    let mut text = String::new();
    let read = file.by_ref().take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    if read.map_err(cause)? as u64 > SECRET_FILE_BYTES_MAX {
        return Err(named("it is too long for a secret"));
    }
    Ok(text)
}

fn events(value: &Value) -> Result<Vec<HookEvent>, String> {
    let names = || HookEvent::ALL.map(HookEvent::name).join(", ");
    let list = value.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| format!("`events` is a list of {}", names()))?;
    let event = |item: &Value| {
        let name = item.as_str().unwrap_or_default();
        let known = HookEvent::ALL.into_iter().find(|event| event.name() == name);
        known.ok_or_else(|| format!("there is no event {item}; there are {}", names()))
    };
    list.iter().map(event).collect()
}

/// Returns the value as it may be shown.
pub(super) fn masked(value: &Value) -> Value {
    let mut shown = value.clone();
    let hide = |table: &mut Table| {
        if let Some(secret) = table.get_mut("secret") {
            *secret = Value::String("…".to_owned());
        }
    };
    match &mut shown {
        Value::Array(list) => list.iter_mut().filter_map(Value::as_table_mut).for_each(hide),
        Value::Table(table) => hide(table),
        _ => (),
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<WebhookConfig>, String> {
        let table: Table = format!("v = {text}").parse().expect("TOML");
        webhooks(&table["v"])
    }

    /// Webhooks are read with either kind of secret, and mistakes are named.
    #[test]
    fn webhooks_are_checked() {
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, format!("{secret}\n")).expect("there is room");
        let set = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode));
        set(0o600).expect("ours");
        let text = format!(
            "[{{url = \"https://a.example/x?k=1\", secret = \"{secret}\"}}, \
             {{url = \"http://b.example:81\", secret_file = \"{}\", events = [\"video.ready\"]}}]",
            file.display()
        );
        let read_back = read(&text).expect("good");
        assert_eq!(read_back[0].secret, read_back[1].secret);
        assert_eq!(read_back[1].events, Some(vec![HookEvent::VideoReady]));
        assert!(!format!("{read_back:?}").contains("BwcH"), "a secret is never shown");
        set(0o604).expect("ours");
        assert!(read(&text).expect_err("anybody's").contains("others may read it"));
        let table: Table = format!("v = {text}").parse().expect("TOML");
        let shown = masked(&table["v"]).to_string();
        assert!(!shown.contains(&secret) && shown.contains("a.example"), "{shown}");
        let one: Table =
            format!("v = {{url = \"https://a/\", secret = \"{secret}\"}}").parse().expect("TOML");
        assert!(!masked(&one["v"]).to_string().contains(&secret));
        for (bad, expected) in [
            ("1", "a list"),
            ("[1]", "a table"),
            ("[{url = \"ftp://a\"}]", "isn't an http"),
            ("[{url = \"https://u:p@a/\"}]", "isn't an http"),
            ("[{url = \"https://a/\"}]", "`secret` or `secret_file`"),
            ("[{url = \"https://a/\", secret = \"whsec_AAAA\"}]", "24 to 64 bytes"),
            ("[{url = \"https://a/\", secret_file = \"/nowhere/x\"}]", "secret_file"),
            ("[{urls = \"https://a/\"}]", "has no `urls`"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(expected), "{bad}: {said}");
        }
        let twice = format!("{{url = \"https://a/\", secret = \"{secret}\"}}");
        assert!(read(&format!("[{twice}, {twice}]")).expect_err("twice").contains("twice"));
        let event = format!("[{{url = \"https://a/\", secret = \"{secret}\", events = [\"x\"]}}]");
        assert!(read(&event).expect_err("no such event").contains("video.ready"));
    }

    /// A blocking hook is an address, with or without a secret, or a file that can be run.
    #[test]
    fn blocking_hooks_are_checked() {
        let read = |text: &str| {
            let table: Table = format!("v = {text}").parse().expect("TOML");
            blocking(&table["v"])
        };
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        assert_eq!(read("\"\""), Ok(None));
        let plain = read("\"http://a.example/x\"").expect("good");
        let url = "http://a.example/x".to_owned();
        assert_eq!(plain, Some(BlockingHook::Url { url: url.clone(), secret: None }));
        let signed = read(&format!("{{url = \"{url}\", secret = \"{secret}\"}}")).expect("good");
        let key = HookSecret::parse(&secret).expect("a secret");
        assert_eq!(signed, Some(BlockingHook::Url { url, secret: Some(key) }));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("hook");
        std::fs::write(&file, "#!/bin/sh\n").expect("there is room");
        let named = format!("\"{}\"", file.display());
        assert!(read(&named).expect_err("it can't be run").contains("chmod"));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("it is ours");
        assert_eq!(read(&named), Ok(Some(BlockingHook::Program(file))));
        for (bad, expected) in [
            ("1", "absolute path"),
            ("\"hook.sh\"", "absolute path"),
            ("\"ftp://a\"", "absolute path"),
            ("\"/nowhere/x\"", "can't be run"),
            ("\"/\"", "isn't a file"),
            ("{secret = \"x\"}", "needs a `url`"),
            ("{url = \"https://a/\", secret = 1}", "each a text"),
            ("{url = \"https://a/\", events = []}", "has no `events`"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(expected), "{bad}: {said}");
        }
    }
}
