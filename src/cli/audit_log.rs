//! `slipway audit-log`: who did what.

use super::operate::operate;
use super::table::{lines, plain};
use super::{Failure, load};
use crate::clock::Clock;
use crate::config::flags::{Settings, length_of_time_ms};
use crate::model::operation::Operation;
use crate::units::UnixMillis;
use serde_json::Value;
use std::io::{self, Write};

pub(super) fn run(
    settings: &Settings,
    since: Option<String>,
    actor: Option<String>,
    action: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let since = since.map(|text| moment(&text)).transpose()?;
    let action = action.map_or(Value::Null, Value::String);
    let action = serde_json::from_value(action).map_err(Failure::usage)?;
    let mut after = Some(0);
    let mut is_first = true;
    while let Some(number) = after {
        let actor = actor.clone();
        let asked = Operation::AuditLog { since, actor, action, after: number };
        let page = operate(&config, asked)?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said = match json {
            true => items.iter().map(Value::to_string).collect(),
            false => table(items, is_first),
        };
        match print(&said) {
            // Who looks at the first lines only has seen enough.
            Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.map_err(Failure::other)?,
        }
        is_first = false;
        after = page["nextCursor"].as_u64();
    }
    Ok(())
}

/// Reads a time, or how long ago it was.
fn moment(text: &str) -> Result<UnixMillis, Failure> {
    if let Some(at) = UnixMillis::parse_rfc3339(text) {
        return Ok(at);
    }
    let ago = length_of_time_ms(text);
    let ago = ago.map_err(|mend| {
        Failure::usage(format!("--since {text}: {mend}, or a time such as 2026-01-31T12:00:00Z"))
    })?;
    Ok(UnixMillis(Clock::system().now().0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))))
}

fn print(said: &[String]) -> io::Result<()> {
    let mut to = io::stdout().lock();
    said.iter().try_for_each(|line| writeln!(to, "{line}"))
}

fn table(items: &[Value], is_first: bool) -> Vec<String> {
    let row = |it: &Value| {
        let text = |name: &str| plain(it[name].as_str().unwrap_or_default(), 40);
        let who = match it["actor"].is_null() {
            true => format!("({})", text("way")),
            false => text("actor"),
        };
        let count = it["count"].as_u64().map(|count| format!("{count} times"));
        let object = count.unwrap_or_else(|| text("object"));
        [text("at"), who, text("action"), text("outcome"), object, text("address")]
    };
    let rows: Vec<[String; 6]> = items.iter().map(row).collect();
    let table = lines(["TIME", "WHO", "WHAT", "OUTCOME", "TO", "FROM"], &rows);
    table.into_iter().skip(usize::from(!is_first)).collect()
}
