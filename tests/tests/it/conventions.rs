//! What holds for every resource: its methods, its forms, its headers, its conditions, its limits.

use std::{collections::BTreeMap, io::Write};

use api::ClarityApi;
use e2e::{Answer, Phone, read};
use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::json;
use utoipa::OpenApi;

use crate::support::{
    Server, Shared, health_data, healthkit, heart_rate, new_id, pointers, problem, processed, upload,
};

static SHARED: Shared = Shared::new();

/// Every path of the document with values for its parameters, and the methods that it has.
fn paths() -> Vec<(String, Vec<&'static str>)> {
    let document = ClarityApi::openapi();
    let concrete = |path: &str| {
        let part = |part: &str| match part.strip_prefix('{') {
            Some(_) => new_id(),
            None => part.to_owned(),
        };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    let entry = |(path, item): (&String, &utoipa::openapi::PathItem)| {
        let methods = [
            ("GET", item.get.is_some()),
            ("HEAD", item.get.is_some()),
            ("POST", item.post.is_some()),
            ("PUT", item.put.is_some()),
            ("PATCH", item.patch.is_some()),
            ("DELETE", item.delete.is_some()),
            ("OPTIONS", true),
        ];
        let methods = methods.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        (concrete(path), methods)
    };
    document.paths.paths.iter().map(entry).collect()
}

/// An answer to what no document speaks of, such as a method that a path does not have.
async fn bare(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
    Answer { status, headers, body }
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let value = headers.get(name).map_or("", |value| value.to_str().unwrap());
    value.split(", ").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_resource_tells_its_methods_and_refuses_all_others() {
    let server = SHARED.get();
    let client = Client::new();
    let mut paths = paths();
    assert!(paths.len() > 25);
    for page in ["/", "/health", "/docs", "/docs/index.html"] {
        paths.push((page.to_owned(), vec!["GET", "HEAD", "OPTIONS"]));
    }
    for (path, methods) in &paths {
        let options = client.request(Method::OPTIONS, server.url(path)).send().await.unwrap();
        assert_eq!(options.status(), 204, "{path}");
        assert_eq!(list(options.headers(), "allow"), *methods, "{path}");
        assert!(options.bytes().await.unwrap().is_empty());
        for other in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get", "PROPFIND"] {
            if methods.contains(&other) {
                continue;
            }
            let answer = bare(client.request(method(other), server.url(path))).await;
            assert_eq!(problem(&answer, 405), "method-not-allowed", "{other} {path}");
            assert_eq!(list(&answer.headers, "allow"), *methods, "{other} {path}");
        }
    }
    for other in ["OPTIONS", "TRACE", "BREW", "POST"] {
        let answer = bare(client.request(method(other), server.url("/api/v1/nowhere"))).await;
        assert_eq!(problem(&answer, 404), "not-found", "{other}");
    }
}

/// An answer's headers but for those that differ from one to the next.
fn steady(headers: &HeaderMap) -> BTreeMap<String, String> {
    let named = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    named.filter(|(name, _)| name != "date" && name != "x-request-id").collect()
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let sent = upload(&phone, &healthkit(&phone, &[heart_rate(0)])).await;
    let id = sent["upload_id"].as_str().unwrap();
    for path in [
        "health-data".to_owned(),
        "auth/me".to_owned(),
        "metrics/daily".to_owned(),
        "openapi.json".to_owned(),
        format!("health-data/processing/{id}"),
        format!("health-data/processing/{}", new_id()),
        "auth/login".to_owned(),
        "nowhere".to_owned(),
    ] {
        let ask = async |method: Method| phone.request(method, &path).send().await.unwrap();
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!(get.status(), head.status(), "{path}");
        assert_eq!(steady(get.headers()), steady(head.headers()), "{path}");
        assert_ne!(head.headers()["content-length"], "0", "{path}");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    // A stream has a head and an end.
    let events = phone.request(Method::HEAD, "events").send().await.unwrap();
    assert_eq!(
        (events.status().as_u16(), &events.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert!(events.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_path_has_two_forms_and_no_third() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let get =
        async |path: &str| read(phone.client.get(server.url(path)).bearer_auth(&phone.access_token)).await;
    for (path, methods) in paths() {
        let method = method(methods[0]);
        let send = async |path: &str| {
            let request = phone.client.request(method.clone(), server.url(path));
            bare(request.bearer_auth(&phone.access_token)).await
        };
        // Neither the phone nor its session is there a second time.
        if ["/", "/api/v1/auth/logout", "/api/v1/users/me"].contains(&&*path)
            || path.ends_with("/events")
            || path.starts_with("/objects/")
        {
            continue;
        }
        let (plain, slash) = (send(&path).await, send(&format!("{path}/")).await);
        assert_eq!(plain.status, slash.status, "{method} {path}");
        assert_eq!(plain.body["type"], slash.body["type"], "{method} {path}");
    }
    let query = "?limit=1&data_type=heart_rate";
    assert_eq!(get(&format!("/api/v1/health-data/{query}")).await.unwrap().status, 200);
    let answer = get("/api/v1/health-data/?limit=ten").await.unwrap();
    assert_eq!(problem(&answer, 422), "validation");
    // reqwest puts paths in order before it sends them: these go by hand.
    for path in [
        "//health",
        "/api//v1/auth/me",
        "/api/v1//auth/me",
        "/api/v1/auth/me//",
        "/api/v1/./auth/me",
        "/api/v1/auth/./me",
        "/api/v1/auth/../auth/me",
        "/health/../api/v1/auth/me",
        "/api/v1/auth%2Fme",
        "/api/v1/auth%2fme",
        "/api%2Fv1/auth/me",
        "/api/v1/auth/me%2F",
        "/api/v1/auth/%2e%2e/auth/me",
        "/api/v1/auth/me%00",
        "/api/v1/auth/me;a=b",
        "/api/v1/auth/me%20",
        "/api/v1\\auth\\me",
        "/API/v1/auth/me",
    ] {
        let answer = crate::robustness::wire::get(server.address(), path, &phone.access_token).await;
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
}

const LISTED: &str = "https://app.example.org";
const LOCAL: &str = "http://localhost:5173";

#[tokio::test]
async fn only_listed_origins_may_read_to_the_letter() {
    let server = Server::start(&[("server.cors_origins", &format!("{LISTED}, {LOCAL}"))]);
    let client = Client::new();
    let ask = async |origin: &str| {
        client.get(server.url("/api/v1/health")).header("origin", origin).send().await.unwrap()
    };
    for origin in [LISTED, LOCAL] {
        let answer = ask(origin).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        let exposed = list(answer.headers(), "access-control-expose-headers");
        for name in ["ETag", "RateLimit", "Retry-After", "X-Request-Id", "Location", "Idempotency-Replayed"] {
            assert!(exposed.iter().any(|exposed| exposed == name), "{name}");
        }
    }
    for origin in [
        "null",
        "https://app.example.org.evil.com",
        "https://evilapp.example.org",
        "https://app.example.org:443",
        "https://app.example.org:8443",
        "http://app.example.org",
        "https://app.example.org/",
        "https://APP.example.org",
        "https://sub.app.example.org",
        "https://app.example.org, https://evil.com",
        "http://localhost",
        "http://localhost:5174",
        "*",
        "",
    ] {
        let answer = ask(origin).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["vary"]), (200, &"Origin".parse().unwrap()));
        let told = answer.headers().keys().filter(|name| name.as_str().starts_with("access-control")).count();
        assert_eq!(told, 0, "{origin}");
    }
    let twice =
        client.get(server.url("/health")).header("origin", LISTED).header("origin", "https://evil.com");
    assert!(!twice.send().await.unwrap().headers().contains_key("access-control-allow-origin"));

    let preflight = async |origin: &str, path: &str| {
        let request = client.request(Method::OPTIONS, server.url(path)).header("origin", origin);
        let request = request.header("access-control-request-method", "PUT");
        request.header("access-control-request-headers", "authorization,if-match").send().await.unwrap()
    };
    let granted = preflight(LISTED, "/api/v1/auth/me").await;
    assert_eq!(granted.status(), 204);
    assert_eq!(granted.headers()["access-control-allow-origin"], LISTED);
    assert_eq!(list(granted.headers(), "access-control-allow-methods"), ["GET", "HEAD", "PUT", "OPTIONS"]);
    let headers = list(granted.headers(), "access-control-allow-headers");
    for name in ["Authorization", "Content-Type", "If-Match", "Idempotency-Key"] {
        assert!(headers.iter().any(|header| header == name), "{name}");
    }
    assert_eq!(granted.headers()["access-control-max-age"], "600");
    let refused = preflight("https://evil.com", "/api/v1/auth/me").await;
    assert!(!refused.headers().keys().any(|name| name.as_str().starts_with("access-control")));
    assert_eq!(preflight(LISTED, "/api/v1/nowhere").await.status(), 404);
    // A refusal can be read by whoever may read answers.
    let request = client.get(server.url("/api/v1/auth/me")).header("origin", LISTED).send().await.unwrap();
    assert_eq!(request.status(), 401);
    assert_eq!(request.headers()["access-control-allow-origin"], LISTED);
}

#[tokio::test]
async fn without_listed_origins_nobody_is_told_anything() {
    let server = SHARED.get();
    let answer = Client::new().get(server.url("/health")).header("origin", LISTED).send().await.unwrap();
    assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")));
    assert!(!answer.headers().contains_key("vary"));
}

#[tokio::test]
async fn browsers_are_told_to_run_nothing_and_to_stay_encrypted() {
    let server = Server::start(&[("server.public_url", "https://api.example.org")]);
    let get = async |path: &str| Client::new().get(server.url(path)).send().await.unwrap();
    for path in ["/health", "/api/v1/auth/me", "/nowhere", "/metrics", "/docs/swagger-ui.css"] {
        let answer = get(path).await;
        let headers = answer.headers();
        assert_eq!(headers["strict-transport-security"], "max-age=31536000", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(policy.contains("script-src"), path.starts_with("/docs"), "{path}");
        assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"));
    }
    // The documentation's page is one that its policy lets run: no script of its own in it.
    let page = get("/docs/index.html").await.text().await.unwrap();
    let scripts: Vec<&str> =
        page.split("<script").skip(1).map(|script| script.split('>').next().unwrap()).collect();
    assert!(scripts.len() >= 3 && scripts.iter().all(|script| script.contains("src=\"./")), "{scripts:?}");
    let plain = SHARED.get();
    let answer = Client::new().get(plain.url("/health")).send().await.unwrap();
    assert!(!answer.headers().contains_key("strict-transport-security"), "not over plain HTTP");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    upload(&phone, &healthkit(&phone, &[heart_rate(0)])).await;
    let ask = async |phone: &Phone, header: &str, value: &str| {
        phone.request(Method::GET, "health-data").header(header, value).send().await.unwrap()
    };
    let first = phone.request(Method::GET, "health-data").send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20);
    assert_eq!(first.headers()["cache-control"], "no-store");
    for condition in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = ask(&phone, "if-none-match", &condition).await;
        assert_eq!(answer.status(), 304, "{condition}");
        assert_eq!(answer.headers()["etag"], tag.as_str());
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(!answer.headers().contains_key("content-type"));
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    for condition in ["\"x\"", &tag[1..tag.len() - 1], &tag.to_uppercase(), "", "\"", &tag[..tag.len() - 1]] {
        let answer = ask(&phone, "if-none-match", condition).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()),
            (200, &*tag),
            "{condition}"
        );
    }
    assert_eq!(ask(&phone, "if-match", &tag).await.status(), 200);
    let unmatched = phone.request(Method::GET, "health-data").header("if-match", "\"x\"");
    assert_eq!(problem(&read(unmatched).await.unwrap(), 412), "precondition-failed");
    assert_eq!(ask(&other, "if-none-match", &tag).await.status(), 200, "another user's page is another");
    // A refusal has no tag and heeds no condition.
    let refused =
        read(phone.anonymous(Method::GET, "health-data").header("if-none-match", "*")).await.unwrap();
    assert_eq!(problem(&refused, 401), "unauthorized");
    assert!(!refused.headers.contains_key("etag"));
    upload(&phone, &healthkit(&phone, &[heart_rate(1)])).await;
    let changed = ask(&phone, "if-none-match", &tag).await;
    assert_eq!(changed.status(), 200);
    assert_ne!(changed.headers()["etag"], tag.as_str());
}

#[tokio::test]
async fn a_limited_route_tells_what_is_left() {
    let server = Server::start(&[("limits.uploads_per_hour", "3"), ("limits.logins_per_minute", "2")]);
    let phone = server.phone().await;
    let state = |answer: &Answer| {
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        (header("ratelimit-policy"), header("ratelimit"))
    };
    for (left, reset) in [(2, 1200), (1, 2400), (0, 3600)] {
        // Whether it is taken or not: it was counted.
        let body = if left == 1 { json!({}) } else { healthkit(&phone, &[heart_rate(left)]) };
        let (policy, rate) = state(&phone.post("healthkit", &body).await.unwrap());
        assert_eq!(policy, "\"uploads\";q=3;w=3600");
        let seconds: u64 = rate.strip_prefix(&format!("\"uploads\";r={left};t=")).unwrap().parse().unwrap();
        assert_eq!(seconds, reset);
    }
    let refused = phone.post("healthkit", &healthkit(&phone, &[])).await.unwrap();
    assert_eq!(problem(&refused, 429), "rate-limited");
    let after = refused.headers["retry-after"].to_str().unwrap();
    assert_eq!(state(&refused), ("\"uploads\";q=3;w=3600".to_owned(), format!("\"uploads\";r=0;t={after}")));
    let wrong = json!({ "email": phone.email, "password": "not the password" });
    let login = read(phone.anonymous(Method::POST, "auth/login").json(&wrong)).await.unwrap();
    assert_eq!((login.status.as_u16(), state(&login).0), (401, "\"logins\";q=2;w=60".to_owned()));
    assert!(!phone.get("auth/me").await.unwrap().headers.contains_key("ratelimit"));
    // Without a limit, nothing is told.
    let unlimited = SHARED.get();
    let free = unlimited.phone().await;
    let answer = free.post("healthkit", &healthkit(&free, &[])).await.unwrap();
    assert!(!answer.headers.contains_key("ratelimit"));
}

#[tokio::test]
async fn sign_ins_are_counted_by_the_address_that_trusted_proxies_name() {
    let limit = ("limits.logins_per_minute", "1");
    let behind = Server::start(&[limit, ("server.trusted_proxies", "127.0.0.0/8")]);
    let open = Server::start(&[limit]);
    let login = async |server: &Server, from: &str| {
        let body = json!({ "email": "nobody@example.org", "password": "a long password" });
        let request = Client::new().post(server.url("/api/v1/auth/login")).header("x-forwarded-for", from);
        read(request.json(&body)).await.unwrap().status.as_u16()
    };
    assert_eq!(login(&behind, "198.51.100.1").await, 401);
    assert_eq!(login(&behind, "198.51.100.1").await, 429);
    assert_eq!(
        login(&behind, "203.0.113.5, 198.51.100.1").await,
        429,
        "what a client writes in front is nothing"
    );
    assert_eq!(login(&behind, "198.51.100.2").await, 401, "somebody else");
    assert_eq!(login(&open, "198.51.100.1").await, 401);
    assert_eq!(login(&open, "198.51.100.2").await, 429, "nobody is trusted: all of it is one address");
    // Whoever asks through a proxy on this machine does not ask from this machine.
    let metrics = Client::new().get(open.url("/metrics")).header("x-forwarded-for", "127.0.0.1");
    assert_eq!(metrics.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn traces_are_passed_on_as_the_standard_says() {
    let server = SHARED.get();
    let ask = async |lines: &[(&str, &str)]| {
        let request = Client::new().get(server.url("/health"));
        let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let headers = request.send().await.unwrap().headers().clone();
        (headers.get("traceparent").cloned(), headers.get("tracestate").cloned())
    };
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let valid = format!("00-{trace}-{span}-01");
    let (parent, state) = ask(&[("traceparent", &valid), ("tracestate", "a=1,b=2")]).await;
    assert_eq!((parent.unwrap(), state.unwrap()), (valid.parse().unwrap(), "a=1,b=2".parse().unwrap()));
    let zero = "0".repeat(32);
    for wrong in [
        format!("ff-{trace}-{span}-01"),
        format!("00-{zero}-{span}-01"),
        format!("00-{trace}-{}-01", &zero[..16]),
        format!("{valid}-more"),
        valid.to_uppercase(),
    ] {
        assert_eq!(ask(&[("traceparent", &wrong), ("tracestate", "a=1")]).await, (None, None), "{wrong}");
    }
    assert_eq!(ask(&[("tracestate", "a=1")]).await, (None, None));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn encoded_bodies_are_decoded_within_their_bound_or_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let send = async |encodings: &[&str], body: Vec<u8>| {
        let request = phone.request(Method::POST, "healthkit").header("content-type", "application/json");
        let request =
            encodings.iter().fold(request, |request, name| request.header("content-encoding", *name));
        read(request.body(body)).await.unwrap()
    };
    let body = serde_json::to_vec(&healthkit(&phone, &[heart_rate(0)])).unwrap();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 19).unwrap();
    assert_eq!(send(&["gzip"], gzip(&body)).await.status, 202);
    assert_eq!(send(&["GZIP"], gzip(&body)).await.status, 202);
    assert_eq!(send(&["zstd"], zstd(&body)).await.status, 202);
    assert_eq!(send(&["identity"], body.clone()).await.status, 202);
    // Two members are one body, as gzip itself has it.
    let (front, back) = body.split_at(body.len() / 2);
    assert_eq!(send(&["gzip"], [gzip(front), gzip(back)].concat()).await.status, 202);
    assert_eq!(send(&["zstd"], [zstd(front), zstd(back)].concat()).await.status, 202);
    for (encoding, broken) in [
        ("gzip", [gzip(&body), b"trailing".to_vec()].concat()),
        ("zstd", [zstd(&body), b"trailing".to_vec()].concat()),
        ("gzip", gzip(&body)[..20].to_vec()),
        ("zstd", zstd(&body)[..20].to_vec()),
        ("gzip", zstd(&body)),
        ("zstd", gzip(&body)),
        ("gzip", body.clone()),
        ("gzip", Vec::new()),
    ] {
        let answer = send(&[encoding], broken).await;
        assert_eq!(problem(&answer, 422), "validation", "{encoding}");
    }
    for encodings in
        [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "gzip"], &["gzip", "identity"], &["gzipped"]]
    {
        let answer = send(encodings, gzip(&gzip(&body))).await;
        assert_eq!(problem(&answer, 415), "unsupported-media-type", "{encodings:?}");
    }
    // A thousand to one, and a frame that would take 2 GiB to decode.
    let bomb = vec![b' '; 64 << 20];
    for (encoding, packed) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
        assert!(bomb.len() / packed.len() >= 900, "{}", packed.len());
        assert_eq!(problem(&send(&[encoding], packed).await, 413), "too-large", "{encoding}");
    }
    let wide_window = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8][..], &[0x01, 0x00, 0x00]].concat();
    assert_eq!(problem(&send(&["zstd"], wide_window).await, 422), "validation");
}

/// A `POST healthkit` body of exactly so many bytes.
fn padded(phone: &Phone, bytes: usize) -> Vec<u8> {
    let mut body = serde_json::to_vec(&healthkit(phone, &[heart_rate(0)])).unwrap();
    body.resize(bytes, b' ');
    body
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_limit_and_no_byte_larger() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let send = async |path: &str, body: Vec<u8>| {
        let request = phone.request(Method::POST, path).header("content-type", "application/json");
        read(request.body(body)).await.unwrap()
    };
    let upload = 10 << 20;
    assert_eq!(send("healthkit", padded(&phone, upload)).await.status, 202);
    assert_eq!(problem(&send("healthkit", padded(&phone, upload + 1)).await, 413), "too-large");
    let steps = |bytes: usize| {
        let mut body = br#"{"step_counts":[1],"timestamps":["2025-03-01T08:00:00Z"]}"#.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let json = 5 << 20;
    assert_eq!(send("pat/step-analysis", steps(json)).await.status, 200);
    assert_eq!(problem(&send("pat/step-analysis", steps(json + 1)).await, 413), "too-large");
    // Without a length, it is the bytes that count.
    let chunks = futures::stream::iter((0..=80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    let request = phone.request(Method::POST, "pat/step-analysis").body(reqwest::Body::wrap_stream(chunks));
    // The server answers before it has read all, and closes: the client may see the one or the other.
    if let Ok(answer) = read(request).await {
        assert_eq!(problem(&answer, 413), "too-large");
    }
}

#[tokio::test]
async fn json_has_one_meaning_or_is_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let send = async |path: &str, body: &[u8]| {
        let request = phone.request(Method::POST, path).header("content-type", "application/json");
        read(request.body(body.to_vec())).await.unwrap()
    };
    let reading = |value: &str, more: &str| {
        format!(
            r#"{{"user_id":"{}","quantity_samples":[{{"identifier":"{}","type":"HKQuantityTypeIdentifierHeartRate","value":{value},"unit":"count/min",
            "start_date":"2025-03-01T08:00:00Z","end_date":"2025-03-01T08:00:00Z"{more}}}],"category_samples":[],"workouts":[],"correlation_samples":[]}}"#,
            phone.user_id,
            new_id()
        )
    };
    let nested = format!("{}1{}", "[".repeat(101), "]".repeat(101));
    for (body, pointer) in [
        (reading("60", r#","value":61"#), "/quantity_samples/0/value"),
        (reading("60", r#","metadata":{"a":{"b":1,"b":2}}"#), "/quantity_samples/0/metadata/a/b"),
        (reading("60", r#","v\u0061lue":61"#), "/quantity_samples/0/value"),
        (reading("60", r#","source_name":"\ud800""#), "/quantity_samples/0/source_name"),
        (reading("60", r#","metadata":{"x":"\udc00\ud800"}"#), "/quantity_samples/0/metadata/x"),
        (reading("60", &format!(r#","metadata":{nested}"#)), ""),
        (reading("NaN", ""), ""),
        (reading("Infinity", ""), ""),
        (reading("60.", ""), ""),
        (reading("+60", ""), ""),
        (reading("060", ""), ""),
        (format!("{} ", reading("60", "")) + "x", ""),
        (reading("60", "") + "{}", ""),
        (format!("\u{feff}{}", reading("60", "")), ""),
        (String::new(), ""),
        ("null".to_owned(), ""),
        ("[]".to_owned(), ""),
        ("{".repeat(100_000), ""),
    ] {
        let answer = send("healthkit", body.as_bytes()).await;
        assert_eq!(problem(&answer, 422), "validation", "{body:.300}");
        assert_eq!(pointers(&answer), [pointer], "{body:.300}");
    }
    let mut not_utf8 = reading("60", r#","source_name":"?""#).into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[at] = 0xff;
    assert_eq!(pointers(&send("healthkit", &not_utf8).await), [""]);
    assert!(phone.all_readings().await.unwrap().is_empty(), "nothing of these was kept");

    for body in [
        r#"{"step_counts":[1],"step_counts":[2],"timestamps":["2025-03-01T08:00:00Z"]}"#,
        r#"{"step_counts":[1],"timestamps":["2025-03-01T08:00:00Z"],"x":"\ud800"}"#,
    ] {
        assert_eq!(problem(&send("pat/step-analysis", body.as_bytes()).await, 422), "validation");
    }
    for number in ["1e400", "-1e400", "9223372036854775808", "1e308", "-1", "\"60\"x", "1e-400"] {
        let body = format!(r#"{{"step_counts":[{number}],"timestamps":["2025-03-01T08:00:00Z"]}}"#);
        let answer = send("pat/step-analysis", body.as_bytes()).await;
        // What rounds to nothing is nothing; all else is no count.
        let expected = if number == "1e-400" { 200 } else { 422 };
        assert!([expected, 422].contains(&answer.status.as_u16()), "{number}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_number_out_of_range_costs_its_reading_and_nothing_else() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for number in ["1e400", "-1e400", "1e308", "9223372036854775808", "-0.0", "1e-400"] {
        let text = healthkit(&phone, &[heart_rate(0), heart_rate(1)]).to_string();
        let body = text.replacen("\"value\":60.0", &format!("\"value\":{number}"), 1);
        assert_ne!(text, body);
        let request = phone.request(Method::POST, "healthkit").body(body);
        let sent =
            read(request.header("content-type", "application/json")).await.unwrap().expect(202).unwrap();
        let id = sent["upload_id"].as_str().unwrap();
        processed(&phone, id).await;
        let status = phone.get(&format!("healthkit/status/{id}")).await.unwrap().expect(200).unwrap();
        let rejected = status["receipts"]["rejected"].as_array().unwrap();
        assert_eq!(rejected.len(), 1, "{number}: {status}");
        assert_eq!(rejected[0]["pointer"], "/quantity_samples/0/value", "{number}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_something_else_is_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let send = async |kind: Option<&str>| {
        let request =
            phone.request(Method::POST, "healthkit").body(healthkit(&phone, &[heart_rate(0)]).to_string());
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        read(request).await.unwrap()
    };
    for kind in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("Application/JSON;charset=\"UTF-8\""),
        Some("application/vnd.clarity+json"),
        Some("application/x-www-form-urlencoded"),
        Some("text/plain;charset=UTF-8"),
    ] {
        assert_eq!(send(kind).await.status, 202, "{kind:?}");
    }
    for kind in [
        "text/xml",
        "application/xml",
        "multipart/form-data; boundary=x",
        "image/png",
        "application/json; charset=utf-16",
        "text/html",
    ] {
        assert_eq!(problem(&send(Some(kind)).await, 415), "unsupported-media-type", "{kind}");
    }
    let xml = phone.request(Method::POST, "health-data").header("content-type", "text/xml");
    let answer = read(xml.body(health_data(&phone, &[]).to_string())).await.unwrap();
    assert_eq!(problem(&answer, 415), "unsupported-media-type");
}
