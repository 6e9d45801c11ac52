//! The `concatenation` extension: reading `Upload-Concat`, and creating what is made of parts.

use super::{App, text};
use crate::access::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::{granted, guard, translate};
use crate::ids::UploadId;
use crate::model::upload::{Concat, Protocol};
use crate::upload::NewUpload;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

/// Longest `Upload-Concat`: it is kept in a record. Some hundred parts fit.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Reads the request's `Upload-Concat`, if there is one.
pub(super) fn of(req: &HttpRequest, app: &App) -> Result<Option<Concat>, Problem> {
    let Some(header) = text(req, "upload-concat") else { return Ok(None) };
    let outside = guard::outside(req, &app.parts.config);
    // A client behind a proxy may know another name of the server than the one it calls now.
    let named = guard::host_of(req.uri(), req.headers()).unwrap_or_default();
    let hosts = [outside.host.as_str(), named];
    // A grant in it would be kept with the upload.
    parse(&granted::without(header), hosts).map(Some)
}

/// Reads `partial`, or `final;` and the addresses of parts, which have to be on one of `hosts`.
pub(in crate::http) fn parse(header: &str, hosts: [&str; 2]) -> Result<Concat, Problem> {
    if header.trim() == "partial" {
        return Ok(Concat::Partial);
    }
    if header.len() > HEADER_BYTES_MAX {
        let detail = "Upload-Concat is longer than 16 KiB; join fewer parts.";
        return Err(Problem::new(Code::HeaderTooLarge, detail).field("Upload-Concat"));
    }
    let list = header.trim().strip_prefix("final;").unwrap_or_default();
    let parts = list.split_ascii_whitespace().map(|url| part_of(url, hosts));
    let parts = parts.collect::<Option<Vec<UploadId>>>().filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| {
        let detail = "Upload-Concat is `partial`, or `final;` and the addresses of parts on this \
                      server, with spaces between them.";
        Problem::new(Code::InvalidHeader, detail).field("Upload-Concat")
    })?;
    Ok(Concat::Final { header: header.to_owned(), parts })
}

/// Returns the upload of an absolute address, or of one relative to `/files`.
fn part_of(url: &str, hosts: [&str; 2]) -> Option<UploadId> {
    let path = match url.split_once("://") {
        Some((scheme, rest)) => {
            let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            let own = |host: &&str| {
                let begins = rest.get(..host.len()).is_some_and(|it| it.eq_ignore_ascii_case(host));
                !host.is_empty() && begins && rest[host.len()..].starts_with('/')
            };
            &rest[hosts.iter().find(|host| known && own(host))?.len()..]
        }
        None => url,
    };
    let id = path.strip_prefix("/files/").or_else(|| path.strip_prefix("files/"))?;
    UploadId::parse(id).ok()
}

/// Creates an upload that is made of parts. It answers before they are joined.
pub(super) async fn create(
    req: &HttpRequest,
    app: &App,
    caller: Caller,
    concat: (String, Vec<UploadId>),
    has_body: bool,
) -> Result<HttpResponse, Problem> {
    let not_here = [
        ("Upload-Length", text(req, "upload-length").is_some()),
        ("Upload-Defer-Length", text(req, "upload-defer-length").is_some()),
        ("Content-Length", has_body),
    ];
    if let Some((name, _)) = not_here.iter().find(|(_, given)| *given) {
        let detail = "An upload that is made of parts has no length and no bytes of its own.";
        return Err(Problem::new(Code::InvalidHeader, detail).field(name));
    }
    let (metadata, raw_metadata) = super::metadata(req)?;
    let new = NewUpload {
        pass: caller.pass(),
        owner: caller.viewer.owner,
        protocol: Protocol::Tus,
        length: None,
        metadata,
        raw_metadata,
    };
    let (said, parts) = concat;
    let made = app.parts.uploads.create_final(new, said, parts).await;
    let record = made.map_err(translate::upload)?;
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, format!("/files/{}", record.id)));
    super::tell_expiry(&mut answer, record.state, record.expires_at);
    super::tell_video(&mut answer, &record);
    Ok(answer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;
    use actix_web::ResponseError;

    /// Parts are named by any address that this server has, in their order and as often as they
    /// come; nothing else is taken.
    #[test]
    fn parts_are_named_by_their_addresses() {
        let [a, b] = [1, 2].map(|n| UploadId::fresh(UnixMillis(n)));
        let hosts = ["films.example", "inner:8080"];
        assert_eq!(parse("partial", hosts).expect("a part"), Concat::Partial);
        let header = format!(
            "final;/files/{b} files/{a}  https://FILMS.example/files/{b} http://inner:8080/files/{a}"
        );
        let parts = vec![b, a, b, a];
        let expected = Concat::Final { header: header.clone(), parts };
        assert_eq!(parse(&header, hosts).expect("four parts"), expected);
        let bad = [
            String::new(),
            "final".to_owned(),
            "final;".to_owned(),
            "Partial".to_owned(),
            format!("final;{a}"),
            format!("final;/files/{a}/"),
            format!("final;/files/{a}?x=y"),
            format!("final;//films.example/files/{a}"),
            format!("final;ftp://films.example/files/{a}"),
            format!("final;https://evil.example/files/{a}"),
            format!("final;https://films.example.evil/files/{a}"),
            format!("final;https://films.example@evil/files/{a}"),
            format!("final;/files/{a} /files/../etc"),
            format!("final,/files/{a}"),
        ];
        for header in bad {
            let problem = parse(&header, hosts).expect_err(&header);
            assert_eq!(problem.status_code().as_u16(), 400, "{header}");
        }
        let long = format!("final;{}", format!("/files/{a} ").repeat(400));
        assert_eq!(parse(&long, hosts).expect_err("long").status_code().as_u16(), 431);
        assert_eq!(part_of(&format!("http:///files/{a}"), ["", ""]), None);
    }
}
