//! Whether an answer is what the document says: its status, its content type, its headers, and every field of its body.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::{operations, resolve};

/// A request and what came back, as far as the contract speaks of them.
pub struct Exchange<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub content_type: Option<&'a str>,
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a Value,
}

/// The document, closed to what it does not name, and the validators that were made of it.
pub struct Validators {
    document: Value,
    made: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Validators {
    pub fn new(mut document: Value) -> Self {
        close(&mut document["components"]["schemas"]);
        Self { document, made: Mutex::default() }
    }

    fn validator(&self, name: &str, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = made.get(name) {
            return Ok(Arc::clone(validator));
        }
        let whole =
            json!({ "allOf": [schema], "components": { "schemas": self.document["components"]["schemas"] } });
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .map_err(|error| format!("{name}: the schema is not one: {error}"))?;
        let validator = Arc::new(validator);
        made.insert(name.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }
}

/// A field that the document does not name is a fault of the document, so no schema with fields takes others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The examples of bodies that are not what the document says of those bodies. Phones may send more than it names.
pub fn misfits(document: &Value) -> Vec<String> {
    let closed = Validators::new(document.clone());
    let open = Validators { document: document.clone(), made: Mutex::default() };
    let mut misfits = Vec::new();
    for (method, path, operation) in operations(document) {
        let answers = operation["responses"].as_object().into_iter().flatten();
        let answers = answers.map(|(status, answer)| (status.as_str(), answer));
        for (name, body) in answers.chain([("request", &operation["requestBody"])]) {
            let validators = if name == "request" { &open } else { &closed };
            for content in resolve(document, body)["content"].as_object().into_iter().flatten() {
                let (kind, Value::Object(content)) = content else { continue };
                let (Some(schema), Some(example)) = (content.get("schema"), content.get("example")) else {
                    continue;
                };
                let what = format!("{method} {path} {name} {kind}");
                let fault = match validators.validator(&what, schema) {
                    Ok(validator) => validator
                        .iter_errors(example)
                        .next()
                        .map(|error| format!("{what}: {error} at {}", error.instance_path())),
                    Err(fault) => Some(fault),
                };
                misfits.extend(fault);
            }
        }
    }
    misfits
}

/// What of the answer the document does not say; `None` where it says all of it.
pub fn undocumented(validators: &Validators, exchange: &Exchange<'_>) -> Option<String> {
    let Exchange { method, path, status, .. } = exchange;
    let document = &validators.document;
    let mut at_path = operations(document).filter(|(_, template, _)| matches(template, path)).peekable();
    // Whatever is no part of the document has no contract, but for how it is refused.
    at_path.peek()?;
    let mut at_path: Vec<_> = at_path.collect();
    // A fixed path comes before one with a parameter.
    at_path.sort_by_key(|(_, template, _)| template.matches('{').count());
    let method = if *method == "HEAD" { "GET" } else { method };
    let Some((_, template, operation)) = at_path.iter().find(|(known, ..)| known == method) else {
        let is_refused = *status == 405 || method == "OPTIONS" || *status >= 400;
        return (!is_refused).then(|| format!("{method} {path} is not in the document and answers {status}"));
    };
    let what = format!("{method} {template} {status}");
    let Some(answer) = operation["responses"].get(status.to_string()) else {
        return Some(format!("{what} is not in the document: {}", exchange.body));
    };
    let answer = resolve(document, answer);
    for (name, header) in answer["headers"].as_object().into_iter().flatten() {
        if resolve(document, header)["required"] == true && (exchange.header)(name).is_none() {
            return Some(format!("{what} has no header {name}"));
        }
    }
    // A HEAD and a 304 have the headers of the body that they do not have.
    if exchange.body.is_null() {
        return None;
    }
    let Some(content) = answer["content"].as_object() else {
        return Some(format!("{what} has a body and should not: {}", exchange.body));
    };
    let media = exchange.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let Some(media_type) = content.get(media) else {
        return Some(format!(
            "{what} is `{media}` and should be one of {:?}",
            content.keys().collect::<Vec<_>>()
        ));
    };
    let validator = match validators.validator(&format!("{what} {media}"), &media_type["schema"]) {
        Ok(validator) => validator,
        Err(problem) => return Some(problem),
    };
    let faults: Vec<String> = validator
        .iter_errors(exchange.body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    (!faults.is_empty()).then(|| format!("{what}: {}", faults.join("; ")))
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path) = (template.trim_end_matches('/'), path.trim_end_matches('/'));
    if let Some(prefix) = template.strip_suffix("{key}") {
        return path.strip_prefix(prefix).is_some_and(|key| !key.is_empty());
    }
    let (mut parts, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || (part.starts_with('{') && !text.is_empty()) => {}
            _ => return false,
        }
    }
}
