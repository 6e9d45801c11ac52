//! Columns that stand below each other.

/// Returns the lines of a table; the last column may be of any width.
pub(super) fn lines<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let all = || std::iter::once(heads.map(str::to_owned)).chain(rows.iter().cloned());
    let width =
        |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: [String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

/// Shortens a text of somebody else's, and takes from it what a terminal would obey.
pub(super) fn plain(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match clean.chars().count() > most {
        true => clean.chars().take(most - 1).chain(['…']).collect(),
        false => clean,
    }
}

/// Columns that a terminal has at least.
pub(super) const COLUMNS: usize = 80;

/// Breaks a text between words into lines that end before [`COLUMNS`] with `indent` before them.
pub(super) fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let most = COLUMNS.saturating_sub(indent);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let width = |text: &str| text.chars().count();
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Says a number of bytes in eight characters at most.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ if value >= 99.95 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// Says a length of time.
pub(super) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns are as wide as their widest cell, and no line ends in spaces.
    #[test]
    fn columns_stand_below_each_other() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let made = lines(["ID", "TITLE"], &[row("1", "Größe"), row("100", "")]);
        assert_eq!(made, ["ID   TITLE", "1    Größe", "100"]);
    }

    /// A title can't move the cursor, and a long one ends early.
    #[test]
    fn texts_are_plain() {
        assert_eq!(plain("a\x1b[2Jb\n", 20), "a?[2Jb?");
        assert_eq!(plain("abcdef", 4), "abc…");
    }

    /// Texts break between words, and a long word stays whole.
    #[test]
    fn texts_are_wrapped() {
        let text = "Free some space. ".repeat(8);
        let lines = wrapped(&text, 22);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 58), "{lines:?}");
        assert_eq!(lines.join(" "), text.trim());
        assert_eq!(wrapped(&"x".repeat(90), 22), ["x".repeat(90)]);
    }

    /// Sizes and times are told in the unit that fits.
    #[test]
    fn quantities_are_short() {
        assert_eq!([bytes(0), bytes(1_536), bytes(5 << 40)], ["0 B", "1.5 KiB", "5.0 TiB"]);
        assert_eq!([bytes(102_390), bytes(1_023 << 20)], ["100 KiB", "1023 MiB"]);
        assert_eq!([span(5.4), span(61.0), span(7_260.0)], ["5 s", "1 min 01 s", "2 h 01 min"]);
        assert_eq!(span(90_000.0), "1 d 01 h");
    }
}
