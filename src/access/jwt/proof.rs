//! Signatures of JWTs, checked by the library that TLS brings along.
//!
//! `jsonwebtoken` leaves the cryptography to a backend. Its own ones are forty crates or a second
//! C library; this one is a page over `ring`, which checks and never signs.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature as sound;

static BACKEND: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has signatures checked by this backend from now on. A second call changes nothing.
pub(super) fn install() {
    // It fails where it is there already.
    let _ = BACKEND.install_default();
}

/// One key, ready to check signatures of one algorithm.
struct Check {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

fn verifier_factory(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Check { algorithm: *algorithm, key: key.kind().clone() }))
}

impl Check {
    /// Says whether a signature is right; anything but the four algorithms never is.
    fn holds(&self, message: &[u8], proof: &[u8]) -> bool {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let by = |how: &'static dyn sound::VerificationAlgorithm, key: &[u8]| {
            sound::UnparsedPublicKey::new(how, key).verify(message, proof).is_ok()
        };
        match (self.algorithm, &self.key) {
            (Algorithm::HS256, SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, proof).is_ok()
            }
            (Algorithm::RS256, SecretOrDer(key)) => by(&sound::RSA_PKCS1_2048_8192_SHA256, key),
            (Algorithm::RS256, RsaModulusExponent { n, e }) => {
                let key = sound::RsaPublicKeyComponents { n, e };
                key.verify(&sound::RSA_PKCS1_2048_8192_SHA256, message, proof).is_ok()
            }
            (Algorithm::ES256, SecretOrDer(key)) => by(&sound::ECDSA_P256_SHA256_FIXED, key),
            (Algorithm::EdDSA, SecretOrDer(key)) => by(&sound::ED25519, key),
            _ => false,
        }
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], proof: &Vec<u8>) -> Result<(), signature::Error> {
        match self.holds(message, proof) {
            true => Ok(()),
            false => Err(signature::Error::new()),
        }
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
