//! What proxies in front say of a request: from whom it came, and under which address the world
//! sees the server.
//!
//! Only what a trusted proxy wrote counts. Each proxy writes behind what it was sent, so lists are
//! read from their end, and no further than the first hop that nobody trusted vouches for: what
//! stands before it is that stranger's own word.

use crate::config::{Proxies, ProxyHeaders};
use actix_web::http::header::HeaderMap;
use std::net::{IpAddr, SocketAddr};

/// Hops of a request that are looked at; longer ways are loops, or made up.
const HOPS_MAX: usize = 32;
/// Longest name of a host, with its port: 253 characters (RFC 1035) and `:65535`.
const HOST_BYTES_MAX: usize = 259;

/// What a proxy tells of one hop.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hop<'a> {
    /// From whom the proxy had the request; none where it says nothing that can be read.
    from: Option<IpAddr>,
    /// The host that it was asked for.
    host: Option<&'a str>,
    /// `http` or `https`, as it was asked.
    scheme: Option<&'a str>,
}

/// Returns from which address a request comes: the nearest that isn't a trusted proxy's, or the
/// furthest that is known. `peer` is the connection's, none for a Unix socket's.
pub(super) fn client(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    proxies: &Proxies,
) -> Option<IpAddr> {
    let mut known = peer.map(|peer| peer.to_canonical());
    if !proxies.trust(known) {
        return known;
    }
    for hop in hops(headers, proxies.headers) {
        let Some(from) = hop.from else { break };
        known = Some(from);
        if !proxies.trust(known) {
            break;
        }
    }
    known
}

/// Returns scheme and host that the outermost trusted proxy was asked for, as far as it says so.
pub(super) fn asked_for<'a>(
    peer: Option<IpAddr>,
    headers: &'a HeaderMap,
    proxies: &Proxies,
) -> (Option<&'a str>, Option<&'a str>) {
    if !proxies.trust(peer) {
        return (None, None);
    }
    match proxies.headers {
        ProxyHeaders::XForwarded => {
            let scheme = entries(headers, "x-forwarded-proto").next();
            (scheme.filter(is_scheme), entries(headers, "x-forwarded-host").next())
        }
        ProxyHeaders::Forwarded => {
            let mut outermost = Hop::default();
            for hop in hops(headers, proxies.headers) {
                let goes_on = hop.from.is_some_and(|from| proxies.trust(Some(from)));
                outermost = hop;
                if !goes_on {
                    break;
                }
            }
            (outermost.scheme, outermost.host)
        }
    }
}

/// Says whether a text is a host with or without a port, as `Host` has it: a name of the usual
/// letters, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn is_host(text: &str) -> bool {
    if text.is_empty() || text.len() > HOST_BYTES_MAX {
        return false;
    }
    let (name, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok() && !port.starts_with('+');
    if port.is_some_and(|port| !is_port(port)) {
        return false;
    }
    if let Some(inside) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.bytes().all(usual)
}

/// Lists the hops that proxies tell of, the nearest first.
fn hops<'a>(headers: &'a HeaderMap, which: ProxyHeaders) -> impl Iterator<Item = Hop<'a>> {
    let (name, read): (_, fn(&'a str) -> Hop<'a>) = match which {
        ProxyHeaders::XForwarded => {
            ("x-forwarded-for", |entry| Hop { from: address(entry), ..Hop::default() })
        }
        ProxyHeaders::Forwarded => ("forwarded", element),
    };
    entries(headers, name).take(HOPS_MAX).map(read)
}

/// Lists what stands between the commas of a header and its repetitions, the last first. A value
/// that isn't text says nothing, in its place.
///
/// Commas count in quotes too. A client could leave a quote open for the proxy's own words to end
/// up in it; and what proxies put into quotes has no commas.
fn entries<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines: Vec<_> = headers.get_all(name).collect();
    let text = |line: &'a actix_web::http::header::HeaderValue| line.to_str().unwrap_or_default();
    lines.into_iter().rev().flat_map(move |line| text(line).rsplit(',').map(str::trim))
}

/// Reads one element of `Forwarded` (RFC 7239, 4).
fn element(text: &str) -> Hop<'_> {
    let mut hop = Hop::default();
    let mut seen = Vec::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else { return Hop::default() };
        let name = name.to_ascii_lowercase();
        let Some(value) = unquoted(value) else { return Hop::default() };
        // Said twice, it says nothing.
        if seen.contains(&name) {
            return Hop::default();
        }
        match name.as_str() {
            "for" => hop.from = address(value),
            "host" => hop.host = Some(value),
            "proto" => hop.scheme = Some(value).filter(is_scheme),
            _ => {}
        }
        seen.push(name);
    }
    hop
}

/// Returns what is in the quotes, or the text as it is; none where quotes don't match. Nothing
/// that is looked for needs a backslash.
fn unquoted(text: &str) -> Option<&str> {
    let inside = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    (!inside.contains(['"', '\\'])).then_some(inside)
}

/// Reads an address with or without a port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let read = bare.parse().ok();
    let read = read.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    read.map(|ip: IpAddr| ip.to_canonical())
}

fn is_scheme(text: &&str) -> bool {
    matches!(*text, "http" | "https")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Network;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    /// 10.0.0.0/8 and fd00::/8 are proxies, and so is whoever calls over a Unix socket.
    fn proxies(headers: ProxyHeaders) -> Proxies {
        let networks = vec![
            Network { address: [10, 0, 0, 0].into(), prefix_bits: 8 },
            Network { address: "fd00::".parse().expect("an address"), prefix_bits: 8 },
        ];
        Proxies { networks, unix: true, headers }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    /// The client is the rightmost hop that nobody trusted vouches for, and what it wrote itself
    /// counts for nothing.
    #[test]
    fn clients_by_x_forwarded_for() {
        let proxies = proxies(ProxyHeaders::XForwarded);
        let of = |peer: Option<IpAddr>, lines: &[&str]| {
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            client(peer, &headers(&pairs), &proxies)
        };
        let (proxy, stranger) = (ip("10.0.0.1"), ip("192.0.2.7"));
        assert_eq!(of(stranger, &["198.51.100.1"]), stranger, "a stranger can't forward");
        assert_eq!(of(proxy, &[]), proxy);
        assert_eq!(of(proxy, &["198.51.100.1"]), ip("198.51.100.1"));
        assert_eq!(of(None, &["198.51.100.1"]), ip("198.51.100.1"), "over a Unix socket");
        assert_eq!(of(proxy, &["1.1.1.1, 198.51.100.1, 10.9.9.9"]), ip("198.51.100.1"));
        assert_eq!(of(proxy, &["1.1.1.1", "198.51.100.1"]), ip("198.51.100.1"), "two lines");
        assert_eq!(of(proxy, &["10.2.2.2, 10.3.3.3"]), ip("10.2.2.2"), "all of the house");
        assert_eq!(of(proxy, &["1.1.1.1, unknown, 10.3.3.3"]), ip("10.3.3.3"), "no further");
        assert_eq!(of(proxy, &["1.1.1.1, é"]), proxy);
        assert_eq!(of(proxy, &["[2001:db8::1]:99"]), ip("2001:db8::1"));
        assert_eq!(of(proxy, &["2001:db8::1, fd00::2"]), ip("2001:db8::1"));
        assert_eq!(of(proxy, &["198.51.100.1:1234"]), ip("198.51.100.1"));
        assert_eq!(of(ip("::ffff:10.0.0.1"), &["::ffff:198.51.100.1"]), ip("198.51.100.1"));
        let long = vec!["10.1.1.1"; HOPS_MAX].join(",");
        assert_eq!(of(proxy, &["1.1.1.1", &long]), ip("10.1.1.1"), "bounded");
        let other = headers(&[("forwarded", "for=1.1.1.1"), ("x-real-ip", "1.1.1.1")]);
        assert_eq!(client(proxy, &other, &proxies), proxy, "only one kind is read");
    }

    /// The standard's header, with a client that tries to swallow what the proxy writes behind.
    #[test]
    fn clients_by_forwarded() {
        let proxies = proxies(ProxyHeaders::Forwarded);
        let of = |line: &str| client(ip("10.0.0.1"), &headers(&[("forwarded", line)]), &proxies);
        assert_eq!(of("for=198.51.100.1;proto=https;by=10.0.0.1"), ip("198.51.100.1"));
        assert_eq!(of("For=\"[2001:db8::1]:4711\""), ip("2001:db8::1"));
        assert_eq!(of("for=1.1.1.1, for=198.51.100.1;host=a, for=10.3.3.3"), ip("198.51.100.1"));
        assert_eq!(of("for=\"1.1.1.1, for=198.51.100.1"), ip("198.51.100.1"), "an open quote");
        assert_eq!(of("for=\"x, for=\"[2001:db8::1]\""), ip("2001:db8::1"));
        for nothing in ["for=unknown", "for=_hidden", "for=1.1.1.1;for=2.2.2.2", "for", "\"", ""] {
            assert_eq!(of(nothing), ip("10.0.0.1"), "{nothing}");
        }
        let x = headers(&[("x-forwarded-for", "1.1.1.1")]);
        assert_eq!(client(ip("10.0.0.1"), &x, &proxies), ip("10.0.0.1"), "only one kind is read");
    }

    /// Nobody is trusted unless said so, least of all whoever has no address.
    #[test]
    fn nobody_is_trusted_by_default() {
        let none = Proxies::default();
        let said = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-host", "evil")]);
        assert_eq!(client(None, &said, &none), None);
        assert_eq!(client(ip("127.0.0.1"), &said, &none), ip("127.0.0.1"));
        assert_eq!(asked_for(None, &said, &none), (None, None));
    }

    /// The address of the server is the one that the outermost trusted proxy was asked for.
    #[test]
    fn the_server_as_proxies_see_it() {
        let seen = |which, pairs: &[(&'static str, &str)]| {
            let headers = headers(pairs);
            let (scheme, host) = asked_for(ip("10.0.0.1"), &headers, &proxies(which));
            (scheme.map(str::to_owned), host.map(str::to_owned))
        };
        let told = |scheme: &str, host: &str| (Some(scheme.to_owned()), Some(host.to_owned()));
        let x = |host| {
            let pairs = [("x-forwarded-proto", "https"), ("x-forwarded-host", host)];
            seen(ProxyHeaders::XForwarded, &pairs)
        };
        assert_eq!(x("films.example"), told("https", "films.example"));
        // A proxy that writes behind what the client sent.
        assert_eq!(x("evil.example, films.example"), told("https", "films.example"));
        let line = "for=1.1.1.1;host=evil.example;proto=http, \
                    for=198.51.100.1;host=\"films.example:8443\";proto=https, \
                    for=10.0.0.9;host=inner;proto=http";
        let seen = seen(ProxyHeaders::Forwarded, &[("forwarded", line)]);
        assert_eq!(seen, told("https", "films.example:8443"));
    }

    /// A host is a name or an address, and nothing that could end up as something else in a page.
    #[test]
    fn hosts() {
        let long = "a".repeat(253);
        for good in ["a", "A-b.example", "a_b", "127.0.0.1:80", "[::1]", "[::1]:8080", "a.", &long]
        {
            assert!(is_host(good), "{good}");
        }
        let longer = "a".repeat(HOST_BYTES_MAX + 1);
        for bad in [
            "", ":80", "a:", "a:x", "a:+1", "a:65536", "::1", "[::1", "[a]", "[]:1", "a b", "a/b",
            "a@b", "a\"b", "a<b", "a%41", "a,b", "a?b", "a#b", "é", "[::1]x:1", &longer,
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
