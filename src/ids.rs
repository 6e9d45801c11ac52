//! Ids of uploads, videos, jobs and tokens, and the names of owners.
//!
//! An id is a UUIDv7 whose 74 bits besides the time are all drawn fresh, so that knowing one
//! doesn't help to guess the next. This module is the only parser of ids from URLs.

use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Text that isn't an id in the one accepted form (lower-case, hyphenated UUID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Draws a fresh id for the moment `now`.
            pub fn fresh(now: UnixMillis) -> Self {
                Self(fresh_uuid(now))
            }

            /// Reads an id from text that a client sent.
            ///
            /// # Errors
            /// Anything but the 36 lower-case characters that [`fmt::Display`] writes.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                let uuid = uuid::Uuid::try_parse(text).map_err(|_| NotAnId)?;
                let id = Self(uuid);
                if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
            }

            /// Returns the 16 bytes, most significant first; they sort as the ids were drawn.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Makes the id of its 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// Returns when it was drawn, by the clock that counted then.
            pub fn drawn_at(&self) -> UnixMillis {
                let bytes = self.0.as_bytes();
                let millis = bytes[..6].iter().fold(0, |sum, &byte| sum << 8 | i64::from(byte));
                UnixMillis(millis)
            }

            /// Returns two hex digits of the random part, to spread directories evenly.
            pub fn shard(&self) -> String {
                format!("{:02x}", self.0.as_bytes()[15])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

id!(
    /// Names an upload: bytes on their way.
    UploadId
);
id!(
    /// Names a video: what people see. Never equal to its upload's id.
    VideoId
);
id!(
    /// Names a job: work on a video.
    JobId
);
id!(
    /// Names an access token; it isn't secret.
    TokenId
);

id!(
    /// Names the telling of one event to one webhook.
    DeliveryId
);

fn fresh_uuid(now: UnixMillis) -> uuid::Uuid {
    let mut random = [0u8; 10];
    getrandom::fill(&mut random).expect("the kernel's random source works once the system is up");
    let millis = u64::try_from(now.0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The owner of an upload or video: a user's name, or the id of the token that made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub String);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a lease. Each new lease on the same thing counts one up; writes that carry an
/// older number have no effect.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Returns the number of the lease after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the canonical form is an id: no braces, upper case, paths or NULs.
    #[test]
    fn parses_only_what_it_writes() {
        let id = VideoId::fresh(UnixMillis(1_700_000_000_000));
        assert_eq!(VideoId::parse(&id.to_string()), Ok(id));
        assert_eq!(id.drawn_at(), UnixMillis(1_700_000_000_000));
        let upper = id.to_string().to_uppercase();
        let simple = id.to_string().replace('-', "");
        for bad in ["", "../../etc/passwd", "a\0b", &upper, &simple, &format!("{{{id}}}")] {
            assert_eq!(VideoId::parse(bad), Err(NotAnId), "{bad:?}");
        }
    }

    /// Two ids of one millisecond share only the time and the version.
    #[test]
    fn fresh_ids_share_no_random_bits_on_purpose() {
        let now = UnixMillis(1_700_000_000_000);
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| VideoId::fresh(now).as_bytes()[8..].to_vec()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
