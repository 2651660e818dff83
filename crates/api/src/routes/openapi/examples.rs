//! An example of every JSON body: what a phone sent, and what it was answered, about one simulated person.
//!
//! They were recorded from a server. Ids, dates and tokens are made short and steady, and most lists are cut to two items.

use serde_json::{Map, Value};

const RECORDED: &str = include_str!("examples.json");

/// Puts each example where its body is described. An operation that answers like another one names it.
pub(super) fn add(document: &mut Value) -> serde_json::Result<()> {
    let recorded: Map<String, Value> = serde_json::from_str(RECORDED)?;
    for (operation, example) in &recorded {
        let example = example.as_str().and_then(|other| recorded.get(other)).unwrap_or(example);
        let Some((method, path)) = operation.split_once(' ') else { continue };
        let operation = &mut document["paths"][path][method.to_lowercase()];
        put(&mut operation["requestBody"], example.get("request"));
        for (status, body) in example["responses"].as_object().into_iter().flatten() {
            put(&mut operation["responses"][status], Some(body));
        }
    }
    Ok(())
}

fn put(described: &mut Value, example: Option<&Value>) {
    if let (Some(content), Some(example)) = (described.pointer_mut("/content/application~1json"), example) {
        content["example"] = example.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::openapi::contract;

    #[test]
    fn every_json_body_has_an_example() {
        let document = contract().unwrap();
        let mut missing = Vec::new();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                let answers = answers.iter().filter(|(status, _)| status.starts_with('2'));
                let bodies = answers.map(|(status, answer)| (status.as_str(), answer));
                for (name, body) in bodies.chain([("request", &operation["requestBody"])]) {
                    let Some(content) = body["content"].get("application/json") else { continue };
                    seen += 1;
                    // The document itself is no example of anything.
                    if content.get("example").is_none() && path != "/api/v1/openapi.json" {
                        missing.push(format!("{method} {path} {name}"));
                    }
                }
            }
        }
        assert!(seen > 80, "{seen} bodies");
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn every_example_is_of_an_operation() {
        let recorded: Map<String, Value> = serde_json::from_str(RECORDED).unwrap();
        let document = contract().unwrap();
        for (operation, example) in &recorded {
            let (method, path) = operation.split_once(' ').unwrap();
            let operation = &document["paths"][path][method.to_lowercase()];
            assert!(operation["operationId"].is_string(), "{method} {path} is not documented");
            if let Some(other) = example.as_str() {
                assert!(recorded[other].is_object(), "{method} {path} names no example");
            }
        }
    }
}
