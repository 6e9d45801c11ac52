//! Which browser somebody signs in with, in words that they know again: `Firefox`, `Linux`.
//!
//! Of what a browser says of itself no more is kept than one of a few names: the rest would tell
//! people apart, and comes from a client.

/// A browser and what it runs on, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// `Firefox`.
    pub browser: Option<&'static str>,
    /// `Linux`.
    pub system: Option<&'static str>,
}

/// What names a browser. Many say the names of others too, so the more particular ones go first.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// What names a system, in the same way: phones say `Linux` or `Mac OS X` as well.
const SYSTEMS: &[(&str, &str)] = &[
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

impl Device {
    /// Reads a `User-Agent` (RFC 9110, 10.1.5).
    pub fn of(user_agent: &str) -> Self {
        let found = |names: &[(&str, &'static str)]| {
            names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
        };
        Self { browser: found(BROWSERS), system: found(SYSTEMS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Browsers are known by their own name, though most say those of others too.
    #[test]
    fn browsers_are_told_apart() {
        let webkit = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko)";
        let check = |said: &str, browser: &str, system: &str| {
            let device = Device::of(said);
            let told = [device.browser, device.system].map(Option::unwrap_or_default);
            assert_eq!(told, [browser, system], "{said}");
        };
        let linux = "(X11; Linux x86_64)";
        check(&format!("Mozilla/5.0 {linux} Gecko/20100101 Firefox/140.0"), "Firefox", "Linux");
        check(&format!("{webkit} {linux} Chrome/140.0 Safari/537.36"), "Chrome", "Linux");
        let windows = "(Windows NT 10.0; Win64; x64)";
        check(&format!("{webkit} {windows} Chrome/140 Safari/537 Edg/140"), "Edge", "Windows");
        check(&format!("{webkit} {windows} Chrome/140 Safari/537 OPR/120"), "Opera", "Windows");
        let mac = "(Macintosh; Intel Mac OS X 10_15_7)";
        check(&format!("{webkit} {mac} Version/18.0 Safari/605"), "Safari", "macOS");
        let phone = "(iPhone; CPU iPhone OS 18_0 like Mac OS X)";
        check(&format!("{webkit} {phone} Version/18.0 Mobile Safari/605"), "Safari", "iOS");
        check(&format!("{webkit} {phone} CriOS/140 Mobile Safari/605"), "Chrome", "iOS");
        let android = "(Linux; Android 16; K)";
        check(&format!("{webkit} {android} Chrome/140 Mobile Safari/537"), "Chrome", "Android");
        check("curl/8.14.1", "", "");
        check("<script>Firefox/</script>", "Firefox", "");
        check("", "", "");
    }
}
