//! The markup of cue text: what WebVTT knows is kept and closed, everything else becomes words or
//! goes.

/// Deepest nesting that is kept; what is nested deeper keeps its words only.
const NESTING_MAX: usize = 8;

/// Longest text between `<` and `>` that is looked at as a tag.
const TAG_BYTES_MAX: usize = 200;

/// Elements that are kept as they are.
const PLAIN: [&str; 5] = ["b", "i", "u", "ruby", "rt"];

/// Entities that WebVTT names.
const ENTITIES: [&str; 6] = ["amp", "lt", "gt", "nbsp", "lrm", "rlm"];

/// Returns cue text that stays inside its cue: no empty lines, no arrow, every tag known and
/// closed, no control characters.
pub(super) fn clean(words: &str) -> String {
    let mut out = Cleaned { text: String::with_capacity(words.len()), open: Vec::new() };
    let mut rest = words;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        rest = match next {
            '<' => out.tag(after),
            '&' => out.entity(after),
            '{' => out.override_block(after),
            '\n' | '\r' => out.line_end(after),
            _ => {
                out.push(next);
                after
            }
        };
    }
    out.finish()
}

/// Escapes one character where it would mean something.
pub(super) fn escape(into: &mut String, c: char) {
    match c {
        '&' => into.push_str("&amp;"),
        '<' => into.push_str("&lt;"),
        '>' => into.push_str("&gt;"),
        '\0' => into.push('\u{fffd}'),
        '\t' => into.push(' '),
        c if c.is_control() => {}
        c => into.push(c),
    }
}

struct Cleaned {
    text: String,
    open: Vec<&'static str>,
}

impl Cleaned {
    fn push(&mut self, c: char) {
        escape(&mut self.text, c);
    }

    fn line_end<'t>(&mut self, after: &'t str) -> &'t str {
        // An empty line would end the cue.
        self.text.truncate(self.text.trim_end_matches(' ').len());
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        after
    }

    /// Reads what follows `<`; returns what follows the tag.
    fn tag<'t>(&mut self, after: &'t str) -> &'t str {
        let Some((inside, rest)) = bounded(after, '>') else {
            self.push('<');
            return after;
        };
        let (closing, name) = match inside.strip_prefix('/') {
            Some(name) => (true, name),
            None => (false, inside),
        };
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let (name, more) = name.split_at(end);
        // "a < b > c" holds no tag.
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if !closing && (inside.is_empty() || !is_time(inside)) {
                self.push('<');
                return after;
            }
            return rest;
        }
        let name = name.to_ascii_lowercase();
        if name == "br" {
            return self.line_end(rest);
        }
        let plain = PLAIN.iter().find(|known| **known == name);
        match (plain, name.as_str(), closing) {
            (Some(known), _, true) => self.close(known),
            (Some(known), _, false) => self.open(known, ""),
            (None, "v", true) => self.close("v"),
            (None, "v", false) => self.open("v", more),
            _ => {}
        }
        rest
    }

    fn open(&mut self, name: &'static str, more: &str) {
        if self.open.len() >= NESTING_MAX {
            return;
        }
        let who: String = more
            .trim_start_matches(|c: char| !c.is_whitespace())
            .trim()
            .chars()
            .filter(|c| !c.is_control() && !matches!(c, '<' | '>' | '&'))
            .collect();
        // Who speaks is all that is kept of a voice; without it the element says nothing.
        if name == "v" && who.is_empty() {
            return;
        }
        self.text.push('<');
        self.text.push_str(name);
        if name == "v" {
            self.text.push(' ');
            self.text.push_str(&who);
        }
        self.text.push('>');
        self.open.push(name);
    }

    fn close(&mut self, name: &'static str) {
        let Some(at) = self.open.iter().rposition(|open| *open == name) else { return };
        while self.open.len() > at {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
    }

    /// Reads what follows `&`; returns what follows the entity.
    fn entity<'t>(&mut self, after: &'t str) -> &'t str {
        let known = bounded(after, ';').filter(|(name, _)| ENTITIES.contains(name));
        let Some((name, rest)) = known else {
            self.push('&');
            return after;
        };
        self.text.push('&');
        self.text.push_str(name);
        self.text.push(';');
        rest
    }

    /// Reads what follows `{`: SRT files from ASS keep its overrides, such as `{\an8}`.
    fn override_block<'t>(&mut self, after: &'t str) -> &'t str {
        match bounded(after, '}').filter(|(inside, _)| inside.starts_with('\\')) {
            Some((_, rest)) => rest,
            None => {
                self.push('{');
                after
            }
        }
    }

    fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close_last();
        }
        let text = self.text.trim_matches(['\n', ' ']);
        if shows(text) { text.to_owned() } else { String::new() }
    }
}

/// Says whether anything would be seen of cue text.
fn shows(text: &str) -> bool {
    let mut inside = false;
    text.chars().any(|c| match c {
        '<' => {
            inside = true;
            false
        }
        '>' => {
            inside = false;
            false
        }
        c => !inside && !c.is_whitespace(),
    })
}

/// Splits at the first `end`, if it comes soon and on the same line.
fn bounded(text: &str, end: char) -> Option<(&str, &str)> {
    let at = text.find([end, '\n', '\r']).filter(|at| *at <= TAG_BYTES_MAX)?;
    text[at..].starts_with(end).then(|| (&text[..at], &text[at + 1..]))
}

/// Says whether a tag holds a time, as karaoke has it.
fn is_time(inside: &str) -> bool {
    inside.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expect: &str) {
        let got = clean(words);
        assert_eq!(got, expect, "{words:?}");
        assert_eq!(clean(&got), got, "cleaning twice changes nothing: {words:?}");
    }

    /// Known markup is kept and closed, unknown goes, and the words stay.
    #[test]
    fn markup_is_kept_or_goes() {
        check("<b>loud</b> and <i>soft", "<b>loud</b> and <i>soft</i>");
        check("<font color=\"red\">red</font>", "red");
        check("<B>x</B><script>alert(1)</script>", "<b>x</b>alert(1)");
        check("<b><i>crossed</b></i>", "<b><i>crossed</i></b>");
        check("<v Ann>Hello</v>", "<v Ann>Hello</v>");
        check("<v.loud Ann & Bob>Hello", "<v Ann  Bob>Hello</v>");
        check("<c.yellow.bg_blue>x</c>", "x");
        check("<00:00:01.000>sing", "sing");
        check("{\\an8}top {plain}", "top {plain}");
        check("one<br>two", "one\ntwo");
        check("</b>", "");
        check("<b></b>", "");
    }

    /// Nothing gets out of its cue: arrows, empty lines and entities are words.
    #[test]
    fn words_stay_in_their_cue() {
        check("a --> b", "a --&gt; b");
        check(
            "1 < 2 & 3 > 2 &amp; &copy; &nbsp;",
            "1 &lt; 2 &amp; 3 &gt; 2 &amp; &amp;copy; &nbsp;",
        );
        check("one\n\n\r\n  \ntwo\n", "one\ntwo");
        check("\u{7}bell\0", "bell\u{fffd}");
        check("<unclosed", "&lt;unclosed");
        check("", "");
        let deep = "<b>".repeat(100) + "x";
        assert_eq!(clean(&deep), "<b>".repeat(NESTING_MAX) + "x" + &"</b>".repeat(NESTING_MAX));
    }
}
