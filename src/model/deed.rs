//! Who did what: the words of the audit log.

use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What somebody did, or tried to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditAction)]
pub enum Action {
    /// Signed in.
    Login,
    /// Signed out.
    Logout,
    /// Had a login link made.
    LoginLink,
    /// Made an access token.
    TokenMade,
    /// Ended one.
    TokenEnded,
    /// Made an account.
    AccountMade,
    /// Changed one's role, or whether anybody may sign in with it.
    AccountChanged,
    /// Gave an account another password.
    PasswordChanged,
    /// Ended an account.
    AccountEnded,
    /// Let somebody else upload one file.
    GrantMade,
    /// Ended that before its time.
    GrantEnded,
    /// Began an upload.
    UploadBegun,
    /// Ended one before it was whole.
    UploadEnded,
    /// Fetched a file as it was sent.
    OriginalFetched,
    /// Changed a video's words, captions or poster.
    VideoChanged,
    /// Changed who may see a video.
    VisibilityChanged,
    /// Had a playback token made.
    PlaybackGranted,
    /// Ended a video's playback tokens.
    PlaybackRevoked,
    /// Changed the keys that sign them.
    PlaybackKeysChanged,
    /// Changed the keys that sign addresses of parts, or sessions.
    SigningKeysChanged,
    /// Deleted a video.
    VideoDeleted,
    /// Brought one back from the trash.
    VideoRestored,
    /// Had a video worked on again.
    WorkRetried,
    /// Had the work on one ended.
    WorkCancelled,
    /// Gave one another place in line.
    PrioritySet,
    /// Paused the queue, or had it go on.
    QueueSteered,
    /// Had the keys of encrypted originals wrapped with another one.
    OriginalKeysChanged,
    /// Had the house cleaned.
    Cleaned,
    /// Sent all webhooks a test.
    WebhooksTested,
    /// Had a webhook told again.
    WebhookRetried,
    /// Had all records exported.
    RecordsExported,
    /// Had all that is kept of somebody exported.
    UserExported,
    /// Had all that is kept of somebody erased.
    UserErased,
    /// A rule of retention removed a video, or its original.
    Expired,
    /// Started the server.
    Started,
    /// Stopped it in good order.
    Stopped,
    /// So many entries aren't in this log: they came faster than the disk took them, or it refused.
    EntriesLost,
    /// So many more were refused within a second than are noted one by one.
    MoreRefused,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditOutcome)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It wasn't allowed, or made no sense.
    Refused,
    /// The server couldn't.
    Failed,
}

/// By which way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditWay)]
pub enum Way {
    /// A request to the server.
    Http,
    /// A command on the server's machine.
    Console,
    /// The server itself.
    Server,
}

/// One entry of the audit log, a line of JSON. It holds no secrets, and nothing that people wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Its number: one more than that of the entry before.
    #[serde(default)]
    pub n: u64,
    /// When; in RFC 3339.
    #[serde(with = "rfc3339")]
    pub at: UnixMillis,
    /// By which way.
    pub way: Way,
    /// As whom; none for somebody who wasn't let in, and for a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The id of their token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// From where, while that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What.
    pub action: Action,
    /// To what: the id of a video, an upload, a token, or the name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// With what outcome.
    pub outcome: Outcome,
    /// How often, where one entry stands for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Deed {
    /// Makes the entry of something that was done by this way, by nobody to nothing.
    pub fn new(way: Way, action: Action, at: UnixMillis) -> Self {
        Self {
            n: 0,
            at,
            way,
            actor: None,
            token: None,
            address: None,
            action,
            object: None,
            outcome: Outcome::Done,
            count: None,
        }
    }

    /// The same, done to `object`.
    pub fn to(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The same, which ended like this.
    pub fn ended(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// Times that people can read.
mod rfc3339 {
    use crate::units::UnixMillis;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.to_rfc3339())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(from)?;
        UnixMillis::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("no time of RFC 3339"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry is a short line that says only what it has to say, and is read back.
    #[test]
    fn entries_are_short_lines() {
        let deed = Deed::new(Way::Http, Action::VideoDeleted, UnixMillis(7)).to("0190");
        let line = serde_json::to_string(&Deed { n: 3, ..deed.clone() }).expect("JSON");
        let told = r#"{"n":3,"at":"1970-01-01T00:00:00.007Z","way":"http","action":"#;
        assert_eq!(line, format!(r#"{told}"video-deleted","object":"0190","outcome":"done"}}"#));
        assert_eq!(serde_json::from_str::<Deed>(&line).expect("read"), Deed { n: 3, ..deed });
    }
}
