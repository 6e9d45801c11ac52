//! `/openapi.json`: the API as a document, made from the handlers.
//!
//! The handlers' annotations say what is theirs alone. What holds everywhere is added here: who
//! may call, how errors look, and what a name says of a value (`…At` is a time, `…Id` an id).

use super::problem::{Code, Said};
use super::routes::{Table, table};
use super::{Shared, TABLES};
use crate::hooks::Body;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use utoipa::{OpenApi, PartialSchema};

/// What the document says of itself.
const ABOUT: &str = "Self-hosted video uploads: resumable in, HLS and DASH out. Keys are \
    camelCase, times RFC 3339 in UTC, sizes bytes, lengths of time seconds, ids UUIDs. Every \
    error is `application/problem+json` with a stable `code`.";

/// Under which terms it comes.
const LICENSE: &str = env!("CARGO_PKG_LICENSE");

/// The headings, in the document's order.
const TAGS: &[(&str, &str)] = &[
    ("uploads", "Files in numbered parts, in any order and side by side, or as one form."),
    ("files", "Resumable uploads by tus 1.0.0, and by the IETF's draft (`Upload-Complete`)."),
    ("videos", "Looking at videos, changing what is said of them, and steering their work."),
    ("media", "What players fetch."),
    ("live", "What happens, as it happens."),
    ("operations", "What the operator sees and does. Admins only."),
    ("server", "Whether the server lives, and what it can do."),
    ("pages", "The server's own pages."),
];

/// Why something wasn't done.
#[derive(utoipa::ToSchema)]
pub(super) struct ErrorCode;

table! { "server";
    "/openapi.json" compressed => get(document);
}

/// Describes the API in OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", security(()),
    responses((status = 200, body = Object, description = "This document")))]
async fn document(_: web::Data<Shared>) -> HttpResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| whole(TABLES).to_string());
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(text.as_str())
}

/// Puts the document together.
pub(super) fn whole(tables: &[Table]) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for table in tables {
        let mut part = json!((table.describe)());
        for (path, mut item) in taken(&mut part["paths"]) {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                finish(operation, method, table.tag);
            }
            let known = paths.entry(path).or_insert_with(|| json!({}));
            merge(known, item);
        }
        schemas.extend(taken(&mut part["components"]["schemas"]));
    }
    if let Some(Value::Object(seen)) = schemas.get_mut("VideoOrPart")
        && let Some(both) = seen.remove("oneOf")
    {
        // The whole has all members of the part, so that it is both.
        seen.insert("anyOf".to_owned(), both);
    }
    schemas.insert("ErrorCode".to_owned(), error_code());
    schemas.insert("Problem".to_owned(), json!(Said::schema()));
    let webhooks = webhooks(&mut schemas);
    let tags: Vec<Value> =
        TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": LICENSE, "identifier": LICENSE },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "cookie": [] }],
        "tags": tags,
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": {
                "description": "It wasn't done; `code` says why",
                "content": { "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/Problem" },
                } },
            } },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": TOKEN },
                "cookie": { "type": "apiKey", "in": "cookie", "name": super::guard::COOKIE,
                    "description": COOKIE },
            },
        },
    });
    name_formats(&mut document);
    document
}

/// Describes what webhooks are sent: all of it in one place, as each may be sent all of it.
fn webhooks(schemas: &mut Map<String, Value>) -> Value {
    /// Carries the schemas of what is sent.
    #[derive(utoipa::OpenApi)]
    #[openapi(components(schemas(Body)))]
    struct Sent;
    let mut part = json!(Sent::openapi());
    schemas.extend(taken(&mut part["components"]["schemas"]));
    let header = |name: &str, about: &str| {
        json!({ "name": name, "in": "header", "required": true, "description": about,
            "schema": { "type": "string" } })
    };
    json!({ "webhook": { "post": {
        "operationId": "receiveWebhook",
        "summary": "What the addresses in `hooks.webhooks` are told, after Standard Webhooks.",
        "security": [],
        "parameters": [
            header("webhook-id", "Stays the same at every attempt"),
            header("webhook-timestamp", "Seconds since 1970, of this attempt"),
            header("webhook-signature", "`v1,` and the base64 of an HMAC-SHA256"),
        ],
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/WebhookEvent" },
        } } },
        "responses": {
            "2XX": { "description": "It was taken" },
            "410": { "description": "Nothing more is to be sent there" },
            "default": { "description": "It is sent again later" },
        },
    } } })
}

const TOKEN: &str = "A token of `slipway token create`, or the one in `admin-token`.";
const COOKIE: &str = "What the login page sets. Methods that change something also need the \
    `Origin` of this server.";

/// Takes the members of an object.
fn taken(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn merge(known: &mut Value, more: Value) {
    if let (Value::Object(known), Value::Object(more)) = (known, more) {
        known.extend(more);
    }
}

/// Adds to one operation what holds for each.
fn finish(operation: &mut Value, method: &str, tag: &str) {
    operation["tags"] = json!([tag]);
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        // One that may be missing is never null.
        let kinds = parameter["schema"]["type"].as_array();
        let kind = kinds.and_then(|kinds| kinds.iter().find(|kind| **kind != "null")).cloned();
        if let Some(kind) = kind {
            parameter["schema"]["type"] = kind;
        }
        let choices = parameter["schema"]["oneOf"].as_array();
        if let Some(reference) =
            choices.and_then(|all| all.iter().find(|it| it["$ref"].is_string()))
        {
            parameter["schema"] = reference.clone();
        }
    }
    say_binary(operation);
    operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
    if method == "head"
        && let Some(id) = operation["operationId"].as_str()
    {
        // One handler for two methods has one name, and a name is one operation's.
        let id = id.strip_prefix("get").map_or_else(|| id.to_owned(), |id| format!("head{id}"));
        operation["operationId"] = json!(id);
    }
}

/// Says of raw bytes that they are: not a list of numbers, which they would be in JSON.
fn say_binary(value: &mut Value) {
    let Value::Object(members) = value else { return };
    for (name, member) in members.iter_mut() {
        match member {
            Value::Object(kinds) if name == "content" => {
                let raw = kinds.iter_mut().filter(|(kind, _)| *kind != "application/json");
                for schema in raw.map(|(_, content)| &mut content["schema"]) {
                    if schema["type"] != "string" && schema["$ref"].is_null() {
                        *schema = json!({ "type": "string", "format": "binary" });
                    }
                }
            }
            member => say_binary(member),
        }
    }
}

/// Lists the codes of errors: of answers, with their statuses, and of videos that failed.
fn error_code() -> Value {
    let all: Vec<_> = Code::all().collect();
    let mut words: Vec<&str> = all.iter().map(|code| code.word).collect();
    words.sort_unstable();
    words.dedup();
    let told: Vec<Value> = all
        .iter()
        .map(|code| {
            json!({ "code": code.word, "status": code.status, "title": code.title,
                "description": code.about })
        })
        .collect();
    json!({
        "type": "string",
        "description": "Why something wasn't done. Codes don't change; new ones may come.",
        "enum": words,
        "x-codes": told,
    })
}

/// Says of texts that are times or ids that they are, as the names of members and parameters do.
fn name_formats(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_formats),
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                for (name, schema) in properties.iter_mut() {
                    set_format(name, schema);
                }
            }
            if let (Some(Value::String(name)), true) =
                (members.get("name").cloned(), members.contains_key("in"))
                && let Some(schema) = members.get_mut("schema")
            {
                set_format(&name, schema);
            }
            members.values_mut().for_each(name_formats);
        }
        _ => {}
    }
}

fn set_format(name: &str, schema: &mut Value) {
    let is_text = match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.contains(&json!("string")),
        _ => false,
    };
    let format = match name {
        "id" | "uploadId" | "videoId" => "uuid",
        "at" => "date-time",
        _ if name.ends_with("At") => "date-time",
        _ => return,
    };
    // One of another form says so by itself.
    let is_told = schema.get("format").is_some() || schema.get("pattern").is_some();
    if is_text && !is_told {
        schema["format"] = json!(format);
    }
}
