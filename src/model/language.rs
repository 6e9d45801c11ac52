//! Languages of tracks: the containers' words for them, BCP 47 tags, and names for people.

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
pub fn tag(word: Option<&str>) -> String {
    let word = word.unwrap_or_default().to_ascii_lowercase();
    let word = word.split(['-', '_']).next().unwrap_or_default();
    let known = LANGUAGES.iter().find(|(long, older, ..)| *long == word || *older == word);
    if let Some((_, _, short, _)) = known.filter(|_| !word.is_empty()) {
        return (*short).to_owned();
    }
    let plain = (2..=3).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    if plain { word.to_owned() } else { UNKNOWN.to_owned() }
}

/// Returns what the language of a tag calls itself, if it's one of the widely spoken ones.
pub fn name(tag: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(_, _, short, _)| *short == tag).map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Languages become tags that players know, and nothing else gets through.
    #[test]
    fn languages() {
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
            assert_eq!(tag(word), expect);
        }
        assert_eq!((name("de"), name("gsw")), (Some("Deutsch"), None));
    }
}
