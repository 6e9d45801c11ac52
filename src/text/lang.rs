//! Language tags (BCP 47, RFC 5646), and what people call the languages.

/// Longest tag that is taken, as the RFC recommends.
const TAG_CHARS_MAX: usize = 35;

/// Tags that containers use (ISO 639-2) beside the ones that BCP 47 wants, with the languages'
/// own names.
const LANGUAGES: [(&str, &str, &str); 40] = [
    ("ara", "ar", "العربية"),
    ("ben", "bn", "বাংলা"),
    ("bul", "bg", "Български"),
    ("cat", "ca", "Català"),
    ("ces", "cs", "Čeština"),
    ("cze", "cs", "Čeština"),
    ("dan", "da", "Dansk"),
    ("deu", "de", "Deutsch"),
    ("ger", "de", "Deutsch"),
    ("ell", "el", "Ελληνικά"),
    ("gre", "el", "Ελληνικά"),
    ("eng", "en", "English"),
    ("est", "et", "Eesti"),
    ("fin", "fi", "Suomi"),
    ("fra", "fr", "Français"),
    ("fre", "fr", "Français"),
    ("heb", "he", "עברית"),
    ("hin", "hi", "हिन्दी"),
    ("hrv", "hr", "Hrvatski"),
    ("hun", "hu", "Magyar"),
    ("ind", "id", "Bahasa Indonesia"),
    ("ita", "it", "Italiano"),
    ("jpn", "ja", "日本語"),
    ("kor", "ko", "한국어"),
    ("nld", "nl", "Nederlands"),
    ("dut", "nl", "Nederlands"),
    ("nor", "no", "Norsk"),
    ("pol", "pl", "Polski"),
    ("por", "pt", "Português"),
    ("ron", "ro", "Română"),
    ("rum", "ro", "Română"),
    ("rus", "ru", "Русский"),
    ("slk", "sk", "Slovenčina"),
    ("spa", "es", "Español"),
    ("swe", "sv", "Svenska"),
    ("tha", "th", "ไทย"),
    ("tur", "tr", "Türkçe"),
    ("ukr", "uk", "Українська"),
    ("vie", "vi", "Tiếng Việt"),
    ("zho", "zh", "中文"),
];

/// Returns a tag in its usual spelling (`zh-Hant-TW`), its language in the shortest form; `None`
/// for what isn't a well-formed tag.
pub fn language_tag(tag: &str) -> Option<String> {
    if tag.len() > TAG_CHARS_MAX || !tag.is_ascii() {
        return None;
    }
    let lower = tag.to_ascii_lowercase();
    let mut parts = lower.split('-').peekable();
    let first = parts.next()?;
    if !(2..=8).contains(&first.len()) || !first.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let short = LANGUAGES.iter().find(|(long, _, _)| *long == first);
    let mut out = short.map_or(first, |(_, short, _)| short).to_owned();
    let alpha = |part: &str| part.bytes().all(|b| b.is_ascii_alphabetic());
    let digit = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mut take = |out: &mut String, is: &dyn Fn(&str) -> bool, spell: fn(&str) -> String| {
        let part = parts.next_if(|part| is(part))?;
        out.push('-');
        out.push_str(&spell(part));
        Some(())
    };
    let same = |part: &str| part.to_owned();
    if first.len() <= 3 {
        take(&mut out, &|part| part.len() == 3 && alpha(part), same);
    }
    take(&mut out, &|part| part.len() == 4 && alpha(part), |part| {
        part[..1].to_ascii_uppercase() + &part[1..]
    });
    take(
        &mut out,
        &|part| (part.len() == 2 && alpha(part)) || (part.len() == 3 && digit(part)),
        str::to_ascii_uppercase,
    );
    let variant = |part: &str| {
        (5..=8).contains(&part.len()) || (part.len() == 4 && part.as_bytes()[0].is_ascii_digit())
    };
    let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
    while take(&mut out, &|part| variant(part) && word(part), same).is_some() {}
    extensions(parts, out)
}

/// Reads what follows region and variants: a single letter or digit, and words that belong to it.
fn extensions<'t>(parts: impl Iterator<Item = &'t str>, mut out: String) -> Option<String> {
    let mut single: Option<&str> = None;
    // Each single owes at least one word.
    let mut words = 1;
    for part in parts {
        let plain =
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let begins = part.len() == 1 && single != Some("x");
        if !plain || (begins && words == 0) || (!begins && single.is_none()) {
            return None;
        }
        if begins {
            (single, words) = (Some(part), 0);
        } else {
            words += 1;
        }
        out.push('-');
        out.push_str(part);
    }
    (words > 0).then_some(out)
}

/// Returns what a language calls itself, if it's one of the common ones; the tag otherwise.
pub fn language_name(tag: &str) -> String {
    let language = tag.split('-').next().unwrap_or_default();
    let known = LANGUAGES.iter().find(|(long, short, _)| [*long, *short].contains(&language));
    match known {
        Some((_, _, name)) if tag == language => (*name).to_owned(),
        Some((_, _, name)) => format!("{name} ({})", &tag[language.len() + 1..]),
        None => tag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Well-formed tags get their usual spelling, and nothing else is a tag.
    #[test]
    fn tags() {
        for (tag, expect) in [
            ("en", Some("en")),
            ("EN-us", Some("en-US")),
            ("ger", Some("de")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("sl-rozaj-biske", Some("sl-rozaj-biske")),
            ("de-1996", Some("de-1996")),
            ("zh-yue", Some("zh-yue")),
            ("en-x-pirate", Some("en-x-pirate")),
            ("de-u-co-phonebk", Some("de-u-co-phonebk")),
            ("und", Some("und")),
            ("", None),
            ("e", None),
            ("en-", None),
            ("en--us", None),
            ("en-x", None),
            ("en-u-x-a", None),
            ("en_US", None),
            ("../en", None),
            ("en\"><script>", None),
            ("deutsch-sprache-im-ganzen-lande-überall", None),
            ("en-us-us", None),
        ] {
            assert_eq!(language_tag(tag).as_deref(), expect, "{tag}");
            if let Some(tag) = expect {
                assert_eq!(language_tag(tag).as_deref(), Some(tag), "a spelling stays");
            }
        }
    }

    /// Languages are called by their own names where they are known.
    #[test]
    fn language_names() {
        assert_eq!(language_name("de"), "Deutsch");
        assert_eq!(language_name("pt-BR"), "Português (BR)");
        assert_eq!(language_name("tlh"), "tlh");
    }
}
