//! From merged values to typed sections, finding every fault in one go.

use std::collections::BTreeMap;

use figment::{
    error::{Actual, Kind},
    value::{Dict, Empty, Value},
};

use super::{Config, Faults, Setting, layers::Layers};

/// Keys whose values never leave the process.
pub(super) const SECRETS: [&str; 10] = [
    "aws.client_secret",
    "aws.secret_access_key",
    "inference.server.key",
    "insight.gemini.access_token",
    "insight.gemini.api_key",
    "insight.openai.api_key",
    "mail.smtp.password",
    "postgres.url",
    "redis.url",
    "telemetry.user_hash_key",
];

/// Decodes what `layers` merged. Decoding stops at the first fault, so the faulty value is noted, replaced by its default, and the
/// decoding begins again.
pub(super) fn decode(layers: &Layers, faults: &mut Faults) -> (Config, Value) {
    let mut tree = layers.merged.find_value("").unwrap_or_else(|_| layers.defaults.clone());
    loop {
        let error = match tree.deserialize::<Config>() {
            Ok(config) => return (config, tree),
            Err(error) => error,
        };
        let path = faulty(&tree, &error.path);
        let key = path.join(".");
        let source = tree.find_ref(&key).map_or_else(String::new, |value| layers.source_of(value.tag()));
        faults.push(&key, source, problem(&error.kind, layers.defaults.find_ref(&key)));
        replace(&mut tree, path, layers.defaults.find_ref(&key).cloned());
    }
}

/// The part of `path` that exists in `tree`: an error inside a list is its key's. A path that leads nowhere means the whole tree.
fn faulty<'a>(tree: &Value, path: &'a [String]) -> &'a [String] {
    let mut node = tree;
    for (depth, step) in path.iter().enumerate() {
        match node {
            Value::Dict(_, children) if children.contains_key(step) => node = &children[step],
            _ => return &path[..depth],
        }
    }
    path
}

fn problem(kind: &Kind, default: Option<&Value>) -> String {
    // Only a plain value with a default is sure not to be a secret.
    let shown = |actual: &Actual| match (default, actual) {
        (Some(Value::Dict(..)) | None, _) | (_, Actual::Map) => "something else".to_owned(),
        (Some(_), actual) => actual.to_string(),
    };
    match kind {
        Kind::UnknownField(name, known) => format!("there is no such key{}", suggestion(name, known)),
        Kind::UnknownVariant(name, known) => {
            format!("`{name}` is not one of {}{}", known.join(", "), suggestion(name, known))
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("expected {}, found {}", in_words(expected), shown(actual))
        }
        other => other.to_string(),
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        text if text.starts_with("struct ") => "a table of keys",
        "u32" | "u64" | "usize" => "a whole number, not negative",
        "f64" => "a number",
        "a boolean" => "true or false",
        text => text,
    }
}

fn suggestion(name: &str, known: &[&str]) -> String {
    let closest = known.iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let closest = closest.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    closest.map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// Puts `value` at `path`, or takes away what is there.
fn replace(tree: &mut Value, path: &[String], value: Option<Value>) {
    match (tree, path) {
        (tree, []) => *tree = value.unwrap_or_else(|| Value::from(Dict::new())),
        (Value::Dict(_, children), [last]) => {
            children.remove(last);
            children.extend(value.map(|value| (last.clone(), value)));
        }
        (Value::Dict(_, children), [first, rest @ ..]) => {
            if let Some(child) = children.get_mut(first) {
                replace(child, rest, value);
            }
        }
        _ => {}
    }
}

/// All plain values of `tree` by dotted key, with sources, secrets hidden.
pub(super) fn settings(tree: &Value, layers: &Layers) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for (key, value) in leaves(tree) {
        let shown = if SECRETS.contains(&key.as_str()) {
            serde_json::Value::from("***")
        } else {
            serde_json::to_value(value).unwrap_or_default()
        };
        settings.insert(key, Setting { value: shown, source: layers.source_of(value.tag()) });
    }
    settings
}

/// The values of `tree` that are no tables, each with its dotted key.
pub(super) fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(value: &'a Value, key: &str, found: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Dict(_, children) => {
                for (name, child) in children {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    walk(child, &key, found);
                }
            }
            Value::Empty(_, Empty::None) => {}
            leaf => found.push((key.to_owned(), leaf)),
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    found
}
