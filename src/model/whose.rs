//! Whose things are meant when somebody wants all of theirs, and by what these are known.

use crate::ids::{GrantId, JobId, NotAnOwner, Owner, TokenId, UploadId, UserId, VideoId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One owner, `ann` or `acme/ann`; or everybody of an organisation, `acme/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Whose(String);

impl Whose {
    /// Reads what somebody wrote.
    ///
    /// # Errors
    /// What names neither an owner nor, with a slash at its end, an organisation.
    pub fn parse(text: &str) -> Result<Self, NotAnOwner> {
        let name = text.strip_suffix('/').filter(|name| !name.contains('/')).unwrap_or(text);
        Owner::parse(name)?;
        Ok(Self(text.to_owned()))
    }

    /// Says whether an owner of this name is among those who are meant.
    pub fn includes(&self, name: &str) -> bool {
        match self.0.ends_with('/') {
            true => name.starts_with(&self.0),
            false => name == self.0,
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything of somebody that has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// Whom the things below belong to.
    pub owners: BTreeSet<Owner>,
    /// Videos, those in the trash too.
    pub videos: BTreeSet<VideoId>,
    /// Uploads, however they have ended.
    pub uploads: BTreeSet<UploadId>,
    /// Jobs, likewise.
    pub jobs: BTreeSet<JobId>,
    /// Access tokens.
    pub tokens: BTreeSet<TokenId>,
    /// Accounts.
    pub users: BTreeSet<UserId>,
    /// Upload grants.
    pub grants: BTreeSet<GrantId>,
}

impl Traces {
    /// Adds what others have found.
    pub fn merge(&mut self, other: Self) {
        self.owners.extend(other.owners);
        self.videos.extend(other.videos);
        self.uploads.extend(other.uploads);
        self.jobs.extend(other.jobs);
        self.tokens.extend(other.tokens);
        self.users.extend(other.users);
        self.grants.extend(other.grants);
    }

    /// Returns all names, as people read them.
    pub fn names(&self) -> Vec<String> {
        fn text<T: ToString>(all: &BTreeSet<T>) -> impl Iterator<Item = String> + '_ {
            all.iter().map(T::to_string)
        }
        let names = text(&self.owners).chain(text(&self.videos)).chain(text(&self.uploads));
        let names = names.chain(text(&self.jobs)).chain(text(&self.tokens));
        names.chain(text(&self.users)).chain(text(&self.grants)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner is meant alone, an organisation with everybody in it and nobody beside.
    #[test]
    fn names_mean_one_or_an_organisation() {
        let all = ["ann", "acme/ann", "acme/bob", "acme", "acmeville/ann", "annabel"];
        let meant = |text: &str| -> Vec<&str> {
            let whose = Whose::parse(text).expect("a name");
            all.into_iter().filter(|name| whose.includes(name)).collect()
        };
        assert_eq!(meant("ann"), ["ann"]);
        assert_eq!(meant("acme/ann"), ["acme/ann"]);
        assert_eq!(meant("acme/"), ["acme/ann", "acme/bob"]);
        assert_eq!(meant("acme"), ["acme"]);
        for bad in ["", "/", "a/b/", "acme//", " ann", "a\nb"] {
            assert_eq!(Whose::parse(bad), Err(NotAnOwner), "{bad:?}");
        }
    }
}
