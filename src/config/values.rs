//! Readers of single values: each takes what the table of keys allows and says so when it doesn't.

use super::{Listen, Network, Reserve};
use crate::model::accept::Accept;
use crate::model::keep::KeepOriginals;
use crate::model::manifest::Formats;
use crate::units::ByteCount;
use std::path::PathBuf;
use toml::Value;

type Read<T> = Result<T, String>;

pub(super) fn text(value: &Value) -> Read<String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("needs some text".to_owned()),
    }
}

/// Reads text, none where it is empty.
pub(super) fn text_or_nothing(value: &Value) -> Read<Option<String>> {
    let text = value.as_str().ok_or("needs some text, or \"\"")?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}

pub(super) fn texts(value: &Value) -> Read<Vec<String>> {
    let list = value.as_array().ok_or("needs a list such as [\"a\", \"b\"]")?;
    list.iter().map(text).collect()
}

pub(super) fn one_of<T: Copy>(value: &Value, words: &[(&str, T)]) -> Read<T> {
    let given = value.as_str().unwrap_or_default();
    words.iter().find(|(word, _)| *word == given).map(|&(_, it)| it).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
        format!("needs one of {}", names.join(", "))
    })
}

pub(super) fn number(value: &Value, min: i64, max: i64) -> Read<i64> {
    value
        .as_integer()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("needs a whole number from {min} to {max}"))
}

/// Splits `12.5 GiB` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    Some((digits.parse().ok()?, unit.trim()))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    Some((number * factor as f64) as u64)
}

pub(super) fn size(value: &Value, min: u64, max: u64) -> Read<ByteCount> {
    let read = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => bytes(text),
        _ => None,
    };
    let allowed =
        || format!("needs a size such as \"8 MiB\" or \"2 GB\", from {min} to {max} bytes");
    read.filter(|count| (min..=max).contains(count)).map(ByteCount).ok_or_else(allowed)
}

pub(super) fn size_or_none(value: &Value) -> Read<Option<ByteCount>> {
    match value.as_str() {
        Some("none") => Ok(None),
        _ => {
            size(value, 0, i64::MAX as u64).map(Some).map_err(|mend| format!("{mend}, or \"none\""))
        }
    }
}

/// Reads how long originals are kept.
pub(super) fn keep_originals(value: &Value) -> Read<KeepOriginals> {
    match value.as_str() {
        Some("always") => Ok(KeepOriginals::Always),
        Some("until-ready") => Ok(KeepOriginals::UntilReady),
        _ => match time(value, 1_000, 3_650 * 86_400_000) {
            Ok(ms) => Ok(KeepOriginals::For { ms }),
            Err(mend) => Err(format!("{mend}, or \"always\", or \"until-ready\"")),
        },
    }
}

/// Reads a bound on how many, `none` for no bound.
pub(super) fn count_or_none(value: &Value) -> Read<Option<usize>> {
    match value.as_str() {
        Some("none") => Ok(None),
        _ => number(value, 1, 1_000_000)
            .map(|it| Some(it as usize))
            .map_err(|mend| format!("{mend}, or \"none\"")),
    }
}

/// Reads a bound on how many a minute, `none` for no bound.
pub(super) fn rate_or_none(value: &Value) -> Read<Option<u32>> {
    Ok(count_or_none(value)?.map(|count| count as u32))
}

pub(super) fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| "needs true or false".to_owned())
}

pub(super) fn accept(value: &Value) -> Read<Accept> {
    let words = texts(value).ok();
    words
        .and_then(|words| Accept::parse(words.iter().map(String::as_str)))
        .ok_or_else(|| "needs a list of \"video/*\", \"audio/*\" or \"*/*\"".to_owned())
}

pub(super) fn time(value: &Value, min_ms: u64, max_ms: u64) -> Read<u64> {
    let read = value.as_str().and_then(number_and_unit).and_then(|(number, unit)| {
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            _ => return None,
        };
        Some((number * factor) as u64)
    });
    read.filter(|ms| (min_ms..=max_ms).contains(ms)).ok_or_else(|| {
        format!(
            "needs a time such as \"90s\", \"24h\" or \"7d\", from {} s to {} s",
            min_ms / 1000,
            max_ms / 1000
        )
    })
}

/// Reads a time, or 0 in any form.
/// Reads a time, none where there is to be no bound.
pub(super) fn time_or_none(value: &Value, min_ms: u64, max_ms: u64) -> Read<Option<u64>> {
    match value.as_str() {
        Some("none") => Ok(None),
        _ => {
            let mend = |mend| format!("{mend}, or \"none\"");
            time(value, min_ms, max_ms).map(Some).map_err(mend)
        }
    }
}

pub(super) fn time_or_zero(value: &Value, max_ms: u64) -> Read<u64> {
    match value {
        Value::Integer(0) => Ok(0),
        Value::String(text) if text == "0" => Ok(0),
        value => time(value, 0, max_ms).map_err(|mend| format!("{mend}, or 0")),
    }
}

pub(super) fn listen(value: &Value) -> Read<Listen> {
    let text = value.as_str().unwrap_or_default();
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(PathBuf::from(path)));
    }
    text.parse()
        .map(Listen::Tcp)
        .map_err(|_| "needs an address such as 127.0.0.1:8080, or unix:/path.sock".to_owned())
}

pub(super) fn public_url(value: &Value) -> Read<Option<String>> {
    let text = value.as_str().unwrap_or("-").trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        _ if text.is_empty() => Ok(None),
        Some(host) if !host.is_empty() && !host.contains('/') => Ok(Some(text.to_owned())),
        _ => Err("needs an address such as https://video.example.org".to_owned()),
    }
}

/// Reads the path of a file, or nothing.
pub(super) fn absolute_path(value: &Value) -> Read<Option<PathBuf>> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        _ => Err("needs an absolute path".to_owned()),
    }
}

pub(super) fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: std::net::IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = bits.unwrap_or(most);
    (prefix_bits <= most).then_some(Network { address, prefix_bits })
}

/// Reads addresses, networks and the word `unix`.
pub(super) fn proxies(value: &Value) -> Read<(Vec<Network>, bool)> {
    let mend = "needs a list of addresses, networks and \"unix\" such as [\"127.0.0.1\", \
                \"10.0.0.0/8\"]";
    let words = texts(value).map_err(|_| mend.to_owned())?;
    let networks = words.iter().filter(|word| *word != "unix");
    let networks = networks.map(|text| network(text).ok_or_else(|| mend.to_owned()));
    Ok((networks.collect::<Read<_>>()?, words.iter().any(|word| word == "unix")))
}

pub(super) fn reserve(value: &Value) -> Read<Reserve> {
    let share = value.as_str().and_then(|text| text.strip_suffix('%'));
    match share.map(|text| text.trim().parse::<f64>()) {
        Some(Ok(share)) if (0.0..=90.0).contains(&share) => Ok(Reserve::Percent(share)),
        Some(_) => Err("needs a share from 0% to 90%".to_owned()),
        None => size(value, 0, i64::MAX as u64).map(Reserve::Bytes),
    }
}

pub(super) fn ladder(value: &Value) -> Read<Option<Vec<u32>>> {
    let mend = "needs \"auto\", or a list of even heights from 144 to 4320 such as [720, 360]";
    if value.as_str() == Some("auto") {
        return Ok(None);
    }
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or(mend)?;
    let mut heights = Vec::new();
    for item in list {
        match item.as_integer() {
            Some(height @ 144..=4320) if height % 2 == 0 => heights.push(height as u32),
            _ => return Err(mend.to_owned()),
        }
    }
    heights.sort_unstable_by(|a, b| b.cmp(a));
    heights.dedup();
    Ok(Some(heights))
}

pub(super) fn formats(value: &Value) -> Read<Formats> {
    let mend = "needs a list of \"hls\", \"dash\" and \"mp4\" with \"hls\" or \"dash\" in it";
    let mut formats = Formats { hls: false, dash: false, mp4: false };
    for word in texts(value).map_err(|_| mend)? {
        match word.as_str() {
            "hls" => formats.hls = true,
            "dash" => formats.dash = true,
            "mp4" => formats.mp4 = true,
            _ => return Err(mend.to_owned()),
        }
    }
    // The file is made of the segments that these two are about.
    if formats.hls || formats.dash { Ok(formats) } else { Err(mend.to_owned()) }
}

pub(super) fn workers(value: &Value) -> Read<usize> {
    if value.as_str() == Some("auto") {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        return Ok((cores / 2).max(1));
    }
    number(value, 0, 64).map(|count| count as usize).map_err(|mend| format!("{mend}, or \"auto\""))
}

pub(super) fn spans(value: &Value) -> Read<Option<u32>> {
    if value.as_str() == Some("auto") {
        return Ok(None);
    }
    let count = number(value, 1, 16).map_err(|mend| format!("{mend}, or \"auto\""))?;
    Ok(Some(count as u32))
}

pub(super) fn pixels(value: &Value) -> Read<u64> {
    let sides = value.as_str().and_then(|text| text.split_once('x'));
    sides
        .and_then(|(width, height)| Some((width.parse::<u32>().ok()?, height.parse::<u32>().ok()?)))
        .map(|(width, height)| u64::from(width) * u64::from(height))
        .filter(|&pixels| pixels >= 64 * 64)
        .ok_or_else(|| "needs WIDTHxHEIGHT such as \"8192x4320\"".to_owned())
}
