use std::collections::BTreeSet;

use ports::Narrative;

use super::*;
use crate::testing::{Reply, Server, cause, facts, limits, text};

fn settings(endpoint: &str) -> OpenAiSettings {
    OpenAiSettings {
        endpoint: format!("{endpoint}/v1/"),
        api_key: Some(SecretString::from("the-api-key")),
        model: "llama-test".into(),
        covered: true,
        limits: limits(),
    }
}

/// What vLLM sends: a role, the text in parts, a reason, the usage, and the end.
fn completion(text: &str, finish: &str) -> Reply {
    let (first, second) = text.split_at(text.len() / 2);
    let chunk = |choices: Value, usage: Value| json!({ "id": "c", "object": "chat.completion.chunk", "model": "llama-test-8b", "choices": choices, "usage": usage });
    let delta =
        |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let events = [
        chunk(delta(json!({ "role": "assistant", "content": "" }), Value::Null), Value::Null),
        chunk(delta(json!({ "content": first }), Value::Null), Value::Null),
        chunk(delta(json!({ "content": second }), json!(finish)), Value::Null),
        chunk(json!([]), json!({ "prompt_tokens": 321, "completion_tokens": 54 })),
    ];
    let mut data: Vec<String> = events.iter().map(Value::to_string).collect();
    data.push("[DONE]".to_owned());
    Reply::events(&data)
}

async fn write(server: &Server) -> Result<Narrative> {
    settings(&server.endpoint).writer(None).unwrap().write(&facts(), &mut |_| ()).await
}

#[tokio::test]
async fn a_grounded_answer_becomes_the_narrative() {
    let server = Server::start(vec![completion(&text("You slept 7.2 hours.").to_string(), "stop")]).await;
    let narrative = write(&server).await.unwrap();
    assert_eq!(narrative.narrative, "You slept 7.2 hours.");
    assert_eq!(
        (narrative.provider.as_str(), narrative.model.as_deref()),
        ("openai-compatible", Some("llama-test-8b"))
    );
    assert_eq!(narrative.usage, Some(Usage { input_tokens: 321, output_tokens: 54, cost_usd: None }));
}

#[tokio::test]
async fn the_request_holds_the_facts_and_a_strict_schema_and_the_key() {
    let server = Server::start(vec![completion(&text("Fine.").to_string(), "stop")]).await;
    write(&server).await.unwrap();
    let asked = &server.asked()[0];
    assert!(asked.head.starts_with("post /v1/chat/completions http/1.1"), "{}", asked.head);
    assert!(asked.head.contains("authorization: bearer the-api-key"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let schema = &body["response_format"]["json_schema"];
    assert_eq!((&schema["strict"], &schema["schema"]["additionalProperties"]), (&json!(true), &json!(false)));
    let names: BTreeSet<&str> =
        schema["schema"]["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(names, BTreeSet::from(["narrative", "key_insights", "recommendations"]));
    let facts: Value = serde_json::from_str(body["messages"][1]["content"].as_str().unwrap()).unwrap();
    assert_eq!(facts["facts"][0]["figure"], "7.2");
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_a_whole_grounded_answer_is_refused_with_its_reason() {
    let whole = text("You slept 7.2 hours.").to_string();
    let refusal = json!({ "choices": [{ "delta": { "refusal": "I cannot" } }] }).to_string();
    for (reply, reason) in [
        (completion(&whole, "length"), "the model stopped early (length)"),
        (completion(&whole, "content_filter"), "the prompt was blocked (content_filter)"),
        (completion(&whole[..whole.len() - 2], "stop"), "the answer does not have the schema asked for"),
        (
            completion(&text("You slept 9 hours.").to_string(), "stop"),
            "a number in the narrative is not among the facts",
        ),
        (Reply::events(&[refusal]), "the prompt was blocked (refusal)"),
        (Reply::events(&["nonsense".into()]), "the answer does not have the schema asked for"),
        (Reply::Answer(200, "", String::new()), "the model stopped early (no reason given)"),
        (Reply::Answer(404, "", "{}".into()), "the language model answered with status 404"),
    ] {
        let error = write(&Server::start(vec![reply]).await).await.unwrap_err();
        assert_eq!(cause(&error).to_string(), reason);
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_time_that_it_names() {
    let busy = Reply::Answer(429, "retry-after: 1\r\n", "{}".into());
    let server = Server::start(vec![busy, completion(&text("Fine.").to_string(), "stop")]).await;
    write(&server).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].at - asked[0].at >= std::time::Duration::from_secs(1));
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_what_to_do() {
    let good =
        || OpenAiSettings { endpoint: "https://llm.example.org/v1".into(), ..settings("http://localhost") };
    for (settings, advice) in [
        (OpenAiSettings { covered: false, ..good() }, "covered = true"),
        (OpenAiSettings { endpoint: "http://llm.example.org/v1".into(), ..good() }, "https"),
        (
            OpenAiSettings { endpoint: "https://llm.example.org/v1?key=x".into(), ..good() },
            "without user and query",
        ),
        (OpenAiSettings { model: " ".into(), ..good() }, "no name"),
        (OpenAiSettings { api_key: Some(SecretString::from("")), ..good() }, "credential is empty"),
    ] {
        let Err(error) = settings.writer(None) else { panic!("it was taken, and lacks {advice}") };
        assert!(cause(&error).to_string().contains(advice), "{}", cause(&error));
    }
    assert!(good().writer(None).is_ok());
    assert!(OpenAiSettings { api_key: None, ..good() }.writer(None).is_ok());
}
