//! The fields of every answer, one a line, so that a change of one is seen in a review.

use std::fmt::Write as _;

use serde_json::Value;

use super::{operations, resolve};

/// One line a field: method, path, status, where the field is, its type, and whether it is always there. Refusals share their
/// fields, so they are one line each.
pub fn response_fields(document: &Value) -> String {
    let mut list = String::new();
    for (method, path, operation) in operations(document) {
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let answer = resolve(document, answer);
            let start = format!("{method} {path} {status}");
            let Some(content) = answer["content"].as_object() else {
                line(&mut list, &start, "no body");
                continue;
            };
            for (media, content) in content {
                if media == "application/problem+json" {
                    line(&mut list, &start, "problem");
                } else {
                    let start =
                        if media == "application/json" { start.clone() } else { format!("{start} {media}") };
                    let schema = &content["schema"];
                    Walk { document, start: &start, list: &mut list, refs: Vec::new() }
                        .field("", schema, "required");
                }
            }
        }
    }
    list
}

fn line(list: &mut String, start: &str, what: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(list, "{start}: {what}");
}

struct Walk<'a> {
    document: &'a Value,
    start: &'a str,
    list: &'a mut String,
    refs: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn field(&mut self, at: &str, schema: &'a Value, presence: &str) {
        let (schema, is_nullable) = not_null(schema);
        let reference = schema["$ref"].as_str();
        let resolved = resolve(self.document, schema);
        let name = kind(resolved, is_nullable);
        line(self.list, self.start, &format!("{} {name} {presence}", if at.is_empty() { "." } else { at }));
        if let Some(reference) = reference {
            if self.refs.contains(&reference) {
                return;
            }
            self.refs.push(reference);
        }
        let required = resolved["required"].as_array();
        for (property, schema) in resolved["properties"].as_object().into_iter().flatten() {
            let is_required = required.is_some_and(|names| names.iter().any(|name| name == property));
            let presence = if is_required { "required" } else { "optional" };
            self.field(&format!("{at}.{property}"), schema, presence);
        }
        if resolved["items"].is_object() {
            self.field(&format!("{at}[]"), &resolved["items"], "required");
        }
        if resolved["additionalProperties"].is_object() {
            self.field(&format!("{at}.*"), &resolved["additionalProperties"], "optional");
        }
        for choice in resolved["oneOf"].as_array().into_iter().flatten() {
            let name = choice["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
            self.field(&format!("{at}<{}>", name.unwrap_or("other")), choice, "required");
        }
        if reference.is_some() {
            self.refs.pop();
        }
    }
}

/// The schema beside `null`, where that is the only other choice.
fn not_null(schema: &Value) -> (&Value, bool) {
    let choices = schema["oneOf"].as_array().map(Vec::as_slice);
    match choices {
        Some([nothing, schema]) if nothing["type"] == "null" => (schema, true),
        _ => (schema, false),
    }
}

fn kind(schema: &Value, is_nullable: bool) -> String {
    let mut name = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|"),
        _ if schema["oneOf"].is_array() => "one of several".to_owned(),
        _ => "anything".to_owned(),
    };
    if is_nullable {
        name.push_str("|null");
    }
    if let Some(format) = schema["format"].as_str() {
        let _written = write!(name, "({format})");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let _written = write!(name, "[{}]", words.join(","));
    }
    name
}
