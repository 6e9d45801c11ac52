//! The headers of resumable uploads, as the API's document tells them. They are read in
//! `headers` and in `draft::fields`.

use crate::http::routes::{Routes, Table};
use actix_web::web;
use utoipa::{IntoParams, OpenApi};

/// The addresses of both protocols. One handler for each takes every method, because
/// `X-HTTP-Method-Override` decides which one it really is.
pub(in crate::http) const TABLE: Table = Table {
    tag: "files",
    add: |routes: &mut Routes<'_>| {
        let collection = web::resource(["/files", "/files/"]).to(super::collection);
        routes.add("/files", &["post", "put", "options"], collection);
        let single = web::resource("/files/{id}").to(super::single);
        routes.add("/files/{id}", &["head", "patch", "delete", "get"], single);
    },
    describe: Addresses::openapi,
};

#[derive(OpenApi)]
#[openapi(paths(
    super::create,
    crate::http::draft::create,
    super::options,
    super::look,
    super::append,
    super::terminate,
    super::get
))]
struct Addresses;

/// What every request of tus says, and none of the draft.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub(in crate::http) struct Version {
    /// `1.0.0`: this request speaks tus.
    #[param(rename = "Tus-Resumable")]
    tus_resumable: Option<String>,
}

/// What a creation says.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub(in crate::http) struct Creation {
    /// Bytes of the whole file.
    #[param(rename = "Upload-Length")]
    length: Option<u64>,
    /// tus: `1`, the length is told later.
    #[param(rename = "Upload-Defer-Length")]
    defer: Option<u32>,
    /// Keys and values in base64: `filename`, `filetype`, `title`, `description`, `tags`,
    /// `visibility`, `sessionId`.
    #[param(rename = "Upload-Metadata")]
    metadata: Option<String>,
    /// tus: `partial`, or `final;` and the addresses of parts.
    #[param(rename = "Upload-Concat")]
    concat: Option<String>,
}

/// What a body says of itself.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub(in crate::http) struct Body {
    /// The draft: `?1` says that the body is the last one, `?0` that more comes.
    #[param(rename = "Upload-Complete")]
    complete: Option<String>,
    /// tus: an algorithm and the body's sum in base64.
    #[param(rename = "Upload-Checksum")]
    checksum: Option<String>,
    /// The draft: `sha-256=:BASE64:` or `sha-512=:BASE64:` of the body.
    #[param(rename = "Content-Digest")]
    content_digest: Option<String>,
    /// The draft: `sha-256=:BASE64:` of the whole file.
    #[param(rename = "Repr-Digest")]
    repr_digest: Option<String>,
}

/// Where a body belongs.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub(in crate::http) struct Offset {
    /// How many bytes are there already.
    #[param(rename = "Upload-Offset")]
    offset: u64,
    /// The whole length, once it is known.
    #[param(rename = "Upload-Length")]
    length: Option<u64>,
}
