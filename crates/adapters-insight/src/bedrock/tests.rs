use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message as Frame};
use ports::Narrative;
use serde_json::json;

use super::*;
use crate::testing::{Reply, Server, cause, facts, limits, text};

fn settings(endpoint: &str) -> BedrockSettings {
    BedrockSettings {
        region: "eu-central-1".into(),
        model: "eu.amazon.nova-test-v1:0".into(),
        endpoint: Some(endpoint.to_owned()),
        access_key: Some(("AKIDEXAMPLE".into(), "secret".into())),
        covered: true,
        limits: limits(),
    }
}

/// Frames of the event stream, as Bedrock's runtime sends them.
fn stream(events: &[(&str, &str, Value)]) -> Reply {
    let mut body = Vec::new();
    for (kind, name, payload) in events {
        let header =
            |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
        let of_kind = if *kind == "event" { ":event-type" } else { ":exception-type" };
        let frame = Frame::new(payload.to_string())
            .add_header(header(":message-type", kind))
            .add_header(header(of_kind, name))
            .add_header(header(":content-type", "application/json"));
        write_message_to(&frame, &mut body).unwrap();
    }
    Reply::Bytes("content-type: application/vnd.amazon.eventstream\r\n", body)
}

fn answer(text: &str, stop: &str) -> Reply {
    let (first, second) = text.split_at(text.len() / 2);
    let part = |input: &str| {
        (
            "event",
            "contentBlockDelta",
            json!({ "contentBlockIndex": 1, "delta": { "toolUse": { "input": input } } }),
        )
    };
    let talk = json!({ "contentBlockIndex": 0, "delta": { "text": "I slept 99 hours" } });
    let start = json!({ "contentBlockIndex": 1, "start": { "toolUse": { "toolUseId": "t", "name": "write_insight" } } });
    stream(&[
        ("event", "messageStart", json!({ "role": "assistant" })),
        ("event", "contentBlockDelta", talk),
        ("event", "contentBlockStart", start),
        part(first),
        part(second),
        ("event", "contentBlockStop", json!({ "contentBlockIndex": 1 })),
        ("event", "messageStop", json!({ "stopReason": stop })),
        (
            "event",
            "metadata",
            json!({ "usage": { "inputTokens": 400, "outputTokens": 60, "totalTokens": 460 }, "metrics": { "latencyMs": 700 } }),
        ),
    ])
}

async fn write(server: &Server) -> Result<Narrative> {
    let writer = settings(&server.endpoint).writer(None).await.unwrap();
    writer.write(&facts(), &mut |_| ()).await
}

#[tokio::test]
async fn the_input_of_the_tool_becomes_the_narrative() {
    let server =
        Server::start(vec![answer(&text("You slept 7.2 hours. Good.").to_string(), "tool_use")]).await;
    let mut heard = Vec::new();
    let writer = settings(&server.endpoint).writer(Some(Price { input: 1.0, output: 5.0 })).await.unwrap();
    let narrative = writer.write(&facts(), &mut |sentence| heard.push(sentence.to_owned())).await.unwrap();
    assert_eq!(narrative.narrative, "You slept 7.2 hours. Good.");
    assert_eq!(heard.concat(), narrative.narrative);
    assert_eq!(
        (narrative.provider.as_str(), narrative.model.as_deref()),
        ("amazon-bedrock", Some("eu.amazon.nova-test-v1:0"))
    );
    let usage = narrative.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (400, 60));
    assert!((usage.cost_usd.unwrap() - 0.0007).abs() < 1e-12);
}

#[tokio::test]
async fn the_request_forces_the_tool_and_holds_nothing_but_the_facts() {
    let server = Server::start(vec![answer(&text("Fine.").to_string(), "tool_use")]).await;
    write(&server).await.unwrap();
    let asked = &server.asked()[0];
    assert!(
        asked.head.starts_with("post /model/eu.amazon.nova-test-v1%3a0/converse-stream http/1.1"),
        "{}",
        asked.head
    );
    assert!(asked.head.contains("authorization: aws4-hmac-sha256 credential=akidexample/"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["toolConfig"]["toolChoice"], json!({ "tool": { "name": "write_insight" } }));
    let schema = &body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    assert_eq!(schema["properties"]["narrative"]["type"], "string");
    let facts: Value =
        serde_json::from_str(body["messages"][0]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(facts["facts"][0]["figure"], "7.2");
    assert_eq!(body["inferenceConfig"]["temperature"], 0.0);
}

#[tokio::test]
async fn what_is_not_a_whole_grounded_answer_is_refused_with_its_reason() {
    let whole = text("You slept 7.2 hours.").to_string();
    let exception = || ("exception", "throttlingException", json!({ "message": "slow down" }));
    for (reply, kind, reason) in [
        (answer(&whole, "max_tokens"), ErrorKind::Unexpected, "the model stopped early (max_tokens)"),
        (
            answer(&whole, "guardrail_intervened"),
            ErrorKind::Unexpected,
            "the prompt was blocked (guardrail_intervened)",
        ),
        (
            answer(&text("You slept 9 hours.").to_string(), "tool_use"),
            ErrorKind::Unexpected,
            "a number in the narrative is not among the facts",
        ),
        (stream(&[]), ErrorKind::Unexpected, "the model stopped early (no reason given)"),
        (
            stream(&[exception()]),
            ErrorKind::Unavailable,
            "the request could not be sent or its answer not be read",
        ),
        (
            Reply::Answer(403, "x-amzn-errortype: AccessDeniedException\r\n", "{}".into()),
            ErrorKind::PermissionDenied,
            "the language model answered with status 403",
        ),
    ] {
        let error = write(&Server::start(vec![reply]).await).await.unwrap_err();
        assert_eq!((error.kind(), cause(&error).to_string().as_str()), (kind, reason));
    }
}

#[tokio::test]
async fn a_throttled_call_is_repeated_as_often_as_configured_and_then_rate_limited() {
    let throttled =
        Reply::Answer(429, "x-amzn-errortype: ThrottlingException\r\n", "{\"message\":\"slow\"}".into());
    let server = Server::start(vec![throttled]).await;
    let error = write(&server).await.unwrap_err();
    assert_eq!((error.kind(), server.asked().len()), (ErrorKind::RateLimited, 3));
}

#[tokio::test]
async fn an_account_that_is_not_covered_is_never_asked() {
    let settings = BedrockSettings { covered: false, ..settings("http://localhost") };
    let Err(error) = settings.writer(None).await else { panic!("it was taken") };
    assert!(cause(&error).to_string().contains("covered = true"));
}

#[tokio::test]
async fn health_data_does_not_leave_in_plain_text() {
    let Err(error) = settings("http://bedrock.example.org").writer(None).await else {
        panic!("it was taken")
    };
    assert!(cause(&error).to_string().contains("https"));
}
