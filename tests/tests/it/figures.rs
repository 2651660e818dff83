//! What `/metrics` tells of the ports.

use reqwest::{Client, Method};
use serde_json::json;

use crate::support::{Server, healthkit, heart_rate, upload};

/// A call that succeeded and one that did not, each under the provider that served it; and nothing of who asked.
#[tokio::test]
async fn calls_of_ports_are_counted_by_provider_operation_and_outcome() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    upload(&phone, &healthkit(&phone, &[heart_rate(0)])).await;
    let wrong = json!({ "email": phone.email, "password": "not it at all" });
    let denied = phone.anonymous(Method::POST, "auth/login").json(&wrong).send().await.unwrap();
    assert_eq!(denied.status(), 401);
    let text = Client::new().get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let count = |operation: &str, outcome: &str| {
        let labels = format!(r#"{{provider="local",operation="{operation}",outcome="{outcome}"}} "#);
        let name = format!("port_calls_total{labels}");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or_default()
    };
    assert!(count("records.commit", "ok") >= 1, "{text}");
    assert!(count("jobs.publish", "ok") >= 1, "{text}");
    assert!(count("tokens.verify", "ok") >= 1, "{text}");
    assert_eq!(count("identity.sign_in", "permission_denied"), 1, "{text}");
    assert!(
        text.contains(r#"port_call_duration_seconds_count{provider="local",operation="records.commit"}"#)
    );
    assert!(!text.contains(&phone.email) && !text.contains(&phone.user_id), "{text}");
}
