//! Certificates and keys as they are found on the disk.

use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A certificate and its key in PEM.
fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> (String, String) {
    let mut params = CertificateParams::new(vec!["films.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) {
    // As those who renew do it: a new file in the place of the old one.
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("written");
    std::fs::set_permissions(&beside, PermissionsExt::from_mode(mode)).expect("ours");
    std::fs::rename(&beside, path).expect("ours");
}

fn files(directory: &Path) -> TlsConfig {
    let path = |name: &str| Some(directory.join(name));
    TlsConfig { certificate: path("certificate.pem"), key: path("key.pem") }
}

fn put(files: &TlsConfig, certificate: &str, key: &str) {
    write(files.certificate.as_deref().expect("named"), certificate, 0o644);
    write(files.key.as_deref().expect("named"), key, 0o600);
}

/// What can't be used is named with its file and the reason, and never with what is in it.
#[test]
fn pairs_that_cant_be_used_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path());
    let ((certificate, key), (_, other)) =
        (made((2020, 1, 1), (2040, 1, 1)), made((2020, 1, 1), (2040, 1, 1)));
    assert_eq!(examine(&TlsConfig::default()), Ok(None));
    for (certificate, key, wanted) in [
        (certificate.as_str(), other.as_str(), "isn't the certificate's key"),
        (&certificate, "", "no private key"),
        (&certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key.pem"),
        (&certificate, &certificate, "no private key"),
        ("", &key, "no certificate"),
        (&key, &key, "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "can't be read"),
        ("-----BEGIN CERTIFICATE-----\nA", &key, "certificate.pem"),
    ] {
        put(&files, certificate, key);
        let why = examine(&files).expect_err(wanted);
        assert!(why.contains(wanted) && !why.contains('\n') && !why.contains("AAAA"), "{why}");
    }
    put(&files, &certificate, &key);
    assert!(matches!(examine(&files), Ok(Some(_))));
    write(files.key.as_deref().expect("named"), &key, 0o604);
    assert!(examine(&files).expect_err("open to others").contains("chmod 600"));
    std::fs::remove_file(files.key.as_deref().expect("named")).expect("ours");
    assert!(examine(&files).expect_err("no file").contains("can't be read"));
}

/// Both forms of times are read, and a certificate is complained of when it should be.
#[test]
fn certificates_are_read_as_far_as_their_times() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path());
    let at = |text: &str| UnixMillis::parse_rfc3339(text).expect("a time");
    // From 2050 on years have four digits (RFC 5280, 4.1.2.5).
    let (certificate, key) = made((1999, 12, 31), (2051, 2, 3));
    put(&files, &certificate, &key);
    let facts = examine(&files).expect("good").expect("a pair");
    assert_eq!(facts.from.to_string(), "1999-12-31T00:00:00.000Z");
    assert_eq!(facts.until.to_string(), "2051-02-03T00:00:00.000Z");

    let (certificate, key) = made((2026, 1, 1), (2026, 4, 1));
    put(&files, &certificate, &key);
    let facts = examine(&files).expect("good").expect("a pair");
    for (now, wanted, good) in [
        ("2025-12-31T23:59:59Z", "isn't good before", false),
        ("2026-03-31T00:00:00Z", "runs out at", true),
        ("2026-03-19T00:00:00Z", "runs out at", true),
        ("2026-04-01T00:00:00Z", "has run out", false),
    ] {
        let said = facts.complaint(at(now)).expect(wanted);
        assert!(said.contains(wanted), "{said}");
        assert_eq!(facts.is_good(at(now)), good);
    }
    assert_eq!(facts.complaint(at("2026-03-01T00:00:00Z")), None);
    // What is no certificate has no times, wherever it ends.
    let der =
        <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(
            certificate.as_bytes(),
        )
        .expect("PEM");
    let cut = (0..der.len()).filter(|&end| validity::of(&der[..end]).is_some()).count();
    assert_eq!(cut, 0);
}

/// A new pair is taken, also when its files come one after the other; a broken one is told and
/// leaves the one before.
#[test]
fn pairs_are_taken_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path());
    let (certificate, key) = made((2020, 1, 1), (2040, 1, 1));
    put(&files, &certificate, &key);
    let tls = Tls::open(&files, Clock::system()).expect("good").expect("a pair");
    let until = || tls.seen.lock().expect("whole").facts.until.to_string();
    let held = || {
        let seen = tls.seen.lock().expect("whole");
        let key = Arc::clone(&seen.held.0.lock().expect("whole"));
        key.cert[0].to_vec()
    };
    let first = held();
    let (certificate, key) = made((2020, 1, 1), (2041, 1, 1));
    write(files.certificate.as_deref().expect("named"), &certificate, 0o644);
    tls.look_again();
    assert!(tls.problem().expect("half a pair").contains("isn't the certificate's key"));
    assert_eq!(held(), first);
    write(files.key.as_deref().expect("named"), &key, 0o600);
    tls.look_again();
    assert_eq!((tls.problem(), until().as_str()), (None, "2041-01-01T00:00:00.000Z"));
    assert_ne!(held(), first);
    write(files.key.as_deref().expect("named"), "no key", 0o600);
    tls.look_again();
    assert!(tls.problem().expect("no key").contains("no private key"));
    assert_eq!(until(), "2041-01-01T00:00:00.000Z");
}
