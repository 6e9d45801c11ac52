//! `slipway user …`
//!
//! A password comes from the terminal, from standard input or from a file, never from an argument,
//! which everybody on the machine could read.

use super::{Failure, ask, erase, export, load, unexpected};
use crate::access::Secret;
use crate::config::flags::{Settings, UserCommand};
use crate::control::{Reply, Request, UserView};
use crate::model::access::Role;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

/// Longest password file that is read.
const FILE_BYTES_MAX: u64 = 4096;

/// Runs a command; false if an archive lacks something.
pub(super) fn run(settings: &Settings, command: UserCommand) -> Result<bool, Failure> {
    let config = load(settings)?.config;
    let change =
        |name, role, password, disabled| Request::UserChange { name, role, password, disabled };
    let request = match command {
        UserCommand::Create { name, role, password_file } => {
            let role = role_of(&role);
            Request::UserCreate { name, role, password: password(password_file.as_deref())? }
        }
        UserCommand::List { json } => {
            return match ask(&config, Request::UserList)? {
                Reply::Users { users } => print_all(&users, json).map(|()| true),
                other => Err(unexpected(other)),
            };
        }
        UserCommand::SetPassword { name, password_file } => {
            change(name, None, Some(password(password_file.as_deref())?), None)
        }
        UserCommand::SetRole { name, role } => change(name, Some(role_of(&role)), None, None),
        UserCommand::Disable { name } => change(name, None, None, Some(true)),
        UserCommand::Enable { name } => change(name, None, None, Some(false)),
        UserCommand::Remove { name } => Request::UserRemove { name },
        UserCommand::Erase { owner, dry_run, json } => {
            return erase::run(&config, &owner, dry_run, json).map(|()| true);
        }
        UserCommand::Export { owner, file, force, without_originals, json } => {
            let wanted = export::Said { owner, file, force, without_originals, json };
            return export::run(&config, wanted);
        }
    };
    match ask(&config, request)? {
        Reply::User { user } => {
            eprintln!(
                "id {}  name {}  role {}  {}",
                user.id,
                user.name,
                user.role.name(),
                word(&user)
            );
            Ok(true)
        }
        Reply::Revoked { found: true } => Ok(true),
        Reply::Revoked { found: false } => Err(Failure::other("there is no such account")),
        other => Err(unexpected(other)),
    }
}

fn role_of(word: &str) -> Role {
    Role::parse(word).unwrap_or(Role::Viewer)
}

fn word(user: &UserView) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

fn print_all(users: &[UserView], json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(users).map_err(Failure::other)?);
        return Ok(());
    }
    println!("{:32}  {:8}  {:8}  {:24}  {:24}", "NAME", "ROLE", "STATE", "CREATED", "LAST LOGIN");
    for user in users {
        let seen = user.seen_at.as_deref().unwrap_or("never");
        let (role, state) = (user.role.name(), word(user));
        println!("{:32}  {role:8}  {state:8}  {:24}  {seen:24}", user.name, user.created_at);
    }
    Ok(())
}

/// Reads a password: from a file, from a person at a terminal, or the first line of standard input.
fn password(file: Option<&Path>) -> Result<Secret, Failure> {
    let text = match file {
        Some(path) => read_file(path)
            .map_err(|cause| Failure::usage(format!("can't read {}: {cause}", path.display())))?,
        None if io::stdin().is_terminal() => {
            let first = asked("Password: ")?;
            if first != asked("Once more: ")? {
                return Err(Failure::usage("the two passwords differ; nothing was changed"));
            }
            first
        }
        None => first_line().map_err(Failure::other)?,
    };
    Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn first_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(FILE_BYTES_MAX).read_line(&mut line)?;
    Ok(line)
}

/// Asks at the terminal, which doesn't show what is typed.
fn asked(question: &str) -> Result<String, Failure> {
    eprint!("{question}");
    io::stderr().flush().map_err(Failure::other)?;
    let before = tcgetattr(io::stdin()).map_err(Failure::other)?;
    let _shown_again = Shown(before.clone());
    let mut silent = before;
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent).map_err(Failure::other)?;
    let line = first_line().map_err(Failure::other);
    eprintln!();
    line
}

/// Has the terminal show again what is typed, however the asking ends.
struct Shown(Termios);

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
