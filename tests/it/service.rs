//! The systemd units: they are valid, well confined, and don't take away from the worker child
//! what its own sandbox needs. Each test says so when systemd-analyze isn't there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Highest exposure allowed, in tenths; the rest is the network, which webhooks will need.
const EXPOSURE_TENTHS_MAX: &str = "20";

/// Runs systemd-analyze without looking at the machine's own units; `None` where it is missing.
fn systemd_analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0").output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("skipped: systemd-analyze isn't installed");
            None
        }
    }
}

fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
    fs::read_to_string(&path).expect("the unit is in the repository")
}

/// systemd has nothing to say about the units, not even a warning.
#[test]
fn units_are_valid() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = concat!("ExecStart=", env!("CARGO_BIN_EXE_slipway"));
    let service = unit("slipway.service").replace("ExecStart=/usr/bin/slipway", binary);
    let mut arguments = vec!["verify".to_owned(), "--man=no".to_owned()];
    for (name, text) in [("slipway.service", service), ("slipway.socket", unit("slipway.socket"))] {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the copy is written");
        arguments.push(path.to_string_lossy().into_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(output) = systemd_analyze(&arguments) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "a warning counts as a fault");
    assert!(output.status.success());
}

/// The service is confined as tightly as a server with a network can be.
#[test]
fn service_is_confined() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/slipway.service");
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    let path = path.to_string_lossy();
    let arguments = ["security", "--offline=true", "--no-pager", &threshold, &path];
    let Some(output) = systemd_analyze(&arguments) else { return };
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("Overall exposure level"), "nothing was judged: {report}");
}

/// Every system call that the child may make is also allowed by the unit, which comes first.
#[test]
fn child_fits_into_the_filter() {
    let Some(allowed) = allowed_by(&unit("slipway.service")) else { return };
    let missing: Vec<&str> = slipway::worker::allowed_system_calls()
        .iter()
        .copied()
        .filter(|call| !allowed.contains(*call))
        .collect();
    assert!(missing.is_empty(), "SystemCallFilter= forbids {missing:?}");
    for call in SANDBOX_CALLS {
        assert!(allowed.contains(call), "without {call} the child can't confine itself");
    }
}

/// What the child needs to confine itself and to step back, before its own filter holds.
const SANDBOX_CALLS: [&str; 7] = [
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "seccomp",
    "prctl",
    "prlimit64",
    "setpriority",
];

/// Later lines take away what earlier ones gave, and groups stand for what is in them.
#[test]
fn filters_are_expanded_in_order() {
    let text = "SystemCallFilter=@basic-io @resources fork\nSystemCallFilter=~@resources write\n\
                SystemCallFilter=nice\n";
    let Some(allowed) = allowed_by(text) else { return };
    for (call, expected) in [
        ("read", true),
        ("write", false),
        ("setpriority", false),
        ("nice", true),
        ("fork", true),
        ("mount", false),
        // systemd always allows its own default group.
        ("execve", true),
    ] {
        assert_eq!(allowed.contains(call), expected, "{call}");
    }
}

/// Returns the names that a unit's `SystemCallFilter=` lines allow; `None` without systemd.
fn allowed_by(unit: &str) -> Option<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    expand("@default", &mut |call| {
        allowed.insert(call);
    })?;
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (removes, words) = match line.strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, line),
        };
        for word in words.split_whitespace() {
            expand(word, &mut |call| {
                if removes {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            })?;
        }
    }
    Some(allowed)
}

/// Calls `each` for every name that a word of a filter stands for; `None` without systemd.
fn expand(word: &str, each: &mut dyn FnMut(String)) -> Option<()> {
    if !word.starts_with('@') {
        each(word.to_owned());
        return Some(());
    }
    let output = systemd_analyze(&["syscall-filter", "--no-pager", word])?;
    assert!(output.status.success(), "systemd doesn't know {word}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in text.lines().skip(1).map(str::trim).filter(|name| !name.starts_with('#')) {
        if !name.is_empty() {
            expand(name, each)?;
        }
    }
    Some(())
}
