//! What of a newer document breaks clients that were written against an older one.
//!
//! A request may ask for less and take more; an answer may say more and never less. What is only added breaks nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{operations, resolve};

/// Which way a schema is sent: clients send requests, and read answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// Everything that breaks, one line each.
pub fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, found: Vec::new(), seen: BTreeSet::new() };
    let known: BTreeMap<(String, String), &Value> =
        operations(new).map(|(method, path, operation)| ((method, plain(path)), operation)).collect();
    for (method, path, operation) in operations(old) {
        let what = format!("{method} {path}");
        match known.get(&(method, plain(path))) {
            Some(newer) => comparison.operation(&what, operation, newer),
            None => comparison.say(&what, "is gone"),
        }
    }
    comparison.found
}

/// A path without the names of its parameters, which clients do not send.
fn plain(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    found: Vec<String>,
    /// Pairs of references that were compared already, or are being compared: schemas may hold themselves.
    seen: BTreeSet<(String, String, bool)>,
}

impl<'a> Comparison<'a> {
    fn say(&mut self, what: &str, problem: &str) {
        self.found.push(format!("{what}: {problem}"));
    }

    fn operation(&mut self, what: &str, old: &'a Value, new: &'a Value) {
        let needs =
            |operation: &Value| operation["security"].as_array().is_some_and(|needs| !needs.is_empty());
        if needs(new) && !needs(old) {
            self.say(what, "needs a token now");
        }
        if new["operationId"] != old["operationId"] {
            self.say(what, "has another operationId, by which generated clients call it");
        }
        self.parameters(what, old, new);
        self.body(what, resolve(self.old, &old["requestBody"]), resolve(self.new, &new["requestBody"]));
        for (status, answer) in object(&old["responses"]) {
            let what = format!("{what} {status}");
            match new["responses"].get(status) {
                Some(newer) => self.answer(&what, resolve(self.old, answer), resolve(self.new, newer)),
                None => self.say(&what, "is no longer answered"),
            }
        }
    }

    fn parameters(&mut self, what: &str, old: &'a Value, new: &'a Value) {
        let list = |document: &'a Value, operation: &'a Value| -> Vec<&'a Value> {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.map(|parameter| resolve(document, parameter)).collect()
        };
        let (older, newer) = (list(self.old, old), list(self.new, new));
        let key = |parameter: &Value| (parameter["in"].clone(), parameter["name"].clone());
        // Parameters of the path are told apart by their place, and the path is the same.
        let is_sent = |parameter: &&&Value| parameter["in"] != "path";
        for parameter in older.iter().filter(is_sent) {
            let what = format!("{what} parameter {}", text(&parameter["name"]));
            match newer.iter().find(|candidate| key(candidate) == key(parameter)) {
                None => self.say(&what, "is gone"),
                Some(candidate) => {
                    if candidate["required"] == true && parameter["required"] != true {
                        self.say(&what, "became required");
                    }
                    self.schema(&what, &parameter["schema"], &candidate["schema"], Way::Request);
                }
            }
        }
        for parameter in newer.iter().filter(is_sent).filter(|parameter| parameter["required"] == true) {
            if !older.iter().any(|candidate| key(candidate) == key(parameter)) {
                self.say(&format!("{what} parameter {}", text(&parameter["name"])), "is new and required");
            }
        }
    }

    fn body(&mut self, what: &str, old: &'a Value, new: &'a Value) {
        let what = format!("{what} body");
        if new["required"] == true && old["required"] != true {
            self.say(&what, "became required");
        }
        for (media, content) in object(&old["content"]) {
            match new["content"].get(media) {
                Some(newer) => self.schema(&what, &content["schema"], &newer["schema"], Way::Request),
                None => self.say(&what, &format!("is no longer taken as {media}")),
            }
        }
    }

    fn answer(&mut self, what: &str, old: &'a Value, new: &'a Value) {
        for (media, content) in object(&old["content"]) {
            match new["content"].get(media) {
                Some(newer) => self.schema(what, &content["schema"], &newer["schema"], Way::Answer),
                None => self.say(what, &format!("is no longer answered as {media}")),
            }
        }
        for (name, _) in object(&old["headers"]) {
            if new["headers"].get(name).is_none() {
                self.say(what, &format!("has no header {name} any more"));
            }
        }
    }

    fn schema(&mut self, what: &str, old: &'a Value, new: &'a Value, way: Way) {
        if let (Some(older), Some(newer)) = (old["$ref"].as_str(), new["$ref"].as_str())
            && !self.seen.insert((older.to_owned(), newer.to_owned(), way == Way::Request))
        {
            // Said where it was first seen.
            return;
        }
        let (old, new) = (resolve(self.old, old), resolve(self.new, new));
        self.choices(what, old, new, way);
        self.kinds(what, old, new, way);
        self.words(what, old, new, way);
        if old["format"] != new["format"] && !(way == Way::Request && new["format"].is_null()) {
            let formats = (text(&old["format"]), text(&new["format"]));
            if way == Way::Request || !old["format"].is_null() {
                self.say(what, &format!("changed its format from {} to {}", formats.0, formats.1));
            }
        }
        if way == Way::Request {
            self.limits(what, old, new);
        }
        self.properties(what, old, new, way);
        if old["items"].is_object() || new["items"].is_object() {
            self.schema(&format!("{what}[]"), &old["items"], &new["items"], way);
        }
        if old["additionalProperties"].is_object() && new["additionalProperties"].is_object() {
            let what = format!("{what}.*");
            self.schema(&what, &old["additionalProperties"], &new["additionalProperties"], way);
        }
    }

    fn properties(&mut self, what: &str, old: &'a Value, new: &'a Value, way: Way) {
        let (was, is) = (names(&old["required"]), names(&new["required"]));
        for (name, schema) in object(&old["properties"]) {
            let what = format!("{what}.{name}");
            let Some(newer) = new["properties"].get(name) else {
                self.say(&what, "is gone");
                continue;
            };
            match way {
                Way::Request if is.contains(name) && !was.contains(name) => {
                    self.say(&what, "became required");
                }
                Way::Answer if was.contains(name) && !is.contains(name) => {
                    self.say(&what, "is not always there any more");
                }
                Way::Request | Way::Answer => {}
            }
            self.schema(&what, schema, newer, way);
        }
        if way == Way::Request {
            for (name, _) in object(&new["properties"]) {
                if is.contains(name) && old["properties"].get(name).is_none() {
                    self.say(&format!("{what}.{name}"), "is new and required");
                }
            }
            if new["additionalProperties"] == false && old["additionalProperties"] != false {
                self.say(what, "takes no other fields any more");
            }
        }
    }

    fn kinds(&mut self, what: &str, old: &Value, new: &Value, way: Way) {
        let (was, is) = (kinds(old), kinds(new));
        let (narrow, wide) = if way == Way::Request { (&was, &is) } else { (&is, &was) };
        // No type is every type.
        let fits = wide.is_empty()
            || (!narrow.is_empty()
                && narrow
                    .iter()
                    .all(|kind| wide.contains(kind) || (kind == "integer" && wide.contains("number"))));
        if !fits {
            let name = |kinds: &BTreeSet<String>| {
                if kinds.is_empty() {
                    "anything".to_owned()
                } else {
                    kinds.iter().cloned().collect::<Vec<_>>().join("|")
                }
            };
            self.say(what, &format!("changed its type from {} to {}", name(&was), name(&is)));
        }
    }

    /// A request may not lose a word that clients send. Answers may use new ones: clients are told to expect that.
    fn words(&mut self, what: &str, old: &Value, new: &Value, way: Way) {
        if way == Way::Answer || new["enum"].is_null() {
            return;
        }
        let taken = new["enum"].as_array().cloned().unwrap_or_default();
        match old["enum"].as_array() {
            None => self.say(what, "takes only some words now"),
            Some(words) => {
                for word in words.iter().filter(|word| !taken.contains(word)) {
                    self.say(what, &format!("does not take {word} any more"));
                }
            }
        }
    }

    fn limits(&mut self, what: &str, old: &Value, new: &Value) {
        for (name, is_floor) in [
            ("minimum", true),
            ("exclusiveMinimum", true),
            ("minLength", true),
            ("minItems", true),
            ("minProperties", true),
            ("maximum", false),
            ("exclusiveMaximum", false),
            ("maxLength", false),
            ("maxItems", false),
            ("maxProperties", false),
        ] {
            let Some(limit) = new[name].as_f64() else { continue };
            let is_narrower = match old[name].as_f64() {
                Some(before) => (is_floor && limit > before) || (!is_floor && limit < before),
                None => !(is_floor && name.starts_with("min") && limit == 0.0),
            };
            if is_narrower {
                self.say(
                    what,
                    &format!("has a narrower {name}: {} before, {} now", text(&old[name]), new[name]),
                );
            }
        }
        if !new["pattern"].is_null() && new["pattern"] != old["pattern"] {
            self.say(what, "has another pattern");
        }
    }

    /// Of `oneOf`, `anyOf` and `allOf`.
    fn choices(&mut self, what: &str, old: &'a Value, new: &'a Value, way: Way) {
        let (was, is) = (choices(old), choices(new));
        if was.is_empty() && is.is_empty() {
            return;
        }
        let was = if was.is_empty() { vec![old] } else { was };
        let is = if is.is_empty() { vec![new] } else { is };
        let (narrow, wide) = if way == Way::Request { (&was, &is) } else { (&is, &was) };
        for choice in narrow {
            if let Some(same) = wide.iter().find(|candidate| same_choice(candidate, choice)) {
                let (older, newer) = if way == Way::Request { (*choice, *same) } else { (*same, *choice) };
                // The whole schema stands for its only choice; its own parts are compared anyway.
                if !std::ptr::eq(older, old) && !std::ptr::eq(newer, new) {
                    self.schema(what, older, newer, way);
                }
            } else if way == Way::Request {
                self.say(what, &format!("does not take {} any more", name_of(choice)));
            } else {
                self.say(what, &format!("may be {} now", name_of(choice)));
            }
        }
    }
}

fn same_choice(left: &Value, right: &Value) -> bool {
    left["$ref"] == right["$ref"] && (left["$ref"].is_string() || left["type"] == right["type"])
}

fn name_of(choice: &Value) -> String {
    let reference = choice["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    reference.map_or_else(|| text(&choice["type"]), str::to_owned)
}

fn choices(schema: &Value) -> Vec<&Value> {
    ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema[name].as_array()).flatten().collect()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn kinds(schema: &Value) -> BTreeSet<String> {
    match &schema["type"] {
        Value::String(kind) => BTreeSet::from([kind.clone()]),
        kinds => names(kinds),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
