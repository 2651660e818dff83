//! The OpenAPI document is what the server does.

use std::collections::BTreeSet;

use e2e::{
    Phone,
    contract::{self, RESPONSE_FIELDS, SNAPSHOT},
};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Server, Shared, new_id, problem, run, stdout_json, until};

static SHARED: Shared = Shared::new();

struct Operation {
    method: Method,
    /// As it is documented.
    template: String,
    /// With something in each place.
    path: String,
    needs_token: bool,
    statuses: BTreeSet<String>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut path = String::new();
            for part in template.split_inclusive('}') {
                let (fixed, has_place) =
                    part.split_once('{').map_or((part, false), |(fixed, _)| (fixed, true));
                path.push_str(fixed);
                if has_place {
                    path.push_str(&new_id());
                }
            }
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                template: template.clone(),
                path,
                needs_token: operation["security"].as_array().is_some_and(|needs| !needs.is_empty()),
                statuses: operation["responses"].as_object().unwrap().keys().cloned().collect(),
            });
        }
    }
    operations
}

async fn document(server: &Server) -> Value {
    reqwest::get(server.url("/api/v1/openapi.json")).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn every_documented_operation_is_there_and_answers_as_documented() {
    let server = Server::start(&[("telemetry.log_format", "json"), ("telemetry.log_level", "info")]);
    let operations = operations(&document(&server).await);
    assert!(operations.len() > 30, "{} operations", operations.len());
    let mut undocumented = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        // Each as somebody new: one of them signs out.
        let phone: Phone = server.phone().await;
        let request = phone
            .client
            .request(operation.method.clone(), server.url(&operation.path))
            .bearer_auth(&phone.access_token)
            .header("x-request-id", format!("operation-{at}"));
        // Only the head: one of them streams.
        let answer = request.send().await.unwrap();
        let what = format!("{} {}", operation.method, operation.template);
        assert_ne!(answer.status(), 405, "{what}");
        assert!(!answer.status().is_server_error(), "{what}: {}", answer.status());
        if !operation.statuses.contains(answer.status().as_str()) {
            undocumented.push(format!("{what}: {}", answer.status()));
        }
    }
    assert_eq!(undocumented, Vec::<String>::new());
    // A missing thing and a missing route look alike from outside; the access log tells them apart.
    let last = format!("operation-{}", operations.len() - 1);
    until("the access log", async || server.started.log().contains(&last)).await;
    let log = server.started.log();
    for (at, operation) in operations.iter().enumerate() {
        let of_operation =
            |line: &Value| line["request_id"] == format!("operation-{at}") && line["route"].is_string();
        let line = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(of_operation);
        let line = line.unwrap_or_else(|| panic!("no line of {} {}", operation.method, operation.template));
        assert_ne!(line["route"], "unmatched", "{} {}", operation.method, operation.template);
    }
}

#[tokio::test]
async fn what_needs_a_token_refuses_without_one_before_anything_else() {
    let server = SHARED.get();
    let client = reqwest::Client::new();
    let mut guarded = 0;
    for operation in operations(&document(&server).await) {
        let request = client.request(operation.method.clone(), server.url(&operation.path));
        let what = format!("{} {}", operation.method, operation.template);
        if operation.needs_token {
            guarded += 1;
            // Without a body: who is not let in is not told what is wrong with one.
            let answer = e2e::read(request).await.unwrap();
            assert_eq!(problem(&answer, 401), "unauthorized", "{what}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
            assert!(operation.statuses.contains("401"), "{what} does not document 401");
        } else {
            // Whoever refreshes without a token is refused, for want of the other kind.
            let is_refresh = operation.template.ends_with("/auth/refresh");
            assert_eq!(request.send().await.unwrap().status() == 401, is_refresh, "{what}");
        }
    }
    assert!(guarded > 20, "{guarded} operations need a token");
}

#[tokio::test]
async fn every_example_is_what_the_document_says_and_uploads_are_taken_as_they_are_shown() {
    let server = SHARED.get();
    let document = document(&server).await;
    assert_eq!(contract::misfits(&document), Vec::<String>::new());

    let phone = server.phone().await;
    for path in [
        "healthkit",
        "health-data",
        "health-data/upload",
        "health-data/batch",
        "pat/step-analysis",
        "pat/analysis",
        "insights",
    ] {
        let operation = &document["paths"][format!("/api/v1/{path}")]["post"];
        let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
        name_the_user(&mut body, &phone.user_id);
        let answer = e2e::read(phone.request(Method::POST, path).json(&body)).await.unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        for refused in ["rejected_metrics", "failed_count", "skipped_samples"] {
            assert!(answer.body[refused].as_u64().is_none_or(|count| count == 0), "{path}: {}", answer.body);
        }
    }
}

/// Makes whoever the body names this user.
fn name_the_user(body: &mut Value, user_id: &str) {
    match body {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "user_id" { *field = user_id.into() } else { name_the_user(field, user_id) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| name_the_user(item, user_id)),
        _ => {}
    }
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole_and_the_command_line_prints_the_same() {
    let server = SHARED.get();
    let document = document(&server).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "two operations are called {id}");
        }
    }
    let printed = run(&["openapi"]);
    assert!(printed.status.success());
    assert_eq!(stdout_json(&printed), document);
}

#[tokio::test]
async fn the_documentation_is_a_page() {
    let server = SHARED.get();
    for path in ["/docs/", "/docs", "/docs/index.html"] {
        let answer = reqwest::get(server.url(path)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        // The page and what it loads come from the binary.
        let page = answer.text().await.unwrap();
        assert!(page.contains("swagger-ui") && !page.contains("https://"), "{path}");
    }
    for part in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        let answer = reqwest::get(server.url(&format!("/docs/{part}"))).await.unwrap();
        assert_eq!(answer.status(), 200, "{part}");
    }
    let initializer =
        reqwest::get(server.url("/docs/swagger-initializer.js")).await.unwrap().text().await.unwrap();
    assert!(initializer.contains("/api/v1/openapi.json"));
}

#[test]
fn a_change_of_the_contract_is_made_on_purpose() {
    let document = contract::document().unwrap();
    let snapshot: Value = serde_json::from_str(SNAPSHOT).unwrap();
    let breaking = contract::breaking(&snapshot, &document);
    assert!(
        breaking.is_empty(),
        "breaking:\n  {}\nClients that were written against the snapshot break. If that is meant, `make contract BREAKING=1` \
         renews it.",
        breaking.join("\n  ")
    );
    assert!(
        document == snapshot && contract::response_fields(&document) == RESPONSE_FIELDS,
        "the document has changed and breaks no client: `make contract` renews the snapshot under tests/contract"
    );
}
