use super::*;
use serde_json::json;

fn document() -> Value {
    json!({
        "paths": {
            "/things/{id}": {
                "get": {
                    "operationId": "get_thing",
                    "parameters": [
                        { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
                        { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
                    ],
                    "responses": {
                        "200": {
                            "headers": { "ETag": { "schema": { "type": "string" } } },
                            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } },
                        },
                        "404": { "$ref": "#/components/responses/NotFound" },
                    },
                },
                "delete": { "operationId": "delete_thing", "responses": { "200": {} } },
            },
            "/things": {
                "post": {
                    "operationId": "make_thing",
                    "requestBody": {
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/NewThing" } } },
                    },
                    "responses": { "201": {} },
                },
            },
        },
        "components": {
            "responses": { "NotFound": { "content": { "application/problem+json": { "schema": { "type": "object" } } } } },
            "schemas": {
                "Thing": {
                    "type": "object",
                    "required": ["id", "parts"],
                    "properties": {
                        "id": { "type": "string", "format": "uuid" },
                        "name": { "type": ["string", "null"] },
                        "size": { "type": "integer" },
                        "state": { "type": "string", "enum": ["on", "off"] },
                        "owner": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Owner" }] },
                        "parts": { "type": "array", "items": { "$ref": "#/components/schemas/Thing" } },
                    },
                },
                "Owner": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } },
                "NewThing": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string", "maxLength": 20, "minLength": 1 },
                        "kind": { "type": "string", "enum": ["a", "b"] },
                        "parts": { "type": "array", "maxItems": 10, "items": { "type": "number" } },
                        "note": { "type": ["string", "null"] },
                    },
                },
            },
        },
    })
}

const THING: &str = "/components/schemas/Thing";
const NEW_THING: &str = "/components/schemas/NewThing";
const GET: &str = "/paths/~1things~1{id}/get";
const POST: &str = "/paths/~1things/post";

/// What breaks when the object at `pointer` gets these fields; `null` takes a field away.
fn planted(pointer: &str, fields: &Value) -> Vec<String> {
    let old = document();
    let mut new = document();
    let target = new.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            target.remove(name).unwrap();
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
    assert_ne!(old, new);
    breaking(&old, &new)
}

#[test]
fn the_same_document_breaks_nothing() {
    assert_eq!(breaking(&document(), &document()), Vec::<String>::new());
}

/// Plants each change, and looks for what must be said of it.
fn all_found(changes: &[(&str, Value, &str)]) {
    for (pointer, fields, expected) in changes {
        let found = planted(pointer, fields);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{pointer} {fields}: {found:?} lacks {expected}"
        );
    }
}

#[test]
fn each_change_of_an_operation_that_breaks_clients_is_found_where_it_is() {
    all_found(&[
        ("/paths", json!({ "/things": null }), "POST /things: is gone"),
        ("/paths/~1things~1{id}", json!({ "delete": null }), "DELETE /things/{id}: is gone"),
        (GET, json!({ "security": [{ "bearer": [] }] }), "GET /things/{id}: needs a token now"),
        (GET, json!({ "operationId": "thing" }), "another operationId"),
        (GET, json!({ "parameters": [] }), "parameter limit: is gone"),
        (&format!("{GET}/parameters/1"), json!({ "required": true }), "parameter limit: became required"),
        (
            &format!("{GET}/parameters/1/schema"),
            json!({ "maximum": 100 }),
            "narrower maximum: 1000 before, 100 now",
        ),
        (&format!("{GET}/parameters/1/schema"), json!({ "minimum": 2 }), "narrower minimum"),
        (&format!("{GET}/parameters/1/schema"), json!({ "type": "string" }), "from integer to string"),
        (&format!("{GET}/responses"), json!({ "404": null }), "GET /things/{id} 404: is no longer answered"),
        (&format!("{GET}/responses/200"), json!({ "headers": {} }), "200: has no header ETag any more"),
        (
            &format!("{GET}/responses/200/content"),
            json!({ "application/json": null }),
            "no longer answered as",
        ),
        ("/components/responses/NotFound", json!({ "content": {} }), "404: is no longer answered as"),
    ]);
}

#[test]
fn each_change_of_a_schema_that_breaks_clients_is_found_where_it_is() {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    all_found(&[
        (&format!("{THING}/properties"), json!({ "size": null }), "GET /things/{id} 200.size: is gone"),
        (&format!("{THING}/properties/size"), json!({ "type": "number" }), "200.size: changed its type"),
        (
            &format!("{THING}/properties/size"),
            json!({ "type": ["integer", "null"] }),
            "200.size: changed its type",
        ),
        (
            &format!("{THING}/properties/size"),
            json!({ "type": null }),
            "200.size: changed its type from integer to anything",
        ),
        (&format!("{THING}/properties/id"), json!({ "format": null }), "200.id: changed its format"),
        (
            &format!("{THING}/properties/owner"),
            json!({ "oneOf": [{ "type": "null" }, reference("Thing")] }),
            "may be Thing",
        ),
        (
            &format!("{THING}/properties"),
            json!({ "id": { "oneOf": [{ "type": "null" }, reference("Owner")] } }),
            "200.id",
        ),
        (THING, json!({ "required": ["id"] }), "200.parts: is not always there any more"),
        ("/components/schemas/Owner/properties", json!({ "name": null }), "200.owner.name: is gone"),
        (&format!("{POST}/requestBody"), json!({ "required": true }), "POST /things body: became required"),
        (&format!("{POST}/requestBody"), json!({ "content": {} }), "no longer taken as application/json"),
        (NEW_THING, json!({ "required": ["name", "note"] }), "body.note: became required"),
        (NEW_THING, json!({ "additionalProperties": false }), "takes no other fields"),
        (&format!("{NEW_THING}/properties"), json!({ "note": null }), "body.note: is gone"),
        (&format!("{NEW_THING}/properties/name"), json!({ "maxLength": 10 }), "narrower maxLength"),
        (&format!("{NEW_THING}/properties/name"), json!({ "minLength": 2 }), "narrower minLength"),
        (&format!("{NEW_THING}/properties/name"), json!({ "pattern": "^a" }), "another pattern"),
        (&format!("{NEW_THING}/properties/name"), json!({ "format": "email" }), "changed its format"),
        (&format!("{NEW_THING}/properties/name"), json!({ "enum": ["a"] }), "only some words"),
        (&format!("{NEW_THING}/properties/kind"), json!({ "enum": ["a"] }), "does not take \"b\" any more"),
        (&format!("{NEW_THING}/properties/parts"), json!({ "maxItems": 5 }), "narrower maxItems"),
        (&format!("{NEW_THING}/properties/parts"), json!({ "minItems": 1 }), "narrower minItems"),
        (
            &format!("{NEW_THING}/properties/parts/items"),
            json!({ "type": "integer" }),
            "body.parts[]: changed its type",
        ),
        (&format!("{NEW_THING}/properties/note"), json!({ "type": "string" }), "body.note: changed its type"),
    ]);
}

#[test]
fn a_new_required_parameter_or_field_breaks_and_an_optional_one_does_not() {
    for (required, count) in [(true, 1), (false, 0)] {
        let mut new = document();
        let parameter =
            json!({ "name": "of", "in": "query", "required": required, "schema": { "type": "string" } });
        new.pointer_mut(GET).unwrap()["parameters"].as_array_mut().unwrap().push(parameter);
        assert_eq!(breaking(&document(), &new).len(), count, "parameter, required: {required}");
        let mut new = document();
        let thing = new.pointer_mut(NEW_THING).unwrap();
        thing["properties"]["colour"] = json!({ "type": "string" });
        if required {
            thing["required"].as_array_mut().unwrap().push(json!("colour"));
        }
        assert_eq!(breaking(&document(), &new).len(), count, "field, required: {required}");
    }
}

#[test]
fn what_is_only_added_or_widened_breaks_nothing() {
    let additions = [
        ("/paths", json!({ "/more": { "get": { "operationId": "more", "responses": { "200": {} } } } })),
        (&*format!("{GET}/responses"), json!({ "410": {} })),
        (&format!("{GET}/parameters/1/schema"), json!({ "maximum": 2000 })),
        (&format!("{GET}/parameters/0"), json!({ "name": "thing_id" })),
        (&format!("{THING}/properties"), json!({ "colour": { "type": "string" } })),
        (&format!("{THING}/properties/state"), json!({ "enum": ["on", "off", "broken"] })),
        (&format!("{THING}/properties/name"), json!({ "type": "string" })),
        (THING, json!({ "required": ["id", "parts", "size"] })),
        (THING, json!({ "description": "A thing." })),
        (NEW_THING, json!({ "required": [] })),
        (&format!("{NEW_THING}/properties/name"), json!({ "maxLength": null })),
        (&format!("{NEW_THING}/properties/kind"), json!({ "enum": ["a", "b", "c"] })),
        (&format!("{NEW_THING}/properties/name"), json!({ "type": ["string", "null"] })),
    ];
    for (pointer, fields) in additions {
        assert_eq!(planted(pointer, &fields), Vec::<String>::new(), "{pointer} {fields}");
    }
}

#[test]
fn the_list_of_fields_has_a_line_for_each_field_and_stops_where_a_schema_holds_itself() {
    let list = response_fields(&document());
    let expected = "DELETE /things/{id} 200: no body\n\
        GET /things/{id} 200: . object required\n\
        GET /things/{id} 200: .id string(uuid) required\n\
        GET /things/{id} 200: .name string|null optional\n\
        GET /things/{id} 200: .owner object|null optional\n\
        GET /things/{id} 200: .owner.name string required\n\
        GET /things/{id} 200: .parts array required\n\
        GET /things/{id} 200: .parts[] object required\n\
        GET /things/{id} 200: .size integer optional\n\
        GET /things/{id} 200: .state string[on,off] optional\n\
        GET /things/{id} 404: problem\n";
    let got: std::collections::BTreeSet<&str> =
        list.lines().filter(|line| !line.starts_with("POST")).collect();
    assert_eq!(got, expected.lines().collect());
}

/// What is said of an answer of the example document.
fn said(method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
    let validators = Validators::new(document());
    let header = |_: &str| Some("here".to_owned());
    let content_type =
        Some(if status < 400 { "application/json; charset=utf-8" } else { "application/problem+json" });
    undocumented(&validators, &Exchange { method, path, status, content_type, header: &header, body })
}

#[test]
fn an_answer_is_held_against_its_status_its_type_and_every_field() {
    let thing =
        json!({ "id": "0190a0b0-0000-7000-8000-000000000000", "parts": [], "owner": { "name": "Anna" } });
    assert_eq!(said("GET", "/things/1", 200, &thing), None);
    assert_eq!(said("HEAD", "/things/1", 200, &Value::Null), None);
    assert_eq!(said("GET", "/things/1", 404, &json!({})), None);
    assert_eq!(said("GET", "/nowhere", 404, &json!({})), None);
    assert_eq!(said("PATCH", "/things/1", 405, &json!({})), None);
    let wrong = [
        (said("GET", "/things/1", 500, &json!({})), "is not in the document"),
        (said("PATCH", "/things/1", 200, &json!({})), "PATCH /things/1 is not in the document"),
        (said("DELETE", "/things/1", 200, &json!({})), "has a body and should not"),
        (said("GET", "/things/1", 200, &json!({ "parts": [] })), "\"id\" is a required property"),
        (said("GET", "/things/1", 200, &json!({ "id": "1", "parts": [] })), "uuid"),
        (said("GET", "/things/1", 200, &json!({ "id": thing["id"], "parts": 1 })), "array"),
        (said("GET", "/things/1", 200, &json!({ "id": thing["id"], "parts": [], "more": 1 })), "more"),
    ];
    for (said, expected) in wrong {
        let said = said.unwrap_or_default();
        assert!(said.contains(expected), "{said:?} lacks {expected}");
    }
}
