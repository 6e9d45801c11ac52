//! Ids of uploads, videos, jobs, tokens and accounts, and the names of owners.
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
    /// Names an account, whatever it is called.
    UserId
);
id!(
    /// Names a browser's session.
    SessionId
);

id!(
    /// Names the telling of one event to one webhook.
    DeliveryId
);
id!(
    /// Names an upload grant; it isn't secret.
    GrantId
);

fn fresh_uuid(now: UnixMillis) -> uuid::Uuid {
    let mut random = [0u8; 10];
    getrandom::fill(&mut random).expect("the kernel's random source works once the system is up");
    let millis = u64::try_from(now.0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The owner of an upload or video: a user's name, or the id of the token that made it. One within
/// an organisation is written `acme/ann`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub String);

/// Longest name of an owner, with its organisation, in bytes.
pub const OWNER_BYTES_MAX: usize = 200;

/// Text that can't name an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {OWNER_BYTES_MAX} bytes, no control characters and no spaces at its ends; \
     one within an organisation is written `organisation/name`, with one slash"
)]
pub struct NotAnOwner;

impl Owner {
    /// Reads a name that somebody wrote.
    ///
    /// # Errors
    /// An empty or a very long name, or one with what can't be told apart or printed.
    pub fn parse(text: &str) -> Result<Self, NotAnOwner> {
        let mut names = text.splitn(2, '/');
        let is_name = |name: &str| {
            !name.is_empty()
                && name.trim() == name
                && !name.contains(|c: char| c == '/' || c.is_control() || is_invisible(c))
        };
        match text.len() <= OWNER_BYTES_MAX && names.all(is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotAnOwner),
        }
    }

    /// Returns the organisation.
    pub fn org(&self) -> Option<&str> {
        self.0.split_once('/').map(|(org, _)| org)
    }
}

/// Marks that turn text around or join it, by which one name can look like another.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff)
}

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

    /// Names have at most one slash, and nothing that can't be seen.
    #[test]
    fn owners_have_names() {
        let org = |text: &str| Owner::parse(text).map(|owner| owner.org().map(str::to_owned));
        for plain in ["ann", "Ann Lee", "auth0|62f", "ann@films.example", "\u{e5}sa", "a.b"] {
            assert_eq!(org(plain), Ok(None), "{plain}");
        }
        assert_eq!(org("acme/ann"), Ok(Some("acme".to_owned())));
        let long = "x".repeat(OWNER_BYTES_MAX + 1);
        for bad in
            ["", "/", "acme/", "/ann", "a/b/c", " ann", "ann ", "acme/ ann", "a\nb", "a\0", &long]
        {
            assert_eq!(org(bad), Err(NotAnOwner), "{bad:?}");
        }
        assert_eq!(org("ann\u{202e}x"), Err(NotAnOwner));
        assert!(org(&long[1..]).is_ok());
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
