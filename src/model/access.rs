//! What a caller may do: roles, rights, and whose things are whose within an organisation.
//!
//! An owner within an organisation is written `acme/ann`. Its members see what the others have
//! brought; its admins may change all of it, and nothing of the server. The server's operator is
//! an admin outside of every organisation.

use super::accept::Accept;
use crate::ids::{GrantId, Owner, TokenId};
use crate::units::ByteCount;
use serde::{Deserialize, Serialize};

/// What a token allows. A later role may do everything that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at what is visible to it.
    Viewer,
    /// Upload, and manage what it uploaded.
    Uploader,
    /// Everything of its organisation, or of the server.
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

/// Something that a request asks to do. Each has a smallest role, and the scope that a confined
/// token needs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Look at videos, list them, hear of them, play them.
    SeeVideos,
    /// Change, delete and restore videos, and steer the work on them.
    ChangeVideos,
    /// Look at uploads that are under way.
    SeeUploads,
    /// Begin uploads, go on with them and end them.
    Upload,
    /// Let somebody else upload one file, without a token.
    Grant,
    /// Run the server.
    Operate,
    /// Read the server's metrics.
    Metrics,
}

impl Right {
    /// All rights, in the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::SeeVideos,
        Self::ChangeVideos,
        Self::SeeUploads,
        Self::Upload,
        Self::Grant,
        Self::Operate,
        Self::Metrics,
    ];

    /// Returns the scope that allows it.
    pub fn scope(self) -> &'static str {
        match self {
            Self::SeeVideos => "video:read",
            Self::ChangeVideos => "video:write",
            Self::SeeUploads => "upload:read",
            Self::Upload => "upload:create",
            Self::Grant => "grant:create",
            Self::Operate => "admin",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the right of a scope.
    pub fn of_scope(scope: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.scope() == scope)
    }

    /// Returns the smallest role that has it; none if it is the server's operator's alone.
    pub fn smallest_role(self) -> Option<Role> {
        match self {
            Self::SeeVideos | Self::SeeUploads => Some(Role::Viewer),
            Self::ChangeVideos | Self::Upload | Self::Grant => Some(Role::Uploader),
            Self::Operate | Self::Metrics => None,
        }
    }

    /// Says whether a token with these scopes has it; one without any isn't confined. Who may
    /// change things may look at them.
    pub fn is_within(self, scopes: &[String]) -> bool {
        let names = |right: Self| scopes.iter().any(|scope| scope == right.scope());
        scopes.is_empty()
            || names(self)
            || match self {
                Self::SeeVideos => names(Self::ChangeVideos),
                Self::SeeUploads => names(Self::Upload),
                Self::ChangeVideos | Self::Upload | Self::Grant | Self::Operate | Self::Metrics => {
                    false
                }
            }
    }

    /// Says whether somebody of this role and owner has it, where a token's scopes name it or not.
    /// Metrics may be read by whatever token was made for that.
    fn is_had(self, viewer: &Viewer, is_named: bool) -> bool {
        match self.smallest_role() {
            Some(role) => viewer.role >= role,
            None => viewer.is_operator() || (self == Self::Metrics && is_named),
        }
    }

    /// Checks that somebody has it.
    ///
    /// # Errors
    /// What is in the way.
    pub fn check(self, viewer: &Viewer, scopes: &[String]) -> Result<(), Lack> {
        match self.is_within(scopes) {
            false => Err(Lack::Scope),
            true if !self.is_had(viewer, !scopes.is_empty()) => Err(Lack::Role),
            true => Ok(()),
        }
    }
}

/// Why somebody hasn't got a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The token is confined to something else.
    Scope,
    /// The role is too small.
    Role,
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
    /// Says whether they run the server: admins outside of organisations do.
    pub fn is_operator(&self) -> bool {
        self.role == Role::Admin && self.owner.org().is_none()
    }

    /// Says whether everything that `owner` has is theirs to see and, by their role, to change: it
    /// is their own, or of the organisation that they are an admin of.
    pub fn is_over(&self, owner: &Owner) -> bool {
        self.owner == *owner
            || self.is_operator()
            || (self.role == Role::Admin && self.is_beside(owner))
    }

    /// Says whether they may see what `owner` has brought, whatever its visibility: theirs, or a
    /// member's of their own organisation. What is still under way is seen by [`Viewer::is_over`].
    pub fn may_see(&self, owner: &Owner) -> bool {
        self.is_over(owner) || self.is_beside(owner)
    }

    fn is_beside(&self, owner: &Owner) -> bool {
        self.owner.org().is_some() && self.owner.org() == owner.org()
    }
}

/// What bounds an upload beside the server's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Largest size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteCount>,
    /// Which files are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Accept>,
}

impl Bounds {
    /// Says whether nothing is bounded.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what keeps within both.
    pub fn and(self, other: Self) -> Self {
        Self {
            max_size: self.max_size.into_iter().chain(other.max_size).min(),
            accept: self.accept.map(|accept| other.accept_within(accept)).or(other.accept),
        }
    }

    /// Returns the largest size where the server takes `most`.
    pub fn size_within(&self, most: ByteCount) -> ByteCount {
        self.max_size.map_or(most, |max| max.min(most))
    }

    /// Returns which files are taken where the server takes `all`.
    pub fn accept_within(&self, all: Accept) -> Accept {
        self.accept.map_or(all, |accept| accept.and(all))
    }
}

/// By what somebody begins an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The token, which may be good for so many uploads.
    pub token: Option<TokenId>,
    /// What bounds the upload.
    pub bounds: Bounds,
    /// The grant, which is good for one upload.
    pub grant: Option<GrantId>,
}

/// Why an upload can't be begun by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantFault {
    /// It has begun its one upload.
    #[error("the grant has begun its upload")]
    Used,
    /// Too many parts of one were begun by it.
    #[error("too many parts were begun by the grant")]
    Parts,
    /// It was ended, has run out, or is forgotten.
    #[error("the grant is over")]
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(owner: &str, role: Role) -> Viewer {
        Viewer { owner: Owner(owner.into()), role }
    }

    /// Roles are ordered by power, and their words are read back.
    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Uploader && Role::Uploader < Role::Admin);
        for role in [Role::Viewer, Role::Uploader, Role::Admin] {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }

    /// What an organisation's members have in common ends at its border.
    #[test]
    fn organisations_have_a_border() {
        use Role::{Admin, Uploader, Viewer};
        // Who, and of whom: may they see what is finished, and is everything theirs?
        let cases = [
            ("acme/ann", Uploader, "acme/ann", true, true),
            ("acme/ann", Uploader, "acme/bob", true, false),
            ("acme/vic", Viewer, "acme/ann", true, false),
            ("acme/boss", Admin, "acme/ann", true, true),
            ("acme/boss", Admin, "other/ann", false, false),
            ("acme/boss", Admin, "ann", false, false),
            ("acme/boss", Admin, "acme", false, false),
            ("acme/ann", Uploader, "acmeX/ann", false, false),
            ("acme", Uploader, "acme/ann", false, false),
            ("ann", Uploader, "bob", false, false),
            ("ann", Uploader, "ann", true, true),
            ("root", Admin, "acme/ann", true, true),
            ("root", Admin, "bob", true, true),
        ];
        for (who, role, whose, sees, is_over) in cases {
            let (who, whose) = (viewer(who, role), Owner(whose.into()));
            assert_eq!((who.may_see(&whose), who.is_over(&whose)), (sees, is_over), "{who:?}");
        }
        assert!(viewer("root", Admin).is_operator() && !viewer("acme/boss", Admin).is_operator());
    }

    /// A right needs both: the role, and a token that isn't confined to something else.
    #[test]
    fn rights_need_role_and_scope() {
        let check = |right: Right, who: &Viewer, scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            right.check(who, &scopes)
        };
        let (root, boss) = (viewer("root", Role::Admin), viewer("acme/boss", Role::Admin));
        let (ann, vic) = (viewer("ann", Role::Uploader), viewer("vic", Role::Viewer));
        for right in Right::ALL {
            assert_eq!(Right::of_scope(right.scope()), Some(right));
            assert_eq!(check(right, &root, &[]), Ok(()), "{right:?}");
            assert_eq!(check(right, &root, &[right.scope()]), Ok(()), "{right:?}");
            assert_eq!(check(right, &root, &["nothing"]), Err(Lack::Scope), "{right:?}");
        }
        assert_eq!(check(Right::Operate, &boss, &[]), Err(Lack::Role));
        assert_eq!(check(Right::Operate, &boss, &["admin"]), Err(Lack::Role));
        assert_eq!(check(Right::Metrics, &boss, &[]), Err(Lack::Role));
        assert_eq!(check(Right::Metrics, &vic, &["metrics"]), Ok(()), "it was made for this");
        assert_eq!(check(Right::Metrics, &root, &["admin"]), Err(Lack::Scope));
        assert_eq!(check(Right::Upload, &ann, &[]), Ok(()));
        assert_eq!(check(Right::Upload, &vic, &["upload:create"]), Err(Lack::Role));
        assert_eq!(check(Right::SeeUploads, &ann, &["upload:create"]), Ok(()), "it has to resume");
        assert_eq!(check(Right::SeeVideos, &ann, &["upload:create"]), Err(Lack::Scope));
        assert_eq!(check(Right::SeeVideos, &ann, &["video:write"]), Ok(()));
        assert_eq!(check(Right::ChangeVideos, &ann, &["video:read"]), Err(Lack::Scope));
        assert_eq!(Right::of_scope("videos"), None);
    }
}
