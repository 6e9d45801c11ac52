//! The house rules, checked from the code itself: who may use whom, who owns which crate, docs on
//! everything public, nothing that panics, sizes, and words that don't belong into the sources.
//!
//! The rooms come from the tables in docs/ARCHITECTURE.md. A finding is `file:line: rule: detail`.

#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::fs;
use std::path::Path;

/// Longest line in columns.
const COLUMNS_MAX: usize = 100;
/// Longest function in lines of code.
const FUNCTION_LINES_MAX: usize = 80;
/// Where `unsafe` may be written.
const UNSAFE_IN: [&str; 2] = ["src/media/ffi.rs", "src/media/libraries.rs"];
/// What ends the process instead of returning an error.
const PANICS: [&str; 4] = ["panic!(", "todo!(", "unimplemented!(", "dbg!("];
/// Where it is judged who somebody is.
const JUDGES: [&str; 3] = ["src/access/", "src/http/", "src/hooks/"];
/// What is compared there in a time that doesn't depend on where two of them differ.
const SECRETS: [&str; 6] = ["hash", "mac", "password", "proof", "secret", "signature"];
/// Registries by name, in pieces, so that this file doesn't hold what it forbids.
const HOSTS: [(&str, &str); 8] = [
    ("registry.np", "mjs.org"),
    ("index.crat", "es.io"),
    ("static.crat", "es.io"),
    ("pypi", ".org"),
    ("files.pythonho", "sted.org"),
    ("deb.deb", "ian.org"),
    ("security.deb", "ian.org"),
    ("proxy.gol", "ang.org"),
];
/// Absolute places that exist on one machine only, in pieces for the same reason.
const PLACES: [(&str, &str); 7] = [
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("/wo", "rk/"),
    ("/tm", "p/wt"),
    ("/tm", "p/target"),
    ("/tm", "p/plan"),
];
/// Marks of unfinished work, in pieces for the same reason.
const MARKERS: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")];

/// The rooms of the house.
struct House {
    rooms: Vec<Room>,
    seen_only_by: Vec<Limit>,
}

/// One row of the first table.
struct Room {
    rank: u32,
    modules: Vec<String>,
    owns: Vec<Owned>,
}

/// A foreign path that a room owns, perhaps in one submodule only.
struct Owned {
    path: Vec<String>,
    within: Option<String>,
}

/// One row of the second table: who sees a room, and which parts of it (none: all).
struct Limit {
    module: String,
    viewers: Vec<(String, Vec<String>)>,
}

/// Adds findings for one file.
struct Findings<'a> {
    source: &'a Source,
    found: Vec<String>,
}

impl Findings<'_> {
    fn add(&mut self, line: usize, rule: &str, detail: impl AsRef<str>) {
        let name = &self.source.name;
        self.found.push(format!("{name}:{}: {rule}: {}", line + 1, detail.as_ref()));
    }
}

impl House {
    /// Reads the tables of docs/ARCHITECTURE.md.
    fn read(text: &str) -> Self {
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let room = |row: &Vec<&str>| match row[..] {
            [rank, modules, _, owns] => Some(Room {
                rank: rank.parse().ok()?,
                modules: quoted(modules).into_iter().map(|(name, _)| name).collect(),
                owns: quoted(owns).into_iter().map(Owned::read).collect(),
            }),
            _ => None,
        };
        let limit = |row: &Vec<&str>| match row[..] {
            [module, viewers] => {
                let module = quoted(module).into_iter().next()?.0;
                let mut seen: Vec<(String, Vec<String>)> = Vec::new();
                for (name, before) in quoted(viewers) {
                    match seen.last_mut().filter(|_| before.contains('(')) {
                        Some((_, parts)) => parts.push(name),
                        None => seen.push((name, Vec::new())),
                    }
                }
                Some(Limit { module, viewers: seen })
            }
            _ => None,
        };
        Self {
            rooms: rows.iter().filter_map(room).collect(),
            seen_only_by: rows.iter().filter_map(limit).collect(),
        }
    }

    fn room(&self, module: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.modules.iter().any(|name| name == module))
    }
}

impl Owned {
    /// Reads `actix_*`, or `rustix` followed by the word "in" and a submodule.
    fn read((name, _): (String, String)) -> Self {
        let (path, within) = match name.split_once(" in ") {
            Some((path, within)) => (path.to_owned(), Some(within.to_owned())),
            None => (name, None),
        };
        Self { path: path.split("::").map(str::to_owned).collect(), within }
    }

    fn covers(&self, path: &[String]) -> bool {
        path.len() >= self.path.len()
            && self.path.iter().zip(path).all(|(want, is)| match want.strip_suffix('*') {
                Some(start) => is.starts_with(start),
                None => want == is,
            })
    }
}

/// Returns what stands between backticks, each with the unclosed text before it. "`a` in `b`" is
/// one entry, `a in b`.
fn quoted(cell: &str) -> Vec<(String, String)> {
    let cell = cell.replace("` in `", " in ");
    let mut before = String::new();
    let mut entries = Vec::new();
    for (n, piece) in cell.split('`').enumerate() {
        if n % 2 == 1 {
            entries.push((piece.to_owned(), before.clone()));
        } else {
            before.push_str(piece);
            if let Some(closed) = before.rfind(')') {
                before.drain(..=closed);
            }
        }
    }
    entries
}

/// Checks one Rust file against every rule.
fn check_rust(source: &Source, house: &House) -> Vec<String> {
    let mut findings = Findings { source, found: Vec::new() };
    check_shape(&mut findings);
    check_words(&mut findings);
    check_tests(&mut findings);
    if source.name.starts_with("src/") {
        check_paths(&mut findings, house);
        check_docs(&mut findings);
        check_panics(&mut findings);
        check_secrets(&mut findings);
    }
    findings.found
}

/// Module docs, width of lines, length of functions.
fn check_shape(findings: &mut Findings) {
    let source = findings.source;
    if !source.lines.first().is_some_and(|line| line.starts_with("//!")) {
        findings.add(0, "module docs", "a file starts with //! and says what it is for");
    }
    for (n, line) in source.lines.iter().enumerate() {
        let columns = line.chars().count();
        // A text that a test expects stays as it is.
        let quoted = source.test[n] && source.code[n].trim().is_empty() && !is_comment(line);
        if columns > COLUMNS_MAX && !quoted {
            findings.add(n, "line length", format!("{columns} columns, {COLUMNS_MAX} at most"));
        }
    }
    for (name, line, lines) in source.functions() {
        if lines > FUNCTION_LINES_MAX {
            let detail = format!("{name} has {lines} lines of code, {FUNCTION_LINES_MAX} at most");
            findings.add(line, "function length", detail);
        }
    }
}

/// Code that is forbidden everywhere.
fn check_words(findings: &mut Findings) {
    let source = findings.source;
    let may_be_unsafe = UNSAFE_IN.contains(&source.name.as_str());
    for token in source.tokens.iter().filter(|token| token.text == "unsafe") {
        if !may_be_unsafe {
            findings.add(token.line, "unsafe", format!("only in {}", UNSAFE_IN.join(" and ")));
        }
    }
    for (n, code) in source.code.iter().enumerate() {
        let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        if code.contains("while let Some(Ok(") {
            let detail = "takes a broken stream for one that ended; match the error";
            findings.add(n, "stream loop", detail);
        }
        if code.contains("#[ignore") {
            findings.add(n, "ignored test", "a test runs or doesn't exist");
        }
    }
}

/// What tests keep to: no sleep, and a sentence that says what each is for.
fn check_tests(findings: &mut Findings) {
    let source = findings.source;
    for pair in source.tokens.windows(2) {
        if pair[0].test && pair[0].text == "sleep" && pair[1].text == "(" {
            findings.add(pair[0].line, "sleep in a test", "wait for the event itself");
        }
    }
    for (n, code) in source.code.iter().enumerate() {
        let code = code.trim();
        if !(code.starts_with("#[test]") || code.starts_with("#[tokio::test")) {
            continue;
        }
        let opening = source.lines.iter().skip(n).take(4).any(|line| is_comment(line));
        if !opening && !documented(source, n) {
            findings.add(n, "goal of a test", "say in one sentence what it shows");
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Says whether a doc comment stands above line `n`, attributes skipped.
fn documented(source: &Source, n: usize) -> bool {
    let mut inside_attribute = false;
    for line in source.lines[..n].iter().rev() {
        let line = line.trim();
        if line.starts_with("///") || line.starts_with("$(#[") || line.starts_with("#[doc") {
            return true;
        }
        if line.starts_with("#[") {
            inside_attribute = false;
        } else if line.ends_with(")]") {
            inside_attribute = true;
        } else if !inside_attribute {
            return false;
        }
    }
    false
}

/// `///` on everything public.
fn check_docs(findings: &mut Findings) {
    let source = findings.source;
    for (n, code) in source.code.iter().enumerate() {
        let Some(item) = code.trim_start().strip_prefix("pub ") else { continue };
        let free = item.starts_with("use ") || (item.starts_with("mod ") && item.ends_with(';'));
        if !free && !source.test[n] && !documented(source, n) {
            findings.add(n, "docs", format!("no /// on `pub {}`", item.trim_end_matches(" {")));
        }
    }
}

/// Nothing that ends the process, and a reason in every `expect`.
fn check_panics(findings: &mut Findings) {
    let source = findings.source;
    for (n, code) in source.code.iter().enumerate().filter(|(n, _)| !source.test[*n]) {
        if code.contains(".unwrap()") {
            findings.add(n, "unwrap", "return an error, or prove it in expect(\"why\")");
        }
        for word in PANICS.iter().filter(|word| code.contains(**word)) {
            findings.add(n, "panic", format!("{word}…) outside tests"));
        }
        if let Some(at) = code.find(".expect(") {
            let here = source.lines[n].chars().skip(code[..at].chars().count()).collect::<String>();
            let next = source.lines.get(n + 1).map(String::as_str).unwrap_or_default();
            let reason = here.split('"').nth(1).or_else(|| next.split('"').nth(1));
            if reason.is_some_and(|reason| reason.split_whitespace().count() < 3) {
                findings.add(n, "expect", "the text proves why it holds");
            }
        }
    }
}

/// Secrets, their hashes and signatures are compared by `subtle` or `hmac`, never by `==`.
fn check_secrets(findings: &mut Findings) {
    let source = findings.source;
    if !JUDGES.iter().any(|judge| source.name.starts_with(judge)) {
        return;
    }
    for (n, code) in source.code.iter().enumerate().filter(|(n, _)| !source.test[*n]) {
        for mark in ["==", "!="] {
            let sides = code.match_indices(mark).map(|(at, _)| code.split_at(at));
            let named = sides.flat_map(|(before, behind)| [last_word(before), next_word(behind)]);
            for word in named.filter(|word| SECRETS.contains(word)) {
                let detail = format!("time tells how much of `{word}` fits before {mark} ends");
                findings.add(n, "secrets", detail);
            }
        }
    }
}

/// Returns the word at the end of `code`, whatever it is a part of.
fn last_word(code: &str) -> &str {
    let code = code.trim_end();
    let start = code.rfind(|letter: char| !is_of_word(letter)).map_or(0, |at| at + 1);
    &code[start..]
}

/// Returns the last word of the path that follows a comparison: `hash` in `== &self.record.hash`.
fn next_word(code: &str) -> &str {
    let code = code.trim_start_matches(|letter: char| !is_of_word(letter));
    let end = code.find(|letter: char| !is_of_word(letter) && letter != '.').unwrap_or(code.len());
    // What is called isn't compared itself.
    if code[end..].starts_with('(') { "" } else { last_word(&code[..end]) }
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Ranks, rooms seen by few, and owners of foreign crates.
fn check_paths(findings: &mut Findings, house: &House) {
    let source = findings.source;
    let module = source.module();
    let Some(own) = module.first() else {
        check_root(findings, house);
        return;
    };
    let Some(room) = house.room(own) else {
        findings.add(0, "rooms", format!("`{own}` isn't in the table of docs/ARCHITECTURE.md"));
        return;
    };
    for named in source.named() {
        let path = named.path.join("::");
        if named.path[0] != "crate" {
            if let Some(owners) = strangers(house, room, &module, &named.path) {
                findings.add(named.line, "owner", format!("`{path}` belongs to {owners}"));
            }
        } else if named.import {
            let to = named.path.get(1).map(String::as_str).unwrap_or_default();
            match house.room(to) {
                None => findings.add(named.line, "crate root", format!("`{path}` is no room's")),
                Some(other) if std::ptr::eq(other, room) => {}
                Some(other) if other.rank >= room.rank => {
                    let detail = format!(
                        "`{own}` ({}) may not use `{to}` ({}): {path}",
                        room.rank, other.rank
                    );
                    findings.add(named.line, "rank", detail);
                }
                Some(_) if !house.sees(own, to, named.path.get(2)) => {
                    findings.add(named.line, "seen by few", format!("`{own}` may not use {path}"));
                }
                Some(_) => {}
            }
        }
    }
}

impl House {
    /// Says whether the second table lets `viewer` use `part` of `module`.
    fn sees(&self, viewer: &str, module: &str, part: Option<&String>) -> bool {
        let Some(limit) = self.seen_only_by.iter().find(|limit| limit.module == module) else {
            return true;
        };
        limit.viewers.iter().any(|(name, parts)| {
            name == viewer && (parts.is_empty() || part.is_some_and(|part| parts.contains(part)))
        })
    }
}

/// `main.rs` calls `cli` and nothing else; `lib.rs` only declares rooms.
fn check_root(findings: &mut Findings, house: &House) {
    let source = findings.source;
    for named in source.named() {
        let path = named.path.join("::");
        let inside = matches!(named.path[0].as_str(), "slipway" | "crate");
        if inside && named.path[1] != "cli" {
            findings.add(named.line, "main", format!("calls `cli` only, not `{path}`"));
        } else if house.rooms.iter().flat_map(|room| &room.owns).any(|o| o.covers(&named.path)) {
            findings.add(named.line, "owner", format!("`{path}` belongs to a room"));
        }
    }
}

/// Returns the owners of a foreign path that this module isn't one of.
fn strangers(house: &House, own: &Room, module: &[String], path: &[String]) -> Option<String> {
    let mut owners = Vec::new();
    for room in &house.rooms {
        for owned in room.owns.iter().filter(|owned| owned.covers(path)) {
            let here = owned.within.is_none() || owned.within.as_ref() == module.get(1);
            if std::ptr::eq(room, own) && here {
                return None;
            }
            let within =
                owned.within.as_ref().map_or(String::new(), |within| format!("::{within}"));
            owners.push(format!("`{}{within}`", room.modules.join("`, `")));
        }
    }
    if owners.is_empty() { None } else { Some(owners.join(", ")) }
}

/// Checks any text file: no registry, no place of one machine, no mark of unfinished work.
fn check_text(name: &str, text: &str) -> Vec<String> {
    // Cargo writes its registry's name there.
    if name == "Cargo.lock" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let mut add =
            |rule: &str, word: &str| found.push(format!("{name}:{}: {rule}: {word}", n + 1));
        for word in joined(&HOSTS).filter(|word| line.contains(word)) {
            add("registry", &word);
        }
        for word in joined(&PLACES).filter(|word| begins_a_path(line, word)) {
            add("machine path", &word);
        }
        for word in joined(&MARKERS).filter(|word| has_word(line, word)) {
            add("unfinished", &word);
        }
    }
    found
}

fn joined(pieces: &'static [(&str, &str)]) -> impl Iterator<Item = String> {
    pieces.iter().map(|(a, b)| format!("{a}{b}"))
}

/// Says whether `word` stands where a path begins, not in the middle of one.
fn begins_a_path(line: &str, word: &str) -> bool {
    let in_path = |c: char| c.is_alphanumeric() || "._-/>}*$~".contains(c);
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(in_path))
}

/// Says whether `word` stands alone.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(char::is_alphanumeric)
            && !line[at + word.len()..].starts_with(char::is_alphanumeric)
    })
}

/// Reads every text file of the package: `(path with /, text)`.
fn text_files(root: &Path) -> Vec<(String, String)> {
    let skipped = ["target", "node_modules", ".venv", "dist", ".git", "data"];
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the package's folders can be read");
        for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_symlink() || skipped.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let inner = path.strip_prefix(root).expect("it was found below the root");
                files.push((inner.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    files.sort();
    files
}

fn the_house() -> House {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the table is there");
    House::read(&text)
}

/// The package keeps the rules of the house.
#[test]
fn the_house_is_tidy() {
    let house = the_house();
    let mut found = Vec::new();
    for (name, text) in text_files(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        found.extend(check_text(&name, &text));
        let checked = ["src/", "tests/"].iter().any(|start| name.starts_with(start));
        if name.ends_with(".rs") && (checked || name == "build.rs") {
            found.extend(check_rust(&Source::read(&name, &text), &house));
        }
    }
    assert!(found.is_empty(), "{} findings\n{}", found.len(), found.join("\n"));
}

/// The tables are read whole: a rank that vanished would allow everything.
#[test]
fn the_tables_are_read() {
    let house = the_house();
    assert!(house.rooms.len() >= 20, "{} rooms", house.rooms.len());
    assert_eq!(house.room("ids").expect("ids").rank, 0);
    assert!(house.sees("pipeline", "media", Some(&"dash".to_owned())));
    assert!(!house.sees("pipeline", "media", Some(&"probe".to_owned())));
    assert!(!house.sees("http", "worker", None));
    let disk = house.room("disk").expect("disk");
    assert!(disk.owns.iter().any(|owned| owned.within.as_deref() == Some("fail_at")));
}

/// Every rule finds what it forbids.
#[test]
fn bad_samples_are_found() {
    let house = the_house();
    let wide = format!("/// {}\npub struct A;", "x".repeat(COLUMNS_MAX));
    let long = format!("fn long() {{\n{}}}", "    call();\n".repeat(FUNCTION_LINES_MAX));
    let samples: &[(&str, &str, &str)] = &[
        ("src/ids.rs", "use crate::model::name;", "rank"),
        ("src/queue.rs", "use crate::{ids::JobId, worker};", "rank"),
        ("src/upload/mod.rs", "fn f() { crate::queue::ring(); }", "rank"),
        ("src/upload/mod.rs", "use super::library::Library;", "rank"),
        ("src/media/probe.rs", "use super::super::http::tus;", "rank"),
        ("src/disk/mod.rs", "use crate::Thing;", "crate root"),
        ("src/cellar.rs", "", "rooms"),
        ("src/http/tus.rs", "use crate::media::probe;", "seen by few"),
        ("src/pipeline.rs", "use crate::media::{dash, probe};", "seen by few"),
        ("src/queue.rs", "use sled::Db;", "owner"),
        ("src/queue.rs", "fn f() -> actix_files::Files {}", "owner"),
        ("src/http/tus.rs", "use rustix::net;", "owner"),
        ("src/http/tus.rs", "use std::{io, fs::File};", "owner"),
        ("src/http/tus.rs", "use std::env;\nfn f() { env::var_os(X); }", "owner"),
        ("src/main.rs", "fn main() { slipway::server::run() }", "main"),
        ("src/http/tus.rs", "pub fn f() {}", "docs"),
        ("src/http/tus.rs", "/// Good.\npub struct A {\n    pub b: u8,\n}", "docs"),
        ("src/http/tus.rs", "fn f() { g().unwrap(); }", "unwrap"),
        ("src/http/tus.rs", "fn f() { panic!(); }", "panic"),
        ("src/http/tus.rs", "fn f() { g().expect(\"it works\"); }", "expect"),
        ("src/http/tus.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("src/http/tus.rs", "while let  Some(Ok(b)) = s.next().await {}", "stream loop"),
        ("src/access/a.rs", "fn f() -> bool { record.hash == *hash }", "secrets"),
        ("src/access/a.rs", "fn f() -> bool { given != &self.key.signature }", "secrets"),
        ("src/http/a.rs", "fn f() -> bool { query.signature == known }", "secrets"),
        ("src/http/tus.rs", &wide, "line length"),
        ("src/http/tus.rs", &long, "function length"),
        ("tests/it/a.rs", "/// Goal.\n#[test]\n#[ignore]\nfn f() {}", "ignored test"),
        ("tests/it/a.rs", "fn f() { thread::sleep(d); }", "sleep in a test"),
        ("src/model/job.rs", "#[cfg(test)]\nmod t {\n#[test]\nfn f() {}\n}", "goal of a test"),
    ];
    for (name, code, rule) in samples {
        let found = check_rust(&Source::read(name, &format!("//! Sample.\n{code}\n")), &house);
        let marker = format!(": {rule}: ");
        assert!(found.iter().any(|line| line.contains(&marker)), "{name} {code}: {found:?}");
        assert!(found.iter().all(|line| line.contains(&marker)), "{name} {code}: {found:?}");
    }
    let bare = check_rust(&Source::read("src/ids.rs", "fn f() {}\n"), &house);
    assert!(bare.iter().any(|line| line.contains(": module docs: ")), "{bare:?}");
}

/// What only looks forbidden is left alone: strings, comments, tests, allowed owners.
#[test]
fn good_samples_pass() {
    let house = the_house();
    let samples: &[(&str, &str)] = &[
        ("src/queue.rs", "// a panic!() and .unwrap() in a comment /* unsafe */"),
        ("src/queue.rs", "fn f() { g(\"panic!( unsafe \\\" sled::Db\", '\"', b\"x\"); h(); }"),
        ("src/queue.rs", "const A: &str = r#\"a \" .unwrap() \"#;\nfn f<'a>(b: &'a str) {}"),
        ("src/queue.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n    use crate::http;\n}"),
        ("src/queue.rs", "#[cfg(test)]\nuse sled::{Db, Tree};\nuse crate::state::State;"),
        ("src/state/mod.rs", "use sled::Db;\nuse super::disk::Disk;\nuse crate::model::job;"),
        ("src/media/ffi.rs", "use rustix::net;\nfn f() { unsafe { g() } }"),
        ("src/media/mod.rs", "mod probe;\nuse self::probe::Probe;\nuse crate::media::ladder;"),
        ("src/ids.rs", "use crate::units::UnixMillis;\npub mod inner;\npub use uuid::Uuid;"),
        ("src/media/a.rs", "mod x {\n    use super::super::b::C;\n}"),
        ("src/pipeline.rs", "use crate::media::{dash, playlist as lists};"),
        ("src/access/a.rs", "fn f() -> bool { equal(&record.hash, &hash) && role == Role::Admin }"),
        ("src/access/a.rs", "fn f() -> bool { token.len() == TOKEN_CHARS }"),
        ("src/state/a.rs", "fn f() -> bool { record.hash == *hash }"),
        (
            "src/main.rs",
            "use std::process::ExitCode;\nfn main() -> ExitCode { slipway::cli::run() }",
        ),
    ];
    for (name, code) in samples {
        let found = check_rust(&Source::read(name, &format!("//! Sample.\n{code}\n")), &house);
        assert!(found.is_empty(), "{name} {code}: {found:?}");
    }
    let wide = "x".repeat(COLUMNS_MAX + 1);
    let text =
        format!("//! Sample.\n#[cfg(test)]\nmod t {{\nconst A: &str = \"\n{wide}\n\";\n}}\n");
    assert_eq!(check_rust(&Source::read("src/ids.rs", &text), &house), Vec::<String>::new());
    let documented = "/// Good.\n#[derive(\n    Clone,\n)]\npub struct A;\n";
    let text = format!("//! Sample.\n{documented}");
    assert_eq!(check_rust(&Source::read("src/ids.rs", &text), &house), Vec::<String>::new());
}

/// Words that don't belong into any file are found, and the middle of a path isn't taken for one.
#[test]
fn bad_words_are_found() {
    for pieces in [&HOSTS[..], &PLACES[..], &MARKERS[..]] {
        for (a, b) in pieces {
            let line = format!("see \"{a}{b} there");
            assert_eq!(check_text("README.md", &line).len(), 1, "{line}");
        }
    }
    for good in ["data/wo\u{72}k/<job>", "$DIR/wo\u{72}k/", "XX\u{58}L", "to do"] {
        assert_eq!(check_text("README.md", good), Vec::<String>::new());
    }
}

/// The test, or the module of tests, that stands for what a row says: `path` is where it is.
fn is_shown(sources: &[(String, String)], path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
    let place = module.rsplit("::").find(|part| *part != "tests").unwrap_or_default();
    let is_there = |name: &str, place: &str| name.split(['/', '.']).any(|part| part == place);
    let test = format!("fn {name}(");
    sources.iter().any(|(file, text)| {
        let is_module = name == "tests" && text.contains("#[test]");
        is_there(file, place) && (is_module || text.contains(&test))
    })
}

/// Each row on what strangers try names tests, and they are there.
#[test]
fn attacks_are_shown_by_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<_> =
        text_files(root).into_iter().filter(|(name, _)| name.ends_with(".rs")).collect();
    let page = fs::read_to_string(root.join("docs/SECURITY.md")).expect("it is there");
    let table = page.split("| shown by |").nth(1).expect("the table of attacks");
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let shown = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows it: {row}");
        let mut module = "";
        for name in names {
            // A bare name is in the module of the one before.
            module = name.rsplit_once("::").map_or(module, |(module, _)| module);
            let bare = name.rsplit("::").next().unwrap_or_default();
            if !is_shown(&sources, &format!("{module}::{bare}")) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
