//! The errors of other rooms, said as problems.

use super::problem::{Code, Problem};
use crate::disk::DiskError;
use crate::library::LibraryError;
use crate::model::access::GrantFault;
use crate::model::consent::Objection;
use crate::queue::QueueError;
use crate::state::{Conflict, StateError};
use crate::units::ByteOffset;
use crate::upload::{Fault, PartError, Refusal, UploadError};

/// How long clients wait before they come back to a server that is stopping, in seconds.
const RESTART_SECONDS: u32 = 5;

/// How long clients wait after a body that stopped coming, in seconds: nothing is in their way.
pub(super) const IDLE_SECONDS: u32 = 1;
/// How long clients wait before they send one more body, in seconds: others end all the time.
const BODIES_SECONDS: u32 = 2;

/// How long clients wait before a hook is asked about their upload again, in seconds.
const HOOK_SECONDS: u32 = 5;

/// How long clients wait before they begin one more upload, in seconds: what is open has to come
/// or to end first.
const UPLOADS_SECONDS: u32 = 30;

/// Says what an upload's error means to its client. Where the upload goes on is told whenever it
/// is known, so that no further question is needed.
pub(super) fn upload(error: UploadError) -> Problem {
    use UploadError as E;
    match error {
        E::Missing => Problem::not_found(),
        E::Gone(_) => gone("The upload was ended, or nobody went on with it in time."),
        E::Finished => Problem::new(Code::PastLength, "The upload has all of its bytes already."),
        E::OffsetMismatch { actual } => {
            let detail = format!("The upload goes on at byte {actual}.");
            at(Problem::new(Code::OffsetMismatch, detail).retryable(true), actual)
        }
        E::TooLong { length } => {
            let detail = format!("The upload was announced with {length} bytes.");
            Problem::new(Code::PastLength, detail)
        }
        E::LengthFixed => {
            let detail = "The upload's length was declared before and can't change.";
            Problem::new(Code::LengthMismatch, detail).field("Upload-Length")
        }
        E::LengthInvalid => {
            let detail = "The declared length is smaller than what has come already.";
            Problem::new(Code::LengthMismatch, detail).field("Upload-Length")
        }
        E::BadMetadata(reason) => {
            Problem::new(Code::InvalidMetadata, format!("The metadata can't be used: {reason}."))
                .field("Upload-Metadata")
        }
        E::MaxSize { max } => {
            let detail = format!("The largest upload that is taken from you has {max} bytes.");
            Problem::new(Code::UploadTooLarge, detail)
        }
        E::NoSpace => out_of_space(),
        E::Idle { offset } => {
            let detail = "The body stopped coming. What came is kept.";
            at(Problem::new(Code::BodyTimedOut, detail).retry_after(IDLE_SECONDS), offset)
        }
        E::Taken { offset } => {
            let detail = "A newer request goes on with this upload. What came here is kept.";
            at(Problem::new(Code::TakenOver, detail).retryable(true), offset)
        }
        E::BodyBroken { offset } => {
            let detail = "The body broke off. What came is kept.";
            at(Problem::new(Code::BodyIncomplete, detail).retryable(true), offset)
        }
        E::MadeOfParts => {
            let detail = "This upload is made of parts; it takes no bytes itself.";
            Problem::new(Code::Forbidden, detail)
        }
        E::PartMissing => Problem::new(Code::NotFound, "A part isn't there, or isn't yours.")
            .field("Upload-Concat"),
        E::PartUnfit => {
            let detail =
                "Only uploads that were begun with `Upload-Concat: partial` can be joined.";
            Problem::new(Code::InvalidHeader, detail).field("Upload-Concat")
        }
        E::PartNeeded => {
            let detail = "An upload that isn't joined yet needs this part. End that one first.";
            Problem::new(Code::Conflict, detail).retryable(true)
        }
        E::ChecksumMismatch { offset } => at(wrong_checksum(), offset),
        E::Stopping { offset } => {
            let detail = "The server is restarting. What came is kept.";
            at(Problem::unavailable(detail, RESTART_SECONDS), offset)
        }
        E::Refused(refusal) => refused(refusal),
        E::HookUnavailable => {
            let detail = "This server asks somebody before it takes an upload, and had no answer. \
                          What was acknowledged is kept; try again.";
            Problem::new(Code::HookUnavailable, detail).retry_after(HOOK_SECONDS)
        }
        E::Part(error) => part(error),
        E::Internal(Fault::Disk(cause @ DiskError::Locked { .. })) => unreadable(cause),
        E::Internal(fault) => Problem::internal(fault),
    }
}

/// Says why somebody's upload isn't taken.
fn refused(refusal: Refusal) -> Problem {
    let later = |code, detail: String, seconds| Problem::new(code, detail).retry_after(seconds);
    match refusal {
        Refusal::Quota { limit } => {
            let detail = format!(
                "You may keep {limit} bytes here, uploads that are under way with them. Delete \
                 something first."
            );
            Problem::new(Code::QuotaExceeded, detail)
        }
        Refusal::Announced { limit } => {
            let detail = format!(
                "You may have announced {limit} bytes that haven't come yet. Send some of them, \
                 or end an upload."
            );
            later(Code::TooMuchAnnounced, detail, UPLOADS_SECONDS)
        }
        Refusal::OpenUploads { limit } => {
            let detail = format!("You may have {limit} uploads open. Finish or end some.");
            later(Code::TooManyUploads, detail, UPLOADS_SECONDS)
        }
        Refusal::Waiting { limit } => {
            let detail = format!(
                "You have {limit} videos waiting to be processed. Send more when some are ready."
            );
            later(Code::TooManyWaiting, detail, UPLOADS_SECONDS)
        }
        Refusal::Spent { limit } => {
            let detail = format!(
                "The token is good for {limit} uploads, and has begun them. Ask for another one."
            );
            Problem::new(Code::TokenSpent, detail)
        }
        Refusal::Grant(fault) => grant(fault),
        Refusal::Bodies { limit } => {
            let detail = format!("You may send {limit} bodies at the same moment.");
            later(Code::TooManyBodies, detail, BODIES_SECONDS)
        }
        Refusal::Hook(Objection { status, detail }) => {
            Problem::new(Code::UploadRefused, detail).status(status)
        }
        Refusal::Kind { kind } => {
            let detail = format!(
                "The file's first bytes are those of {kind}, which this server doesn't take. The \
                 upload is over."
            );
            Problem::new(Code::UnsupportedMedia, detail)
        }
    }
}

/// Says what is wrong with a numbered part, or with completing an upload of parts.
fn part(error: PartError) -> Problem {
    use PartError as E;
    match error {
        E::NotInParts => {
            Problem::new(Code::OtherProtocol, "This upload doesn't come in numbered parts.")
        }
        E::InParts => Problem::new(Code::OtherProtocol, "This upload comes in numbered parts."),
        E::NoSuchPart { count } => {
            let detail = format!("The upload has {count} parts, counted from 0.");
            Problem::new(Code::PartSize, detail)
        }
        E::Size { size } => {
            Problem::new(Code::PartSize, format!("This part has exactly {size} bytes."))
        }
        E::Checksum => {
            let detail = "The bytes that came have another SHA-256; nothing of them was kept.";
            Problem::new(Code::DigestMismatch, detail).retryable(true)
        }
        E::Differs => {
            let detail = "This part was acknowledged with other bytes, and doesn't change.";
            Problem::new(Code::PartConflict, detail)
        }
        E::Broken => {
            let detail = "The body broke off; send the part again.";
            Problem::new(Code::BodyIncomplete, detail).retryable(true)
        }
        E::Idle => {
            let detail = "The body stopped coming; send the part again.";
            Problem::new(Code::BodyTimedOut, detail).retry_after(IDLE_SECONDS)
        }
        E::Taken => Problem::new(Code::TakenOver, "A newer request brings this part."),
        E::Stopping => {
            let detail = "The server is restarting; send the part again.";
            Problem::unavailable(detail, RESTART_SECONDS)
        }
        E::Closed => Problem::new(Code::Conflict, "The upload is complete."),
        E::Missing { missing } => {
            let detail = format!("{} parts haven't come yet.", missing.len());
            Problem::new(Code::PartsMissing, detail).missing_chunks(missing)
        }
        E::Etag { index } => {
            let detail = format!("Part {index} isn't the one that `parts` names.");
            Problem::new(Code::PartConflict, detail).field("parts")
        }
        E::WholeChecksum => {
            let detail = "The whole file has another SHA-256. The upload is still open.";
            Problem::new(Code::DigestMismatch, detail).field("sha256")
        }
    }
}

/// Says why a grant begins no upload.
fn grant(fault: GrantFault) -> Problem {
    match fault {
        GrantFault::Used => {
            let detail = "This link was good for one upload, which was begun. Go on with that, or \
                          ask for another link.";
            Problem::new(Code::GrantUsed, detail)
        }
        GrantFault::Parts => {
            let detail = "Too many parts were begun by this link. Ask for another one.";
            Problem::new(Code::GrantUsed, detail)
        }
        GrantFault::Over => {
            let detail = "This link isn't good any more. Ask for another one.";
            Problem::new(Code::Unauthenticated, detail)
        }
    }
}

/// Says that a body isn't what its checksum says.
pub(super) fn wrong_checksum() -> Problem {
    let detail = "The body doesn't match Upload-Checksum. Nothing of it was kept; send it again.";
    Problem::new(Code::ChecksumMismatch, detail).retryable(true)
}

fn at(problem: Problem, offset: ByteOffset) -> Problem {
    problem.header("upload-offset", offset)
}

/// Says that something was there once.
fn gone(detail: &'static str) -> Problem {
    Problem::new(Code::Gone, detail)
}

/// Says that the file as it was sent isn't there any more, as it should be.
pub(super) fn not_kept() -> Problem {
    let detail = "The file as it was uploaded isn't kept here.";
    Problem::new(Code::OriginalNotKept, detail)
}

fn out_of_space() -> Problem {
    let detail = "The server has no room for this. Its operator has to make some.";
    Problem::new(Code::OutOfSpace, detail).retryable(true)
}

/// Says what a refusal of the database means.
pub(super) fn state(error: StateError) -> Problem {
    match error {
        StateError::Missing => Problem::not_found(),
        StateError::Conflict(erased @ Conflict::Erased) => {
            Problem::new(Code::Conflict, format!("Not possible: {erased}."))
        }
        StateError::Conflict(_) | StateError::Stale => conflict(),
        StateError::TooLarge => {
            Problem::new(Code::InvalidRequest, "The texts are too long to be kept.")
        }
        other => Problem::internal(other),
    }
}

/// Says what a failed file operation means.
pub(super) fn disk(error: DiskError) -> Problem {
    match error {
        DiskError::NoSpace => out_of_space(),
        DiskError::Missing => Problem::not_found(),
        error @ (DiskError::Locked { .. } | DiskError::Damaged { .. }) => unreadable(error),
        other => Problem::internal(other),
    }
}

/// Says that what is stored can't be read: the operator has to see to it.
fn unreadable(cause: DiskError) -> Problem {
    let detail = "It is encrypted on the server's disk and can't be decrypted; the operator has to \
                  see to that.";
    Problem::new(Code::OriginalUnreadable, detail).retryable(false).cause(cause)
}

/// Says what a refusal of the library means.
pub(super) fn library(error: LibraryError) -> Problem {
    match error {
        LibraryError::Missing => Problem::not_found(),
        LibraryError::Forbidden => {
            Problem::new(Code::Forbidden, "Your role may look at this, not change it.")
        }
        LibraryError::Discarded => not_kept(),
        LibraryError::Invalid { field, rule } => {
            Problem::new(Code::InvalidRequest, format!("`{field}` {rule}.")).field(field)
        }
        LibraryError::Uploading => {
            let detail = "This is possible once all of the file is here.";
            Problem::new(Code::Unfinished, detail)
        }
        LibraryError::Text(error) => Problem::new(Code::BadText, error.to_string()),
        LibraryError::NoSpace => out_of_space(),
        LibraryError::Disk(error) => disk(error),
        LibraryError::State(error) => state(error),
        LibraryError::Task => Problem::internal(error),
    }
}

/// Says what a refusal of the queue means.
pub(super) fn queue(error: QueueError) -> Problem {
    match error {
        QueueError::Missing => Problem::not_found(),
        QueueError::NotKept => not_kept(),
        QueueError::Conflict | QueueError::Stale => conflict(),
        QueueError::Full => Problem::unavailable("Too much waits already.", BODIES_SECONDS),
        QueueError::State(cause) => Problem::internal(cause),
    }
}

fn conflict() -> Problem {
    let detail = "The video isn't in a state in which this is possible.";
    Problem::new(Code::Conflict, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::upload::UploadState;
    use crate::units::ByteCount;
    use actix_web::ResponseError;

    /// Every refusal of the engine has the status that clients of the protocol act upon, and
    /// tells the offset where it is known.
    #[test]
    fn upload_errors_have_their_statuses() {
        let offset = ByteOffset(7);
        let cases = [
            (UploadError::Missing, 404, false),
            (UploadError::Gone(UploadState::Expired), 410, false),
            (UploadError::Finished, 413, false),
            (UploadError::OffsetMismatch { actual: offset }, 409, true),
            (UploadError::TooLong { length: ByteCount(1) }, 413, false),
            (UploadError::LengthFixed, 400, false),
            (UploadError::LengthInvalid, 400, false),
            (UploadError::MaxSize { max: ByteCount(1) }, 413, false),
            (UploadError::NoSpace, 507, false),
            (UploadError::Idle { offset }, 503, true),
            (UploadError::Taken { offset }, 409, true),
            (UploadError::BodyBroken { offset }, 400, true),
            (UploadError::MadeOfParts, 403, false),
            (UploadError::PartMissing, 404, false),
            (UploadError::PartUnfit, 400, false),
            (UploadError::PartNeeded, 409, false),
            (UploadError::ChecksumMismatch { offset }, 460, true),
            (UploadError::Stopping { offset }, 503, true),
            (Refusal::Quota { limit: ByteCount(1) }.into(), 413, false),
            (Refusal::Announced { limit: ByteCount(1) }.into(), 429, false),
            (Refusal::OpenUploads { limit: 1 }.into(), 429, false),
            (Refusal::Waiting { limit: 1 }.into(), 429, false),
            (Refusal::Bodies { limit: 1 }.into(), 429, false),
            (Refusal::Spent { limit: 1 }.into(), 403, false),
            (Refusal::Grant(GrantFault::Used).into(), 403, false),
            (Refusal::Grant(GrantFault::Parts).into(), 403, false),
            (Refusal::Grant(GrantFault::Over).into(), 401, false),
            (Refusal::Kind { kind: "image/png".into() }.into(), 415, false),
        ];
        for (error, status, told) in cases {
            let said = error.to_string();
            let answer = upload(error).error_response();
            assert_eq!(answer.status().as_u16(), status, "{said}");
            assert_eq!(answer.headers().contains_key("upload-offset"), told, "{said}");
            let waits = answer.headers().contains_key("retry-after");
            assert_eq!(waits, matches!(status, 429 | 503), "{said}");
        }
    }
}
