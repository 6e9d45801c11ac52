//! How it went with a file: for people a sentence, for programs a line.

use super::client::{CallError, Problem};
use super::screen::shown;
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What became of a file that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    /// Its video.
    pub(super) video: String,
    /// Size in bytes.
    pub(super) size: u64,
    /// Bytes that were sent in this run.
    pub(super) sent: u64,
    /// SHA-256 of the file in hex.
    pub(super) sha256: String,
    /// How far it is.
    pub(super) state: State,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was sent.
    Sent,
    /// The server had all of it before.
    There,
    /// The video can be played.
    Playable,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::There => "there",
            Self::Playable => "playable",
        }
    }
}

/// Why a file isn't on the server, or isn't a video.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// What was named can't be sent.
    #[error("{0}")]
    Unfit(String),
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(std::io::Error),
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// It was changed meanwhile.
    #[error("it was changed while it was being sent; what had arrived is dropped, send it again")]
    Changed,
    /// Something else ended the upload.
    #[error("the upload was ended on the server")]
    Lost,
    /// Another program sends another file into the same upload.
    #[error("another program sends other bytes into the same upload")]
    Conflict,
    /// The bytes that arrive aren't those that are sent.
    #[error("the bytes are damaged on their way to the server")]
    Damaged,
    /// A request came to nothing.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The server can't make a video of it.
    #[error("sent, but it can't be played: {} (video {video})", .problem.detail)]
    Video {
        /// The video.
        video: String,
        /// The server's words.
        problem: Problem,
    },
    /// Another file has shown that there is no point.
    #[error("not sent")]
    NotTried,
}

impl FileError {
    /// Says whether every other file would meet the same.
    pub(super) fn is_everybodys(&self) -> bool {
        match self {
            Self::Call(cause @ CallError::Refused(_)) => matches!(cause.status(), 401 | 403),
            Self::Call(CallError::Hopeless { .. }) => true,
            _ => false,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Unfit(_) | Self::Read(_) => "unreadable",
            Self::Empty => "empty",
            Self::Changed => "changed",
            Self::Lost => "gone",
            Self::Conflict => "part-conflict",
            Self::Damaged => "checksum-mismatch",
            Self::Call(CallError::Refused(problem)) | Self::Video { problem, .. } => &problem.code,
            Self::Call(_) => "unreachable",
            Self::NotTried => "not-tried",
        }
    }
}

/// Returns the line for standard output: in JSON for every file, else for those that worked.
pub(super) fn line(path: &Path, done: &Result<Reported, FileError>, json: bool) -> Option<Vec<u8>> {
    if json {
        let path = path.to_string_lossy();
        let line = match done {
            Ok(it) => json!({
                "path": path, "state": it.state.word(), "videoId": it.video, "size": it.size,
                "sentBytes": it.sent, "sha256": it.sha256,
            }),
            Err(cause) => {
                let video = match cause {
                    FileError::Video { video, .. } => Some(video),
                    _ => None,
                };
                let error = json!({"code": cause.code(), "detail": cause.to_string()});
                json!({"path": path, "state": "failed", "videoId": video, "error": error})
            }
        };
        return Some(line.to_string().into_bytes());
    }
    let it = done.as_ref().ok()?;
    let name = path.as_os_str().as_bytes();
    let mut line = format!("{}\t", it.video).into_bytes();
    // A name with a line end would be two results.
    match name.iter().any(u8::is_ascii_control) {
        true => line.extend(shown(path).into_bytes()),
        false => line.extend(name),
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn sent() -> Reported {
        let (video, sha256) = ("v".to_owned(), "ab".to_owned());
        Reported { video, size: 3, sent: 1, sha256, state: State::Sent }
    }

    /// One line for each file, whatever its name; names that are only odd stay as they are.
    #[test]
    fn a_result_is_one_line() {
        let plain = |name: &[u8]| line(Path::new(OsStr::from_bytes(name)), &Ok(sent()), false);
        assert_eq!(plain(b"a b.mp4"), Some(b"v\ta b.mp4".to_vec()));
        assert_eq!(plain(b"\xff.mp4"), Some(b"v\t\xff.mp4".to_vec()));
        assert_eq!(plain(b"a\nb"), Some("v\ta\u{fffd}b".into()));
        assert_eq!(line(Path::new("a"), &Err(FileError::Empty), false), None);
    }

    /// Programs are told of files that failed, too.
    #[test]
    fn json_tells_all() {
        let read = |done| -> serde_json::Value {
            serde_json::from_slice(&line(Path::new("a\nb"), &done, true).expect("a line"))
                .expect("JSON")
        };
        let expected = json!({"path": "a\nb", "state": "sent", "videoId": "v", "size": 3,
            "sentBytes": 1, "sha256": "ab"});
        assert_eq!(read(Ok(sent())), expected);
        let said = read(Err(FileError::Empty));
        assert_eq!((&said["state"], &said["error"]["code"]), (&json!("failed"), &json!("empty")));
    }
}
