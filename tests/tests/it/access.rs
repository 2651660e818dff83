//! Who may do what: every operation of the OpenAPI document, asked by every kind of caller, with somebody else's id in every
//! place that takes one. An operation without an entry in the table fails, and so does an entry without an operation.

mod people;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Answer, read};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use self::{
    people::{Caller, People},
    table::{Audience, Entry, Place, TABLE},
};
use crate::support::{Server, problem, without_instance};

/// Every documented operation, as `METHOD /path`.
async fn documented(server: &Server) -> BTreeSet<String> {
    let document: Value =
        reqwest::get(server.url("/api/v1/openapi.json")).await.unwrap().json().await.unwrap();
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            operations.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    operations
}

/// One request of the matrix.
struct Ask<'a> {
    people: &'a People,
    entry: &'a Entry,
    /// What stands in each place of the path.
    ids: BTreeMap<&'static str, String>,
}

impl<'a> Ask<'a> {
    /// With ids of things that are `owner`'s.
    fn of(people: &'a People, entry: &'a Entry, ids: &BTreeMap<&'static str, String>) -> Self {
        Self { people, entry, ids: ids.clone() }
    }

    fn request(&self) -> RequestBuilder {
        let (method, template) = self.entry.operation.split_once(' ').unwrap();
        let mut path = template.to_owned();
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "the table has no id for {path}");
        let method: Method = method.parse().unwrap();
        let method_needs_match = method == Method::PUT;
        let request = self.people.client.request(method, self.people.url(&path));
        let request = match self.entry.body {
            Some(body) => {
                let text = body.replace("{user_id}", &self.ids["user_id"]);
                request.header("content-type", "application/json").body(text)
            }
            None => request,
        };
        let request = if self.entry.is_socket {
            request
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        } else {
            request
        };
        // What needs a precondition is not to be refused for want of one.
        if method_needs_match { request.header("if-match", "\"1\"") } else { request }
    }

    async fn by(&self, caller: Caller) -> Answer {
        let request = self.request();
        let request = match self.people.token(caller) {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        // A stream has no end; its head says enough.
        if self.entry.streams {
            let answer = request.send().await.unwrap();
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = if status.is_success() || status == 101 {
                Value::Null
            } else {
                serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null)
            };
            return Answer { status, headers, body };
        }
        read(request).await.unwrap()
    }
}

/// The names of an answer's headers, without those that tell of the caller's own limits.
fn header_names(answer: &Answer) -> BTreeSet<String> {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| !name.starts_with("ratelimit") && name != "date").collect()
}

#[track_caller]
fn assert_alike(one: &Answer, other: &Answer, what: &str) {
    assert_eq!(one.status, other.status, "{what}");
    assert_eq!(without_instance(one), without_instance(other), "{what}");
    assert_eq!(header_names(one), header_names(other), "{what}");
}

#[tokio::test]
async fn every_operation_has_an_entry_and_every_entry_an_operation() {
    let server = Server::start(&[]);
    let documented = documented(&server).await;
    let entered: BTreeSet<String> = TABLE.iter().map(|entry| entry.operation.to_owned()).collect();
    assert_eq!(entered.len(), TABLE.len(), "an operation is there twice");
    let without_entry: Vec<_> = documented.difference(&entered).collect();
    let without_operation: Vec<_> = entered.difference(&documented).collect();
    assert!(without_entry.is_empty(), "say in access/table.rs who may call {without_entry:#?}");
    assert!(without_operation.is_empty(), "no such operation: {without_operation:#?}");
    for entry in TABLE {
        let places: BTreeSet<&str> =
            entry.operation.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
        let known: BTreeSet<&str> = entry.places.iter().map(|(name, _)| *name).collect();
        assert_eq!(places, known, "{}: say of each place in the path what it names", entry.operation);
    }
}

#[tokio::test]
async fn whoever_is_nobody_gets_nothing() {
    let people = People::new().await;
    let mut checked = 0;
    for entry in TABLE.iter().filter(|entry| entry.audience != Audience::Public) {
        let ask = Ask::of(&people, entry, &people.things);
        // A socket without a token is opened for a first message that brings one; a bad token is refused at once.
        let plain = ask.by(if entry.is_socket { Caller::Expired } else { Caller::Nobody }).await;
        assert_eq!(problem(&plain, 401), "unauthorized", "{}", entry.operation);
        for caller in
            [Caller::Expired, Caller::WrongType, Caller::SignedOut, Caller::Disabled, Caller::Deleted]
        {
            let answer = ask.by(caller).await;
            assert_alike(&answer, &plain, &format!("{} as {caller:?}", entry.operation));
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked} combinations");
}

#[tokio::test]
async fn what_is_public_needs_no_token_and_minds_none() {
    let people = People::new().await;
    for entry in TABLE.iter().filter(|entry| entry.audience == Audience::Public) {
        let ask = Ask::of(&people, entry, &people.things);
        let plain = ask.by(Caller::Nobody).await;
        for caller in [Caller::Disabled, Caller::Other, Caller::Operator] {
            let answer = ask.by(caller).await;
            assert_eq!(answer.status, plain.status, "{} as {caller:?}", entry.operation);
        }
        assert_ne!(plain.status, 403, "{}", entry.operation);
    }
}

#[tokio::test]
async fn a_role_that_does_not_fit_is_refused_before_anything_is_looked_up() {
    let people = People::new().await;
    let unknown = people.unknown();
    for entry in TABLE {
        let callers: &[Caller] = match entry.audience {
            Audience::Public | Audience::Anyone => continue,
            Audience::User => &[Caller::Operator],
            Audience::Clinician => &[Caller::Operator, Caller::Other],
            Audience::Operator => &[Caller::Owner, Caller::Other, Caller::Clinician],
        };
        for caller in callers {
            let what = format!("{} as {caller:?}", entry.operation);
            let existing = Ask::of(&people, entry, &people.things).by(*caller).await;
            assert_eq!(problem(&existing, 403), "forbidden", "{what}");
            let missing = Ask::of(&people, entry, &unknown).by(*caller).await;
            assert_alike(&existing, &missing, &what);
        }
    }
}

/// Another user, and a clinician to whom nobody consented, see of somebody's things what they see of nothing.
#[tokio::test]
async fn foreign_things_are_as_missing_as_missing_ones() {
    let people = People::new().await;
    let unknown = people.unknown();
    let mut checked = 0;
    for entry in TABLE.iter().filter(|entry| entry.audience != Audience::Operator) {
        for (name, place) in entry.places {
            let expected = match place {
                Place::Thing => (404, "not-found"),
                Place::User => (403, "foreign-user"),
                Place::Free => continue,
            };
            for caller in [Caller::Other, Caller::Clinician] {
                if entry.audience == Audience::Clinician && caller == Caller::Other {
                    continue;
                }
                let what = format!("{} {{{name}}} as {caller:?}", entry.operation);
                let foreign = Ask::of(&people, entry, &people.things).by(caller).await;
                assert_eq!(problem(&foreign, expected.0), expected.1, "{what}");
                let mut ids = people.things.clone();
                ids.insert(name, unknown[name].clone());
                let missing = Ask::of(&people, entry, &ids).by(caller).await;
                assert_alike(&foreign, &missing, &what);
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked} places");
}

#[tokio::test]
async fn a_body_that_names_another_user_is_refused_and_changes_nothing() {
    let people = People::new().await;
    let before = people.readings_of_owner().await;
    let with_user: Vec<&Entry> =
        TABLE.iter().filter(|entry| entry.body.is_some_and(|body| body.contains("{user_id}"))).collect();
    assert!(with_user.len() >= 4, "{} bodies name a user", with_user.len());
    for entry in with_user {
        for ids in [people.things.clone(), people.unknown()] {
            let answer = Ask::of(&people, entry, &ids).by(Caller::Other).await;
            assert_eq!(problem(&answer, 403), "foreign-user", "{}", entry.operation);
        }
    }
    assert_eq!(people.readings_of_owner().await, before);
    assert_eq!(people.readings_of(Caller::Other).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_cursor_is_its_owners_alone() {
    let people = People::new().await;
    for entry in TABLE.iter().filter(|entry| entry.has_cursor) {
        let first = Ask::of(&people, entry, &people.things).request().query(&[("limit", "1")]);
        let first = read(first.bearer_auth(people.token(Caller::Owner).unwrap())).await.unwrap();
        let page = first.expect(200).unwrap();
        let cursor = page["pagination"]["next_cursor"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: the owner has more than one page: {page}", entry.operation));
        let ask = async |caller: Caller, cursor: &str| {
            let ids = people.things_for(caller);
            let request = Ask::of(&people, entry, &ids).request();
            let request = request.query(&[("limit", "1"), ("cursor", cursor)]);
            read(request.bearer_auth(people.token(caller).unwrap())).await.unwrap()
        };
        let foreign = ask(Caller::Other, cursor).await;
        assert_eq!(problem(&foreign, 422), "validation", "{}", entry.operation);
        assert_alike(&foreign, &ask(Caller::Other, "AAAA").await, entry.operation);
        ask(Caller::Owner, cursor).await.expect(200).unwrap();
    }
}

/// Everything the owner may do answers as documented, so that the refusals above are not those of a broken table.
#[tokio::test]
async fn the_owner_is_let_in() {
    let people = People::new().await;
    for entry in TABLE {
        let caller = match entry.audience {
            Audience::Public => continue,
            Audience::Operator => Caller::Operator,
            Audience::Clinician => Caller::Clinician,
            Audience::User | Audience::Anyone => Caller::Owner,
        };
        // What was deleted would be missing to all that follow.
        if entry.ends_the_caller || entry.method() == "DELETE" {
            continue;
        }
        let answer = Ask::of(&people, entry, &people.things).by(caller).await;
        let status = answer.status.as_u16();
        assert!(!matches!(status, 401 | 403), "{}: {status} {}", entry.operation, answer.body);
        assert!(status < 500 || status == 503, "{}: {status} {}", entry.operation, answer.body);
        // The id in that place is an upload's: nobody here was analysed.
        let is_missing = entry.operation == "GET /api/v1/pat/analysis/{processing_id}";
        if entry.method() == "GET" && !entry.streams && !is_missing {
            assert_eq!(status, 200, "{}: {}", entry.operation, answer.body);
        }
    }
}
