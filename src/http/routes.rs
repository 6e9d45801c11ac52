//! The table of addresses. Whatever is registered here is also in `/openapi.json`.
//!
//! Each module lists its addresses once, with [`table!`]; from the list come the registration and
//! the module's part of the document. A handler in it without `#[utoipa::path]` doesn't compile,
//! and the tests compare both sides. The annotation names the method, the address, an
//! `operation_id` and what a good answer holds; the first line of the handler's own comment is its
//! summary. Parameters come from `web::Path` and `web::Query`; who may call, errors and formats
//! are added in [`super::openapi`].

use actix_web::dev::HttpServiceFactory;
use actix_web::{middleware, web};
use utoipa::openapi::OpenApi;

/// The addresses of one module.
pub(super) struct Table {
    /// Under which heading they are in the document.
    pub(super) tag: &'static str,
    /// Registers them.
    pub(super) add: fn(&mut Routes<'_>),
    /// Describes them.
    pub(super) describe: fn() -> OpenApi,
}

/// Takes the addresses of all modules.
pub(super) struct Routes<'a> {
    app: &'a mut web::ServiceConfig,
    /// Method and address of what was registered.
    pub(super) known: Vec<(&'static str, String)>,
}

impl<'a> Routes<'a> {
    /// Begins with nothing.
    pub(super) fn of(app: &'a mut web::ServiceConfig) -> Self {
        Self { app, known: Vec::new() }
    }

    /// Registers what answers `methods` at an address.
    pub(super) fn add(
        &mut self,
        address: &str,
        methods: &[&'static str],
        service: impl HttpServiceFactory + 'static,
    ) {
        let address = without_patterns(address);
        self.known.extend(methods.iter().map(|&method| (method, address.clone())));
        self.app.service(service);
    }
}

/// Returns an address as the document has it: `{file:.*}` is `{file}`.
fn without_patterns(address: &str) -> String {
    let mut plain = String::new();
    for (n, piece) in address.split('{').enumerate() {
        let (name, rest) = piece.split_once('}').unwrap_or(("", piece));
        match (n, name.split_once(':')) {
            (0, _) => plain.push_str(piece),
            (_, Some((name, _))) => plain.push_str(&format!("{{{name}}}{rest}")),
            (_, None) => plain.push_str(&format!("{{{piece}")),
        }
    }
    plain
}

/// Packs what is text for whoever takes it so.
pub(super) fn compressed() -> middleware::Compress {
    middleware::Compress::default()
}

/// Lists a module's addresses under a heading of the document:
/// `table! { "videos"; "/api/videos" => get(list), post(create); }`. Between address and arrow may
/// stand `compressed`, and `get(file) + head` answers both with one handler.
macro_rules! table {
    ($tag:literal; $($address:literal $($wrap:ident)? =>
        $($method:ident($($handler:ident)::+) $(+ $also:ident)?),+;)+) => {
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($($handler)::+),+),+))]
        struct Addresses;

        /// The module's addresses.
        pub(super) const TABLE: $crate::http::routes::Table = $crate::http::routes::Table {
            tag: $tag,
            add: |routes| {
                $(
                    let at = actix_web::web::resource($address);
                    $(let at = at.wrap($crate::http::routes::$wrap());)?
                    $(
                        let handler = $($handler)::+;
                        let at = at.route(actix_web::web::$method().to(handler));
                        $(let at = at.route(actix_web::web::$also().to(handler));)?
                    )+
                    routes.add($address, &[$(stringify!($method), $(stringify!($also),)?)+], at);
                )+
            },
            describe: <Addresses as utoipa::OpenApi>::openapi,
        };
    };
}
pub(super) use table;

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns are the router's business; the document has names.
    #[test]
    fn addresses_lose_their_patterns() {
        let cases = [
            ("/", "/"),
            ("/api/videos/{id}/captions/{lang}", "/api/videos/{id}/captions/{lang}"),
            ("/static/{file:.*}", "/static/{file}"),
            (r"/media/{id}/{file:.*\.(?:m3u8|mpd)}", "/media/{id}/{file}"),
        ];
        for (address, plain) in cases {
            assert_eq!(without_patterns(address), plain);
        }
    }
}
