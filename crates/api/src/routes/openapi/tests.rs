use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use actix_web::{
    App,
    dev::Service,
    http::{Method, StatusCode},
    test,
};

use super::*;

/// What is served and is no part of the API: pages for people.
const PAGES: [&str; 2] = ["/docs", "/docs/{}"];

/// A method and a path whose parameters are called `{}`: the router and the document may name them differently.
type Route = (String, String);

fn plain(path: &str) -> String {
    let parts = path.split_inclusive('}').map(|part| match part.split_once('{') {
        Some((fixed, _)) => format!("{fixed}{{}}"),
        None => part.to_owned(),
    });
    parts.collect()
}

/// The patterns in what `Debug` prints of actix's resource map, each behind those of the scopes around it.
fn patterns(printed: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut scopes: Vec<(usize, String)> = Vec::new();
    let (mut depth, mut pattern) = (0_usize, String::new());
    let mut rest = printed;
    while let Some(next) = rest.chars().next() {
        if let Some(text) = rest.strip_prefix("patterns: Single(\"") {
            let (name, behind) = text.split_once('"').unwrap();
            pattern = scopes.iter().map(|(_, scope)| scope.as_str()).chain([name]).collect();
            depth += 1;
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("nodes: Some([") {
            depth += 2;
            scopes.push((depth, pattern.split_off(scopes.iter().map(|(_, scope)| scope.len()).sum())));
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("nodes: None") {
            found.insert(std::mem::take(&mut pattern));
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('"') {
            // Text may hold any bracket.
            let mut is_escaped = false;
            let end = behind.find(|character| {
                let ends = character == '"' && !is_escaped;
                is_escaped = character == '\\' && !is_escaped;
                ends
            });
            rest = &behind[end.unwrap() + 1..];
        } else {
            match next {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => {
                    if scopes.last().is_some_and(|(at, _)| *at == depth) {
                        scopes.pop();
                    }
                    depth -= 1;
                }
                _ => {}
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    found
}

/// A path that the pattern matches.
fn example(pattern: &str) -> String {
    plain(pattern).replace("{}", "0190a0b0-0000-7000-8000-000000000000")
}

#[actix_web::test]
async fn every_route_of_the_router_is_in_the_document_and_every_operation_is_routed() {
    let printed = Rc::new(RefCell::new(String::new()));
    let seen = Rc::clone(&printed);
    let app = test::init_service(App::new().configure(crate::routes::configure).wrap_fn(
        move |request, service| {
            *seen.borrow_mut() = format!("{:?}", request.request().resource_map());
            service.call(request)
        },
    ))
    .await;
    test::call_service(&app, test::TestRequest::get().uri("/nowhere").to_request()).await;
    let patterns = patterns(&printed.borrow());
    assert!(patterns.len() > 30, "{patterns:?}");

    let mut routed: BTreeSet<Route> = BTreeSet::new();
    for pattern in patterns.iter().filter(|pattern| !PAGES.contains(&plain(pattern).as_str())) {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = test::TestRequest::with_uri(&example(pattern)).method(method.clone());
            // There is no context here, so handlers fail; only what no handler takes is a 405.
            let answer = test::try_call_service(&app, request.to_request()).await;
            let status =
                answer.map_or_else(|error| error.as_response_error().status_code(), |answer| answer.status());
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {pattern}");
            if status != StatusCode::METHOD_NOT_ALLOWED {
                routed.insert((method.to_string(), plain(pattern)));
            }
        }
    }
    let contract = contract().unwrap();
    let mut documented: BTreeSet<Route> = BTreeSet::new();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert((method.to_uppercase(), plain(path)));
        }
    }
    let missing: Vec<&Route> = routed.difference(&documented).collect();
    assert!(missing.is_empty(), "routes that the document does not have: {missing:?}");
    let unrouted: Vec<&Route> = documented.difference(&routed).collect();
    assert!(unrouted.is_empty(), "operations that no route serves: {unrouted:?}");
}

#[::core::prelude::v1::test]
fn operations_say_what_they_do_and_can_meet() {
    let contract = contract().unwrap();
    let mut ids = BTreeMap::new();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let what = format!("{} {path}", method.to_uppercase());
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{what} has no summary"
            );
            let id = operation["operationId"].as_str().unwrap();
            assert_eq!(ids.insert(id.to_owned(), what.clone()), None, "{what}: {id} is taken");
            let tag = operation["tags"][0].as_str().unwrap();
            let tags = contract["tags"].as_array().unwrap();
            assert!(tags.iter().any(|known| known["name"] == tag), "{what}: the tag {tag} is not described");
            let mut kinds = BTreeSet::new();
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let answer = match answer["$ref"].as_str() {
                    Some(reference) => contract.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
                    None => answer,
                };
                assert!(
                    answer["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{what}: {status}"
                );
                assert!(answer.get("content").is_none_or(Value::is_object), "{what}: {status}");
                assert!(answer["headers"]["X-Request-Id"].is_object(), "{what}: {status}");
                kinds.insert(status.as_str());
            }
            let is_guarded = operation["security"].as_array().is_some_and(|needs| !needs.is_empty());
            assert!(!is_guarded || (kinds.contains("401") && kinds.contains("403")), "{what}");
            assert!(
                operation["requestBody"].is_null() || kinds.is_superset(&BTreeSet::from(["413", "422"])),
                "{what}"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                let is_in_path = path.contains(&format!("{{{name}}}"));
                assert!(
                    parameter["$ref"].is_string() || (parameter["in"] == "path") == is_in_path,
                    "{what}: {name}"
                );
            }
        }
    }
}

#[::core::prelude::v1::test]
fn links_lead_to_operations_and_their_parameters() {
    let contract = contract().unwrap();
    let paths = contract["paths"].as_object().unwrap();
    let operations: BTreeMap<&str, &Value> = paths
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| (operation["operationId"].as_str().unwrap(), operation))
        .collect();
    for (from, status, _, to, parameter) in complete::LINKS {
        let answer = operations.get(from).map(|operation| &operation["responses"][status]);
        assert!(answer.is_some_and(|answer| answer["links"][to].is_object()), "{from} {status} -> {to}");
        let parameters =
            operations.get(to).unwrap_or_else(|| panic!("{to} is no operation"))["parameters"].as_array();
        assert!(
            parameters.unwrap().iter().any(|known| known["name"] == parameter),
            "{to} has no {parameter}"
        );
    }
}
