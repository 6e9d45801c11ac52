//! Reads a Rust file the way the house rules need it: without comments and strings, as tokens,
//! with the paths that it names. Called by the rules; knows no rule itself.

use std::collections::HashMap;

/// One word, number or mark of a file, outside comments and strings.
#[derive(Clone, Debug)]
pub struct Token {
    /// An identifier, a number, `::`, or one character.
    pub text: String,
    /// Line, counted from 0.
    pub line: usize,
    /// Inside something that only tests compile.
    pub test: bool,
}

/// A path that a file names, as segments from the crate root (`crate::…`) or a foreign crate.
#[derive(Clone, Debug)]
pub struct Named {
    /// `["crate", "units", "ByteCount"]` or `["std", "fs", "File"]`.
    pub path: Vec<String>,
    /// Line, counted from 0.
    pub line: usize,
    /// Named by a `use`, not in passing.
    pub import: bool,
}

/// One file.
pub struct Source {
    /// Path from the package's root, with `/`.
    pub name: String,
    /// The lines as they are.
    pub lines: Vec<String>,
    /// The lines with comments and the insides of strings replaced by blanks.
    pub code: Vec<String>,
    /// For each line, whether only tests compile it.
    pub test: Vec<bool>,
    /// What the code consists of.
    pub tokens: Vec<Token>,
}

impl Source {
    /// Reads a file from its text.
    pub fn read(name: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let mut tokens = tokens(&code);
        let whole_file =
            name.starts_with("tests/") || name.ends_with("/tests.rs") || name.contains("/tests/");
        mark_tests(&mut tokens, whole_file);
        let mut test = vec![whole_file; lines.len()];
        for pair in tokens.windows(2).filter(|pair| pair[0].test && pair[1].test) {
            test[pair[0].line..=pair[1].line].fill(true);
        }
        Self { name: name.to_owned(), lines, code, test, tokens }
    }

    /// Returns the module's segments: `src/media/probe.rs` is `["media", "probe"]`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.name.strip_prefix("src/").unwrap_or(&self.name);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// Returns every path of the file that isn't only for tests, resolved as far as one file can.
    pub fn named(&self) -> Vec<Named> {
        let mut names = Names { found: Vec::new(), aliases: HashMap::new() };
        let modules = self.modules_at();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            if token.test {
                at += 1;
            } else if token.text == "use" {
                at = names.read_use(&self.tokens, at + 1, &[], &modules[at]);
            } else if is_word(&token.text) {
                at = names.read_inline(&self.tokens, at, &modules[at]);
            } else {
                at += 1;
            }
        }
        names.found
    }

    /// Returns for each token the module that it stands in, inline modules counted.
    fn modules_at(&self) -> Vec<Vec<String>> {
        let mut module = self.module();
        let mut opened = Vec::new();
        let mut depth = 0usize;
        let mut all = Vec::with_capacity(self.tokens.len());
        for (at, token) in self.tokens.iter().enumerate() {
            match token.text.as_str() {
                "{" => {
                    if at >= 2 && self.tokens[at - 2].text == "mod" {
                        module.push(self.tokens[at - 1].text.clone());
                        opened.push(depth);
                    }
                    depth += 1;
                }
                "}" => {
                    depth = depth.saturating_sub(1);
                    if opened.last() == Some(&depth) {
                        opened.pop();
                        module.pop();
                    }
                }
                _ => {}
            }
            all.push(module.clone());
        }
        all
    }

    /// Returns the functions with a body: name, first line, lines of code in it.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut functions = Vec::new();
        for (at, token) in self.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
            let Some(name) = self.tokens.get(at + 1).filter(|name| is_word(&name.text)) else {
                continue;
            };
            let Some(end) = item_end(&self.tokens, at) else { continue };
            if self.tokens[end].text == "}" {
                let body = &self.code[token.line..=self.tokens[end].line];
                let count = body.iter().filter(|line| !line.trim().is_empty()).count();
                functions.push((name.text.clone(), token.line, count));
            }
        }
        functions
    }
}

/// Paths found so far, and the short names under which the file knows them.
struct Names {
    found: Vec<Named>,
    aliases: HashMap<String, Vec<String>>,
}

impl Names {
    /// Reads one branch of a `use` tree that begins at `at`; returns where reading goes on.
    fn read_use(
        &mut self,
        tokens: &[Token],
        mut at: usize,
        prefix: &[String],
        module: &[String],
    ) -> usize {
        let mut path = prefix.to_vec();
        let mut alias = None;
        let line = tokens.get(at).map_or(0, |token| token.line);
        while let Some(token) = tokens.get(at) {
            match token.text.as_str() {
                "::" | "*" => at += 1,
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token.text != "}") {
                        at = self.read_use(tokens, at, &path, module);
                        if tokens.get(at).is_some_and(|token| token.text == ",") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "as" => {
                    alias = tokens.get(at + 1).map(|token| token.text.clone());
                    at += 2;
                }
                word if is_word(word) => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(last) = path.last().cloned() {
            let path = absolute(&path, module);
            self.aliases.insert(alias.unwrap_or(last), path.clone());
            self.found.push(Named { path, line, import: true });
        }
        at
    }

    /// Reads the path that begins at `at`; returns where reading goes on.
    fn read_inline(&mut self, tokens: &[Token], at: usize, module: &[String]) -> usize {
        let mut path = vec![tokens[at].text.clone()];
        let mut next = at + 1;
        while tokens.get(next).is_some_and(|token| token.text == "::")
            && tokens.get(next + 1).is_some_and(|token| is_word(&token.text))
        {
            path.push(tokens[next + 1].text.clone());
            next += 2;
        }
        if path.len() > 1 {
            let known = self.aliases.get(&path[0]).cloned();
            let import = known.is_none();
            let path = match known {
                Some(start) => start.into_iter().chain(path.into_iter().skip(1)).collect(),
                None => absolute(&path, module),
            };
            self.found.push(Named { path, line: tokens[at].line, import });
        }
        next
    }
}

/// Turns `self::…` and `super::…` into `crate::…`; other paths stay.
fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let own = usize::from(path.first().is_some_and(|first| first == "self"));
    if supers + own == 0 {
        return path.to_vec();
    }
    let kept = module.len().saturating_sub(supers);
    let start = std::iter::once("crate".to_owned()).chain(module[..kept].iter().cloned());
    start.chain(path[supers + own..].iter().cloned()).collect()
}

/// Says whether a token is a name.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits blanked code into tokens.
fn tokens(code: &[String]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in code.iter().enumerate() {
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let end = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(Token { text: rest[..end].to_owned(), line, test: false });
            }
            rest = &rest[end..];
        }
    }
    tokens
}

/// Marks what stands under `#[cfg(test)]` or `#[test]`, or everything.
fn mark_tests(tokens: &mut [Token], whole_file: bool) {
    if whole_file {
        tokens.iter_mut().for_each(|token| token.test = true);
        return;
    }
    let mut at = 0;
    while at < tokens.len() {
        let opens = |want: &[&str]| {
            want.iter()
                .enumerate()
                .all(|(n, text)| tokens.get(at + n).is_some_and(|token| token.text == *text))
        };
        let for_tests = opens(&["#", "[", "cfg", "(", "test", ")"])
            || opens(&["#", "[", "cfg", "(", "all", "(", "test"])
            || opens(&["#", "[", "test", "]"])
            || opens(&["#", "[", "tokio", "::", "test"]);
        if for_tests {
            let end = item_end(tokens, at).unwrap_or(tokens.len() - 1);
            tokens[at..=end].iter_mut().for_each(|token| token.test = true);
            at = end;
        }
        at += 1;
    }
}

/// Returns the last token of the item that begins at `at`: its `;` or its closing brace.
fn item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mut brackets = 0i64;
    let mut braces = 0i64;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces <= 0 && brackets <= 0 {
                    // The end of a `use` tree is its semicolon.
                    let more = tokens.get(n + 1).is_some_and(|next| next.text == ";");
                    return Some(if more { n + 1 } else { n });
                }
            }
            ";" if brackets <= 0 && braces <= 0 => return Some(n),
            _ => {}
        }
    }
    None
}

/// Returns the text with comments and the insides of strings and characters blanked; every line
/// keeps its place and length in characters.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        match end {
            Some(end) => {
                out.extend(chars[at..end].iter().map(|&c| if c == '\n' { c } else { ' ' }));
                at = end;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// Returns where the comment, string or character that begins at `at` ends, if one begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let is = |n: usize, c: char| chars.get(at + n) == Some(&c);
    if is(0, '/') && is(1, '/') {
        return Some(find(chars, at, |n| chars[n] == '\n'));
    }
    if is(0, '/') && is(1, '*') {
        let mut depth = 0;
        let mut n = at;
        while n < chars.len() {
            match (chars[n], chars.get(n + 1)) {
                ('/', Some('*')) => (depth, n) = (depth + 1, n + 2),
                ('*', Some('/')) => (depth, n) = (depth - 1, n + 2),
                _ => n += 1,
            }
            if depth == 0 {
                return Some(n);
            }
        }
        return Some(chars.len());
    }
    if is(0, '"') {
        return Some(quoted_end(chars, at + 1, '"'));
    }
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if is(0, 'r') && !after_word || is(0, 'r') && at > 0 && chars[at - 1] == 'b' {
        let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
        if is(1 + hashes, '"') {
            let close = |n: usize| {
                let tail = chars[n + 1..].iter().take(hashes);
                chars[n] == '"' && tail.filter(|&&c| c == '#').count() == hashes
            };
            return Some((find(chars, at + 2 + hashes, close) + 1 + hashes).min(chars.len()));
        }
    }
    // A character, not a lifetime: 'x' or an escape.
    if is(0, '\'') && (is(1, '\\') || is(2, '\'')) {
        return Some(quoted_end(chars, at + 1, '\''));
    }
    None
}

fn find(chars: &[char], from: usize, stop: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|&n| stop(n)).unwrap_or(chars.len())
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut n = from;
    while n < chars.len() && chars[n] != quote {
        n += if chars[n] == '\\' { 2 } else { 1 };
    }
    (n + 1).min(chars.len())
}
