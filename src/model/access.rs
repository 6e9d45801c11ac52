//! What a caller may do, as one ordered word.

use crate::ids::Owner;
use serde::{Deserialize, Serialize};

/// What a token allows. A later role may do everything that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at what is visible to it.
    Viewer,
    /// Upload, and manage what it uploaded.
    Uploader,
    /// Everything.
    Admin,
}

impl Role {
    /// Reads the word that people write.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "viewer" => Some(Self::Viewer),
            "uploader" => Some(Self::Uploader),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Returns the word that [`Role::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Uploader => "uploader",
            Self::Admin => "admin",
        }
    }
}

/// Somebody who signed in, as far as it matters for what they may see and change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The name that their uploads belong to.
    pub owner: Owner,
    /// What they may do.
    pub role: Role,
}

impl Viewer {
    /// Says whether everything that `owner` has is theirs to see and, by their role, to change.
    pub fn is_over(&self, owner: &Owner) -> bool {
        self.role == Role::Admin || self.owner == *owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles are ordered by power, and their words are read back.
    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Uploader && Role::Uploader < Role::Admin);
        for role in [Role::Viewer, Role::Uploader, Role::Admin] {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
