//! The API's document against the server that it describes.

use super::rig::Rig;
use crate::events::EventKind;
use crate::http::openapi;
use crate::http::routes::Routes;
use crate::http::{TABLES, nothing_here};
use crate::model::hook::HookEvent;
use actix_web::{App, web};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;

/// Every method of OpenAPI that this server could know.
const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

fn described() -> BTreeSet<(String, String)> {
    let document = openapi::whole(TABLES);
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("operations").clone();
        let path = path.clone();
        item.into_iter().map(move |(method, _)| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Method and address of everything that is registered.
pub(super) fn registered() -> BTreeSet<(String, String)> {
    let known = Mutex::new(BTreeSet::new());
    let _ = App::new().default_service(web::to(nothing_here)).configure(|app| {
        let mut routes = Routes::of(app);
        TABLES.iter().for_each(|table| (table.add)(&mut routes));
        let pairs = routes.known.into_iter().map(|(method, path)| (method.to_owned(), path));
        known.lock().expect("alone").extend(pairs);
    });
    known.into_inner().expect("alone")
}

/// What is registered is described, and what is described is registered.
#[test]
fn the_document_is_the_table_of_addresses() {
    let (known, described) = (registered(), described());
    let untold: Vec<_> = known.difference(&described).collect();
    assert!(untold.is_empty(), "registered, but not in the document: {untold:?}");
    let unknown: Vec<_> = described.difference(&known).collect();
    assert!(unknown.is_empty(), "in the document, but not registered: {unknown:?}");
    assert!(known.len() > 40, "{known:?}");
}

/// A running server takes the methods that the document names, and no others.
#[tokio::test]
async fn the_server_takes_what_the_document_names() {
    let rig = Rig::start().await;
    let mut methods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (method, path) in described() {
        methods.entry(path).or_default().push(method);
    }
    let id = "01890000-0000-7000-8000-000000000000";
    // Of an upload that isn't there 404 comes first.
    let upload = rig.create(10).await;
    for (path, known) in methods {
        let at = path.replace("/files/{id}", &upload);
        let at = at.replace("{id}", id).replace("{index}", "0").replace("{lang}", "en");
        let at = at.replace("{file}", "none.jpg").replace("{token}", "slp_x");
        // Who streams stays; who has it may be asked for nothing.
        for method in METHODS.iter().filter(|method| !(at == "/api/events" && **method == "get")) {
            let line = format!("{} {at}", method.to_uppercase());
            let answer = rig.as_token(&rig.admin, &line, &[("Tus-Resumable", "1.0.0")], b"").await;
            let takes = known.iter().any(|known| known == method);
            let is_by_draft = at == "/files" && *method == "put";
            assert_eq!(answer.status == 405, !takes || is_by_draft, "{line}: {answer:?}");
        }
    }
}

/// Names in the document mean one thing each, and lead somewhere.
#[test]
fn names_in_the_document_are_unique() {
    let document = openapi::whole(TABLES);
    let mut names = HashSet::new();
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(names.insert(name.clone()), "{name} names two operations");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{name} isn't explained");
        }
    }
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    for table in TABLES {
        let part = serde_json::to_value((table.describe)()).expect("JSON");
        for (name, schema) in part["components"]["schemas"].as_object().into_iter().flatten() {
            let before = schemas.insert(name.clone(), schema.clone());
            assert!(before.is_none_or(|before| before == *schema), "{name} has two meanings");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} isn't there");
    }
}

/// All codes are listed, each with its status and what it means.
#[test]
fn the_document_lists_the_codes() {
    let document = openapi::whole(TABLES);
    let codes = document["components"]["schemas"]["ErrorCode"]["x-codes"].as_array().expect("list");
    assert!(codes.len() > 40);
    for code in codes {
        let about = code["description"].as_str().expect("a sentence");
        assert!(about.ends_with('.') && code["status"].as_u64() >= Some(400), "{code}");
    }
}

/// Every kind of event that is told, over the live doors and to webhooks, has a schema of its own.
#[test]
fn the_document_has_all_events() {
    let document = openapi::whole(TABLES);
    let kinds = |name: &str| -> BTreeSet<String> {
        let all = document["components"]["schemas"][name]["oneOf"].as_array().expect("choices");
        let kind = |choice: &Value| {
            let parts = choice["allOf"].as_array().cloned().unwrap_or(vec![choice.clone()]);
            let kinds = parts.iter().find_map(|it| it["properties"]["type"]["enum"].as_array());
            let [kind] = kinds.expect("a type").as_slice() else { panic!("one type: {choice}") };
            kind.as_str().expect("a word").to_owned()
        };
        all.iter().map(kind).collect()
    };
    let live = EventKind::ALL.iter().map(|kind| kind.name()).chain(["snapshot"]);
    assert_eq!(kinds("LiveEvent"), live.map(str::to_owned).collect());
    let hooks = HookEvent::ALL.iter().chain([&HookEvent::Test]);
    assert_eq!(kinds("WebhookEvent"), hooks.map(|event| event.name().to_owned()).collect());
}
