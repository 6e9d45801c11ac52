//! Problems as clients see them (RFC 9457): the one place where an error becomes a status.
//!
//! A problem has three parts: a stable code, a sentence for the client, and a cause that only the
//! log gets. Each room's errors are turned into problems in [`super::translate`].

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;

/// The media type of every problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $code:literal, $status:literal, $title:literal;
    )*) => {
        /// The codes that the API answers with; their text form never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code { $($(#[doc = $doc])+ $name,)* }

        impl Code {
            const ALL: &[Code] = &[$(Code::$name,)*];

            fn parts(self) -> (&'static str, u16, &'static str) {
                match self { $(Code::$name => ($code, $status, $title),)* }
            }

            /// Says what it means, in a sentence or two.
            fn about(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc,)+),)* }
            }
        }
    };
}

codes! {
    /// A value in the address, a header or the body can't be read.
    InvalidRequest = "invalid-request", 400, "The request can't be understood";
    /// A header can't be read.
    InvalidHeader = "invalid-header", 400, "A header can't be understood";
    /// `Upload-Metadata` can't be read.
    InvalidMetadata = "invalid-metadata", 400, "The upload's metadata can't be understood";
    /// The declared length contradicts what is known.
    LengthMismatch = "upload-length-mismatch", 400, "The upload's length is already fixed";
    /// The client said before that the upload is complete.
    Completed = "upload-completed", 400, "The upload is complete";
    /// The body ended before its end.
    BodyIncomplete = "body-incomplete", 400, "The request's body was cut short";
    /// No token, or one that doesn't count.
    Unauthenticated = "unauthenticated", 401, "Please sign in";
    /// The role is too small.
    Forbidden = "forbidden", 403, "This isn't allowed with your role";
    /// A cookie was sent from another site's page.
    CrossSite = "cross-site", 403, "The request comes from another site";
    /// The server is only for this machine.
    NotLocal = "not-local", 403, "This server only answers this machine";
    /// A signed address that was changed or has run out.
    BadSignature = "bad-signature", 403, "The address isn't valid any more";
    /// A playback token that isn't one, was changed, revoked or has run out, or isn't good for this
    /// video, from this address or on this page.
    BadPlaybackToken = "bad-playback-token", 403, "This link isn't valid any more";
    /// The operator's hook doesn't want the upload, for the reason that it gives; another status of
    /// the class 4xx if the hook says so. An upload that was begun is over.
    UploadRefused = "upload-refused", 403, "The upload isn't wanted here";
    /// There is nothing, or nothing for this caller.
    NotFound = "not-found", 404, "Not found";
    /// The method isn't known here.
    MethodNotAllowed = "method-not-allowed", 405, "This method isn't supported here";
    /// The offset isn't the end of what is there.
    OffsetMismatch = "upload-offset-mismatch", 409, "The upload is at another offset";
    /// A newer request has taken the upload over.
    TakenOver = "upload-taken-over", 409, "A newer request has taken over this upload";
    /// The thing isn't in a state that allows this.
    Conflict = "conflict", 409, "This isn't possible right now";
    /// The part was acknowledged with other bytes, or isn't the one that is meant.
    PartConflict = "part-conflict", 409, "The part has other bytes";
    /// The upload can't be completed: parts are missing.
    PartsMissing = "parts-missing", 409, "Parts of the upload are missing";
    /// The upload speaks another protocol.
    OtherProtocol = "upload-protocol", 409, "The upload came through another door";
    /// The upload hasn't all of its bytes yet.
    Unfinished = "upload-unfinished", 409, "The upload isn't complete yet";
    /// It was there and is gone.
    Gone = "gone", 410, "It is gone";
    /// What was uploaded isn't kept: it isn't what is taken, or was to go once the video was ready.
    OriginalNotKept = "original-not-kept", 410, "The original isn't kept";
    /// `Tus-Resumable` is missing or unknown.
    TusVersion = "tus-version", 412, "This version of the upload protocol isn't supported";
    /// The upload is larger than the server takes.
    UploadTooLarge = "upload-too-large", 413, "The file is too large";
    /// More bytes than the upload's length.
    PastLength = "upload-past-length", 413, "More bytes than the upload's length";
    /// A picture of more pixels than are taken.
    PictureTooLarge = "too-large", 413, "The picture is too large";
    /// A body larger than such requests need.
    BodyTooLarge = "body-too-large", 413, "The request's body is too large";
    /// The owner would keep more than allowed.
    QuotaExceeded = "quota-exceeded", 413, "There is no room left for your files";
    /// The file's first bytes say that it isn't what is taken.
    UnsupportedMedia = "unsupported-media", 415, "Files of this kind aren't taken here";
    /// The body's type isn't the one that is expected.
    ContentType = "unsupported-content-type", 415, "This content type isn't accepted here";
    /// The range lies outside.
    Range = "range-not-satisfiable", 416, "The range isn't part of the file";
    /// A part of another length, or that the upload doesn't have.
    PartSize = "part-size", 422, "The upload has no part like this";
    /// A part or file whose bytes aren't those that the client meant.
    DigestMismatch = "checksum-mismatch", 422, "The bytes don't match their checksum";
    /// A text track that can't be read.
    BadText = "invalid-text", 422, "The text track can't be read";
    /// The film has no such time.
    TimeOutOfRange = "time-out-of-range", 422, "The video has no such time";
    /// A picture that can't be read to its end.
    DamagedPicture = "damaged-media", 422, "The picture is damaged";
    /// The owner has announced more than allowed that hasn't come.
    TooMuchAnnounced = "too-many-announced-bytes", 429, "Too much is announced already";
    /// The owner has too many upload grants.
    TooManyGrants = "too-many-grants", 429, "Too many upload grants were made";
    /// The owner has too many videos that wait for their work.
    TooManyWaiting = "too-many-waiting", 429, "Too many videos wait to be processed";
    /// The owner has too many uploads that haven't ended.
    TooManyUploads = "too-many-uploads", 429, "Too many uploads are open";
    /// The owner sends too much at once.
    TooManyBodies = "too-many-bodies", 429, "Too many requests send bytes at once";
    /// The present password isn't what was said.
    WrongPassword = "wrong-password", 403, "The password isn't right";
    /// Too many passwords were wrong.
    TooManyAttempts = "too-many-attempts", 429, "Too many attempts to sign in";
    /// The token is good for so many uploads.
    TokenSpent = "token-spent", 403, "The token has begun all the uploads that it may";
    /// Too many requests in a minute from one address, with one token or in one owner's name.
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    /// An upload grant has begun its one upload, or too many parts of one.
    GrantUsed = "grant-used", 403, "This link has been used";
    /// An upload grant is used for something else than its upload, or against what it lays down.
    GrantScope = "grant-scope", 403, "This link is good for one upload alone";
    /// A header above its bound.
    HeaderTooLarge = "header-too-large", 431, "A header is too large";
    /// The body isn't what its checksum says; a status of tus alone.
    ChecksumMismatch = "checksum-mismatch", 460, "Checksum Mismatch";
    /// Something went wrong that the client can't help.
    Internal = "internal", 500, "Something went wrong in the server";
    /// The file is encrypted on the server's disk, and can't be decrypted: its key isn't there, or
    /// its bytes have changed.
    OriginalUnreadable = "original-unreadable", 500, "The stored file can't be read";
    /// A format that others may speak, but this server doesn't.
    NotImplemented = "not-implemented", 501, "This isn't spoken here";
    /// A body that brings nothing for too long. 408 would say it too, but tus-js-client and Uppy
    /// give a file up on it; a computer that slept finds this answer when it wakes.
    BodyTimedOut = "body-timed-out", 503, "The request's body stopped coming";
    /// The server is stopping, or can't take work now.
    Unavailable = "unavailable", 503, "The server can't take this right now";
    /// The operator's hook has to be asked first, and can't be right now.
    HookUnavailable = "hook-unavailable", 503, "The upload can't be checked right now";
    /// The disk is full.
    OutOfSpace = "out-of-space", 507, "The server's disk is full";
}

/// A code as the documentation lists it.
#[derive(Debug)]
pub(super) struct Listed {
    /// Its stable text form.
    pub(super) word: &'static str,
    /// The status that it comes with.
    pub(super) status: u16,
    /// Its title.
    pub(super) title: &'static str,
    /// What it means.
    pub(super) about: &'static str,
}

impl Code {
    /// Lists all of them.
    pub(super) fn all() -> impl Iterator<Item = Listed> {
        Self::ALL.iter().map(|code| {
            let (word, status, title) = code.parts();
            Listed { word, status, title, about: code.about().trim() }
        })
    }
}

/// What a client is told when something isn't done.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    field: Option<&'static str>,
    retryable: Option<bool>,
    retry_after: Option<u32>,
    extra: Option<Box<Extra>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// What few problems say.
#[derive(Debug, Default)]
struct Extra {
    /// A type that others have defined, where the code is ours.
    kind: Option<&'static str>,
    missing_chunks: Option<Vec<u32>>,
    /// A status that isn't the code's own.
    status: Option<u16>,
    /// The offset that was expected, and the one that came.
    offsets: Option<(u64, u64)>,
}

impl Problem {
    /// Makes a problem of its code and a sentence for the client.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            retryable: None,
            retry_after: None,
            extra: None,
            headers: Vec::new(),
            cause: None,
        }
    }

    /// Makes the problem of a failure that the client can't help; `cause` only reaches the log.
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "The request failed. It has been logged; please try again.")
            .cause(cause)
    }

    /// Makes the problem of something that isn't there, or not for this caller.
    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address that you may see.")
    }

    /// Makes the problem of a request that comes too early or too late; try in `seconds`.
    pub(super) fn unavailable(detail: &'static str, seconds: u32) -> Self {
        Self::new(Code::Unavailable, detail).retry_after(seconds)
    }

    /// Names the header, parameter or key that is at fault.
    pub(super) fn field(mut self, name: &'static str) -> Self {
        self.field = Some(name);
        self
    }

    /// Says that the same request may succeed later, or never will.
    pub(super) fn retryable(mut self, may_succeed: bool) -> Self {
        self.retryable = Some(may_succeed);
        self
    }

    /// Says after how many seconds to try again.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self.retryable = Some(true);
        self
    }

    /// Names the parts that are missing.
    pub(super) fn missing_chunks(mut self, missing: Vec<u32>) -> Self {
        self.extra().missing_chunks = Some(missing);
        self
    }

    /// Has the answer go by another status than the code's own.
    pub(super) fn status(mut self, status: u16) -> Self {
        self.extra().status = Some(status);
        self
    }

    /// Names the type that a standard has for this.
    pub(super) fn kind(mut self, kind: &'static str) -> Self {
        self.extra().kind = Some(kind);
        self
    }

    /// Says which offset was expected and which one came, as the IETF's draft has it.
    pub(super) fn offsets(mut self, expected: u64, provided: u64) -> Self {
        self.extra().offsets = Some((expected, provided));
        self
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Takes a header away from the answer.
    pub(super) fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(known, _)| known.as_str() != name);
        self
    }

    /// Adds a header to the answer; a value that can't be one is left out.
    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// Adds what the log should know.
    pub(super) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Returns the sentence, and what only the log may know, for the operator's own eyes.
    pub(super) fn told(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{} ({cause})", self.detail),
            None => self.detail.to_string(),
        }
    }

    /// Returns what only the log may know.
    pub(super) fn logged_cause(&self) -> &str {
        self.cause.as_deref().unwrap_or("")
    }

    /// Returns the problem that a bare status stands for, such as one of the HTTP library's own.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            401 => Code::Unauthenticated,
            403 => Code::Forbidden,
            404 => return Self::not_found(),
            405 => Code::MethodNotAllowed,
            408 => Code::BodyTimedOut,
            409 => Code::Conflict,
            410 => Code::Gone,
            412 | 428 => Code::Conflict,
            413 => Code::BodyTooLarge,
            415 => Code::ContentType,
            416 => Code::Range,
            429 => Code::TooManyBodies,
            431 => Code::HeaderTooLarge,
            503 => Code::Unavailable,
            507 => Code::OutOfSpace,
            other if other >= 500 => Code::Internal,
            _ => Code::InvalidRequest,
        };
        let title = code.parts().2;
        Self::new(code, format!("{title}."))
    }

    /// Returns the body, with the status `status` where the HTTP library chose one of its own.
    pub(super) fn body(&self, status: StatusCode) -> Vec<u8> {
        let (code, _, title) = self.code.parts();
        let server_side = status.is_server_error();
        let extra = self.extra.as_deref();
        let offsets = extra.and_then(|extra| extra.offsets);
        let said = Said {
            kind: extra.and_then(|extra| extra.kind).unwrap_or("about:blank"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            retryable: self.retryable.unwrap_or(server_side),
            retry_after: self.retry_after,
            field: self.field,
            missing_chunks: extra.and_then(|extra| extra.missing_chunks.as_deref()),
            expected_offset: offsets.map(|(expected, _)| expected),
            provided_offset: offsets.map(|(_, provided)| provided),
        };
        serde_json::to_vec(&said).unwrap_or_default()
    }
}

/// Why something wasn't done (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(super) struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    /// What happened, in few words; the same for each `code`.
    title: &'a str,
    status: u16,
    /// What happened here, in a sentence for people.
    detail: &'a str,
    #[schema(value_type = super::openapi::ErrorCode)]
    code: &'a str,
    /// The same request may succeed later.
    retryable: bool,
    /// In how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// The header, parameter or key that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Parts that haven't come.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_chunks: Option<&'a [u32]>,
    #[serde(rename = "expected-offset", skip_serializing_if = "Option::is_none")]
    expected_offset: Option<u64>,
    #[serde(rename = "provided-offset", skip_serializing_if = "Option::is_none")]
    provided_offset: Option<u64>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.parts().0, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        let own = self.extra.as_deref().and_then(|extra| extra.status);
        let status = own.unwrap_or(self.code.parts().1);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut answer = HttpResponseBuilder::new(status);
        if status.canonical_reason().is_none() {
            answer.reason(self.code.parts().2);
        }
        answer.insert_header((header::CONTENT_TYPE, MEDIA_TYPE));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"slipway\""));
        }
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        for (name, value) in &self.headers {
            answer.insert_header((name.clone(), value.clone()));
        }
        answer.body(self.body(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code is kebab-case, unique but for a protocol's own status, and an error's.
    #[test]
    fn codes_are_stable_words() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let (word, status, title) = code.parts();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{word}");
            assert!(
                seen.insert((word, status)) && (400..600).contains(&status) && !title.is_empty()
            );
            let problem = Problem::new(*code, "x");
            assert_eq!(problem.status_code().as_u16(), status);
        }
    }

    /// The cause stays inside; the client reads code, sentence and what to do.
    #[test]
    fn causes_never_reach_a_client() {
        let problem = Problem::internal("/var/lib/secret: permission denied");
        let body = String::from_utf8(problem.body(problem.status_code())).expect("text");
        assert!(!body.contains("secret") && !problem.to_string().contains("secret"));
        assert!(body.contains("\"code\":\"internal\"") && body.contains("\"retryable\":true"));
        let busy = Problem::unavailable("Stopping.", 5);
        let answer = busy.error_response();
        assert_eq!(answer.headers().get("retry-after").expect("header"), "5");
        assert_eq!(answer.headers().get("content-type").expect("header"), MEDIA_TYPE);
        let body = String::from_utf8(busy.body(busy.status_code())).expect("text");
        assert!(body.contains("\"retryAfter\":5"), "{body}");
    }

    /// A header's value from outside can't break the answer's head.
    #[test]
    fn unfit_header_values_are_left_out() {
        let answer =
            Problem::not_found().header("location", "a\r\nset-cookie: b=c").error_response();
        assert!(answer.headers().get("location").is_none());
    }
}
