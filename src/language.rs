//! Languages of tracks: the containers' words for them, BCP 47 tags (RFC 5646), and what people
//! call them. Pure.

/// Longest tag that is taken, as the RFC recommends.
const TAG_CHARS_MAX: usize = 35;

/// ISO 639-2 words (the second is the older one of the few that have two), the BCP 47 tag, and
/// what the language calls itself.
const LANGUAGES: [(&str, &str, &str, &str); 58] = [
    ("afr", "", "af", "Afrikaans"),
    ("ara", "", "ar", "العربية"),
    ("aze", "", "az", "Azərbaycanca"),
    ("bel", "", "be", "Беларуская"),
    ("bul", "", "bg", "Български"),
    ("ben", "", "bn", "বাংলা"),
    ("bos", "", "bs", "Bosanski"),
    ("cat", "", "ca", "Català"),
    ("ces", "cze", "cs", "Čeština"),
    ("cym", "wel", "cy", "Cymraeg"),
    ("dan", "", "da", "Dansk"),
    ("deu", "ger", "de", "Deutsch"),
    ("ell", "gre", "el", "Ελληνικά"),
    ("eng", "", "en", "English"),
    ("epo", "", "eo", "Esperanto"),
    ("spa", "", "es", "Español"),
    ("est", "", "et", "Eesti"),
    ("eus", "baq", "eu", "Euskara"),
    ("fas", "per", "fa", "فارسی"),
    ("fin", "", "fi", "Suomi"),
    ("fra", "fre", "fr", "Français"),
    ("gle", "", "ga", "Gaeilge"),
    ("glg", "", "gl", "Galego"),
    ("heb", "", "he", "עברית"),
    ("hin", "", "hi", "हिन्दी"),
    ("hrv", "", "hr", "Hrvatski"),
    ("hun", "", "hu", "Magyar"),
    ("hye", "arm", "hy", "Հայերեն"),
    ("ind", "", "id", "Bahasa Indonesia"),
    ("isl", "ice", "is", "Íslenska"),
    ("ita", "", "it", "Italiano"),
    ("jpn", "", "ja", "日本語"),
    ("kat", "geo", "ka", "ქართული"),
    ("kor", "", "ko", "한국어"),
    ("lit", "", "lt", "Lietuvių"),
    ("lav", "", "lv", "Latviešu"),
    ("mkd", "mac", "mk", "Македонски"),
    ("msa", "may", "ms", "Bahasa Melayu"),
    ("nld", "dut", "nl", "Nederlands"),
    ("nob", "", "nb", "Norsk bokmål"),
    ("nor", "", "no", "Norsk"),
    ("pol", "", "pl", "Polski"),
    ("por", "", "pt", "Português"),
    ("ron", "rum", "ro", "Română"),
    ("rus", "", "ru", "Русский"),
    ("slk", "slo", "sk", "Slovenčina"),
    ("slv", "", "sl", "Slovenščina"),
    ("sqi", "alb", "sq", "Shqip"),
    ("srp", "", "sr", "Српски"),
    ("swe", "", "sv", "Svenska"),
    ("tam", "", "ta", "தமிழ்"),
    ("tel", "", "te", "తెలుగు"),
    ("tha", "", "th", "ไทย"),
    ("tur", "", "tr", "Türkçe"),
    ("ukr", "", "uk", "Українська"),
    ("urd", "", "ur", "اردو"),
    ("vie", "", "vi", "Tiếng Việt"),
    ("zho", "chi", "zh", "中文"),
];

/// The tag of a track whose language nobody told.
pub const UNKNOWN: &str = "und";

/// Returns the BCP 47 tag for a container's word, [`UNKNOWN`] for none. Containers use ISO 639-2,
/// of which BCP 47 wants the two-letter form where there is one; a region behind it (`pt-BR`) is
/// left out, as players compare tags whole.
pub fn of_word(word: Option<&str>) -> String {
    let word = word.unwrap_or_default().to_ascii_lowercase();
    let word = word.split(['-', '_']).next().unwrap_or_default();
    if let Some((_, _, short, _)) = known(word) {
        return (*short).to_owned();
    }
    let plain = (2..=3).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    if plain { word.to_owned() } else { UNKNOWN.to_owned() }
}

/// Returns a tag in its usual spelling (`zh-Hant-TW`), its language in the shortest form; `None`
/// for what isn't a well-formed tag.
pub fn tag(tag: &str) -> Option<String> {
    if tag.len() > TAG_CHARS_MAX || !tag.is_ascii() {
        return None;
    }
    let lower = tag.to_ascii_lowercase();
    let mut parts = lower.split('-').peekable();
    let first = parts.next()?;
    if !(2..=8).contains(&first.len()) || !first.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let mut out = known(first).map_or(first, |(_, _, short, _)| short).to_owned();
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
pub fn name(tag: &str) -> String {
    let language = tag.split('-').next().unwrap_or_default();
    match known(language) {
        Some((.., name)) if tag == language => (*name).to_owned(),
        Some((.., name)) => format!("{name} ({})", &tag[language.len() + 1..]),
        None => tag.to_owned(),
    }
}

/// Finds a language by any of its codes, in lower case.
fn known(code: &str) -> Option<&'static (&'static str, &'static str, &'static str, &'static str)> {
    let is_it = |(long, older, short, _): &&(&str, &str, &str, &str)| {
        !code.is_empty() && [*long, *older, *short].contains(&code)
    };
    LANGUAGES.iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Languages become tags that players know, and nothing else gets through.
    #[test]
    fn words_of_containers() {
        for (word, expect) in [
            (Some("eng"), "en"),
            (Some("GER"), "de"),
            (Some("pt-BR"), "pt"),
            (Some("gsw"), "gsw"),
            (Some("fr"), "fr"),
            (Some("und"), "und"),
            (Some(""), "und"),
            (Some("x\"><script>"), "und"),
            (None, "und"),
        ] {
            assert_eq!(of_word(word), expect);
        }
    }

    /// Well-formed tags get their usual spelling, and nothing else is a tag.
    #[test]
    fn tags() {
        for (tag, expect) in [
            ("en", Some("en")),
            ("EN-us", Some("en-US")),
            ("ger", Some("de")),
            ("per-IR", Some("fa-IR")),
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
            assert_eq!(super::tag(tag).as_deref(), expect, "{tag}");
            if let Some(tag) = expect {
                assert_eq!(super::tag(tag).as_deref(), Some(tag), "a spelling stays");
            }
        }
    }

    /// Languages are called by their own names where they are known.
    #[test]
    fn language_names() {
        assert_eq!((name("de"), name("gle")), ("Deutsch".into(), "Gaeilge".into()));
        assert_eq!(name("pt-BR"), "Português (BR)");
        assert_eq!(name("tlh"), "tlh");
    }
}
