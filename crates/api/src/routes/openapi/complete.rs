//! What operations have in common, so that no handler repeats it: the refusals that any request of their kind can meet, the
//! headers of every answer, and the links from what one answer names to the operations that take it.

use serde_json::{Map, Value, json};

/// A refusal: its status, the name of its component, what it means, and an example's type, title and errors.
struct Refusal {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    example: &'static str,
    title: &'static str,
}

const fn refusal(
    status: &'static str,
    name: &'static str,
    description: &'static str,
    (example, title): (&'static str, &'static str),
) -> Refusal {
    Refusal { status, name, description, example, title }
}

const REFUSALS: [Refusal; 15] = [
    refusal(
        "400",
        "BadRequest",
        "The request is not one that HTTP allows",
        ("bad-request", "The request is not one that HTTP allows"),
    ),
    refusal(
        "401",
        "Unauthorized",
        "The access token is missing, expired, revoked or not valid",
        ("unauthorized", "A valid access token is needed"),
    ),
    refusal(
        "403",
        "Forbidden",
        "The caller may not do this, or names another user",
        ("forbidden", "The caller may not do this"),
    ),
    refusal(
        "404",
        "NotFound",
        "There is nothing of the caller's here; what belongs to others looks the same",
        ("not-found", "There is nothing here"),
    ),
    refusal(
        "408",
        "RequestTimeout",
        "The request took too long to come",
        ("request-timeout", "The request took too long to come"),
    ),
    refusal(
        "409",
        "Conflict",
        "This conflicts with what is there",
        ("conflict", "This conflicts with what is there"),
    ),
    refusal(
        "412",
        "PreconditionFailed",
        "It is not as `If-Match` says",
        ("precondition-failed", "It is not as the request expects it to be"),
    ),
    refusal(
        "413",
        "TooLarge",
        "The body, once decoded, or what it asks for is too large",
        ("too-large", "The request is too large"),
    ),
    refusal(
        "415",
        "UnsupportedMedia",
        "The content type or the content encoding is not understood",
        ("unsupported-media-type", "The content type or encoding is not understood"),
    ),
    refusal(
        "422",
        "Invalid",
        "Malformed or implausible input; `errors` says where",
        ("validation", "The request is not valid"),
    ),
    refusal(
        "426",
        "UpgradeRequired",
        "The path speaks WebSocket: connect with a version 13 handshake",
        ("upgrade-required", "This is a WebSocket: connect with a version 13 handshake"),
    ),
    refusal(
        "428",
        "PreconditionRequired",
        "The change needs an `If-Match`",
        ("precondition-required", "The request needs an If-Match"),
    ),
    refusal("429", "RateLimited", "Too many requests", ("rate-limited", "Too many requests")),
    refusal(
        "502",
        "BadGateway",
        "A service that this needs answered with a fault",
        ("unavailable", "A part of the service is not available"),
    ),
    refusal(
        "503",
        "Unavailable",
        "A part of the service is away, or the request took too long; ask again after `Retry-After` seconds",
        ("unavailable", "A part of the service is not available"),
    ),
];

const PROBLEM: &str = "application/problem+json";

/// From an answer to the operations that take an id from it: the operation, the status, the pointer into the body, the
/// operation that takes it, and by which parameter.
pub(super) const LINKS: [(&str, &str, &str, &str, &str); 30] = [
    ("retina_analyse", "201", "analysis_id", "retina_stored", "analysis_id"),
    ("retina_analyse", "201", "analysis_id", "retina_image", "analysis_id"),
    ("retina_list", "200", "pagination/next_cursor", "retina_list", "cursor"),
    ("users_grant", "201", "consent_id", "users_stored", "consent_id"),
    ("users_grant", "201", "consent_id", "users_change", "consent_id"),
    ("users_grant", "201", "consent_id", "users_revoke", "consent_id"),
    ("health_data_upload", "201", "processing_id", "health_data_status", "processing_id"),
    ("health_data_upload", "201", "processing_id", "health_data_delete", "processing_id"),
    ("health_data_upload", "201", "processing_id", "health_data_delete_processing", "processing_id"),
    ("health_data_upload_alias", "201", "processing_id", "health_data_status", "processing_id"),
    ("health_data_upload", "201", "upload_id", "health_data_upload_status", "upload_id"),
    ("health_data_upload_alias", "201", "upload_id", "health_data_upload_status", "upload_id"),
    ("health_data_upload_batch", "201", "processing_ids/0", "health_data_status", "processing_id"),
    ("health_data_status", "200", "processing_id", "health_data_delete", "processing_id"),
    ("health_data_list", "200", "pagination/next_cursor", "health_data_list", "cursor"),
    ("healthkit_upload", "202", "upload_id", "healthkit_status", "upload_id"),
    ("healthkit_upload", "202", "upload_id", "health_data_status", "processing_id"),
    ("healthkit_upload", "202", "upload_id", "health_data_delete", "processing_id"),
    ("healthkit_upload_alias", "202", "upload_id", "healthkit_status", "upload_id"),
    ("pat_analyse_steps", "200", "analysis_id", "pat_stored", "processing_id"),
    ("pat_analyse_steps", "202", "analysis_id", "pat_stored", "processing_id"),
    ("pat_analyse_steps_alias", "200", "analysis_id", "pat_stored", "processing_id"),
    ("pat_analyse_points", "200", "analysis_id", "pat_stored", "processing_id"),
    ("pat_analyse_points", "202", "analysis_id", "pat_stored", "processing_id"),
    ("pat_analyse_points_alias", "200", "analysis_id", "pat_stored", "processing_id"),
    ("insights_write", "200", "data/insight_id", "insights_stored", "insight_id"),
    ("insights_write", "202", "insight_id", "insights_stored", "insight_id"),
    ("insights_write", "200", "data/user_id", "insights_history", "user_id"),
    ("insights_write_alias", "200", "data/insight_id", "insights_stored", "insight_id"),
    ("auth_me", "200", "user_id", "insights_history", "user_id"),
];

/// Operations that answer from memory and at once: nothing they need can be away.
const ALWAYS_THERE: [&str; 2] = ["/api/v1", "/api/v1/openapi.json"];

/// Completes a document that was generated from the handlers.
pub(super) fn complete(document: &mut Value) {
    components(document);
    formats(document);
    let schemas = document["components"]["schemas"].clone();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if method == "get" && path.starts_with("/api/v1") {
                conditions(operation);
            }
            parameters(operation);
            request_body(operation);
            common_refusals(path, operation);
            answers(operation, &schemas);
            links(operation);
        }
    }
}

fn components(document: &mut Value) {
    let responses: Map<String, Value> = REFUSALS
        .iter()
        .map(|refusal| {
            let mut example = json!({
                "type": format!("/problems/{}", refusal.example),
                "title": refusal.title,
                "status": refusal.status.parse::<u16>().unwrap_or_default(),
                "instance": "019b1f6e-0000-7000-8000-000000000000",
            });
            if refusal.status == "422" {
                example["errors"] = json!([{ "pointer": "/metrics", "detail": "missing field `metrics`" }]);
            }
            let schema = json!({ "$ref": "#/components/schemas/ProblemBody" });
            let mut headers = common_headers();
            if matches!(refusal.status, "429" | "503") {
                headers["Retry-After"] = json!({ "$ref": "#/components/headers/Retry-After" });
            }
            if refusal.status == "429" {
                for name in ["RateLimit", "RateLimit-Policy"] {
                    headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
                }
            }
            if refusal.status == "401" {
                headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/WWW-Authenticate" });
            }
            let answer = json!({
                "description": refusal.description,
                "headers": headers,
                "content": { PROBLEM: { "schema": schema, "example": example } },
            });
            (refusal.name.to_owned(), answer)
        })
        .collect();
    document["components"]["responses"] = responses.into();
    document["components"]["headers"] = headers();
    document["components"]["parameters"] = json!({
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes the request one that may be sent again: the same key with the same body has one effect, and gets the first \
                            answer for at least seven days. With another body it is refused.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            "example": "5f0c6f5e-7a0c-4a3d-9d4e-2f6f0c1a7b11",
        },
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "description": "`respond-async` (RFC 7240): answer 202 at once, with where the result will be in `Location`.",
            "schema": { "type": "string" },
            "example": "respond-async",
        },
    });
}

/// Fields that are called so hold instants; so do those whose names end in `_at`.
const INSTANTS: [&str; 8] = [
    "timestamp",
    "client_timestamp",
    "analysis_timestamp",
    "analysis_date",
    "start_date",
    "end_date",
    "last_updated",
    "end",
];

/// What is taken for an address: a name, and a domain of at least two labels.
const EMAIL: &str = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@.\s\x00-\x1f\x7f-\x9f]+(\.[^@.\s\x00-\x1f\x7f-\x9f]+)+$";

/// What a name says of a field whose schema says only that it is text.
fn formats(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (_, schema) in schemas {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            let format = match name.as_str() {
                "email" => {
                    // No format: what JSON Schema calls an e-mail address is less than what is one.
                    if let Some(fields) = property.as_object_mut() {
                        fields.remove("format");
                        fields.insert("pattern".to_owned(), json!(EMAIL));
                    }
                    continue;
                }
                name if name == "id" || name.ends_with("_id") => "uuid",
                name if name.ends_with("_at") || INSTANTS.contains(&name) => "date-time",
                _ => continue,
            };
            let kind = &property["type"];
            if property["format"].is_null() && (kind == "string" || *kind == json!(["string", "null"])) {
                property["format"] = json!(format);
            }
        }
    }
}

/// The headers that answers have in common, by their names.
fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's id: the client's own where it sent a plain one, else a new one. Logs and problems name it.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$" },
        },
        "ETag": {
            "description": "The tag of this answer, for `If-None-Match`.",
            "schema": { "type": "string" },
        },
        "RateLimit": {
            "description": "What is left of the limit that the request was counted by, and in how many seconds all of it is back.",
            "schema": { "type": "string" },
            "example": "\"uploads\";r=97;t=108",
        },
        "RateLimit-Policy": {
            "description": "The limit: how many requests in how many seconds.",
            "schema": { "type": "string" },
            "example": "\"uploads\";q=100;w=3600",
        },
        "Retry-After": {
            "description": "After how many seconds to ask again.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WWW-Authenticate": {
            "description": "How to authenticate.",
            "required": true,
            "schema": { "type": "string" },
        },
    })
}

fn common_headers() -> Value {
    json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } })
}

/// Ids in paths are UUIDs; nothing in a query is `null`; what may be sent again or be answered later says so.
fn parameters(operation: &mut Value) {
    let says = |status: &str, word: &str| {
        operation["responses"][status]["description"].as_str().is_some_and(|text| text.contains(word))
    };
    let (is_repeatable, is_patient) = (says("409", "Idempotency-Key"), says("202", "respond-async"));
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        let is_id = parameter["in"] == "path"
            && parameter["name"].as_str().is_some_and(|name| name == "id" || name.ends_with("_id"));
        let Some(schema) = parameter.get_mut("schema") else { continue };
        if is_id && schema["type"] == "string" {
            schema["format"] = json!("uuid");
        }
        if let Some(kinds) = schema["type"].as_array()
            && let [kind] = kinds.iter().filter(|kind| **kind != "null").collect::<Vec<_>>()[..]
        {
            schema["type"] = kind.clone();
        }
    }
    for (name, holds) in [("Idempotency-Key", is_repeatable), ("Prefer", is_patient)] {
        if holds {
            parameters.push(json!({ "$ref": format!("#/components/parameters/{name}") }));
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
}

/// A body that may be absent is absent, and not `null`.
fn request_body(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    for (_, media) in content.into_iter().flatten() {
        let choices = media["schema"]["oneOf"].as_array().into_iter().flatten();
        if let [schema] = choices.filter(|choice| choice["type"] != "null").collect::<Vec<_>>()[..] {
            media["schema"] = schema.clone();
        }
    }
}

/// What is read as JSON has a tag, and may be asked for on a condition.
fn conditions(operation: &mut Value) {
    let answers = &mut operation["responses"];
    if answers["200"]["content"]["application/json"].is_null() {
        return;
    }
    answers["200"]["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
    answers["304"] = json!({ "description": "The client has it: `If-None-Match` names its tag" });
    answers["412"] = json!({ "content": { PROBLEM: {} } });
}

/// Adds what every request of this kind can meet, unless the handler says it better.
fn common_refusals(path: &str, operation: &mut Value) {
    let mut statuses = Vec::new();
    if operation["security"].as_array().is_some_and(|needs| !needs.is_empty()) {
        statuses.extend(["401", "403"]);
    }
    if operation["requestBody"].is_object() {
        statuses.extend(["408", "413", "415", "422"]);
    }
    if !ALWAYS_THERE.contains(&path) {
        statuses.push("503");
    }
    for status in statuses {
        let answer = &mut operation["responses"][status];
        if answer.is_null() {
            *answer = json!({});
        }
        // An answer of another kind by the same status, such as the health of what is away, stays beside it.
        if answer["content"][PROBLEM].is_null() {
            answer["content"][PROBLEM] = json!({});
        }
    }
}

/// Refusals become references to their component; other answers get their headers and a description.
fn answers(operation: &mut Value, schemas: &Value) {
    let summary = operation["summary"].as_str().unwrap_or_default().to_owned();
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    for (status, answer) in answers {
        if answer["$ref"].is_string() {
            continue;
        }
        let refusal = REFUSALS.iter().find(|refusal| refusal.status == status);
        let reference = refusal.map(|refusal| format!("#/components/responses/{}", refusal.name));
        let description = answer["description"].as_str().unwrap_or_default().to_owned();
        let content = answer["content"].as_object();
        let is_problem = content.is_some_and(|content| content.len() == 1 && content.contains_key(PROBLEM));
        if let (Some(reference), true) = (&reference, is_problem) {
            *answer = json!({ "$ref": reference });
            if !description.is_empty() {
                answer["description"] = description.into();
            }
            continue;
        }
        // Indexing would put a null where there is none.
        if let Some(problem) = answer.get_mut("content").and_then(|content| content.get_mut(PROBLEM)) {
            *problem = json!({ "schema": { "$ref": "#/components/schemas/ProblemBody" } });
        }
        if description.is_empty() {
            let schema = answer.pointer("/content/application~1json/schema/$ref").and_then(Value::as_str);
            let of_schema = schema.and_then(|schema| schema.rsplit('/').next());
            let text = of_schema.and_then(|name| schemas[name]["description"].as_str()).unwrap_or(&summary);
            answer["description"] = text.into();
        }
        let mut headers = common_headers();
        if let Some(own) = answer["headers"].as_object() {
            for (name, header) in own {
                headers[name] = header.clone();
            }
        }
        answer["headers"] = headers;
    }
}

fn links(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    for (from, status, pointer, to, parameter) in LINKS {
        if from == id && operation["responses"][status].is_object() {
            let expression = format!("$response.body#/{pointer}");
            operation["responses"][status]["links"][to] =
                json!({ "operationId": to, "parameters": { parameter: expression } });
        }
    }
}
