use std::{collections::BTreeSet, error::Error as _, time::Duration};

use ports::{Narrative, Outcome};

use super::*;
use crate::{
    grounding::{Section, Ungrounded},
    testing::{Reply, Server, cause, facts, limits, text},
    writer::Limits,
};

fn settings(endpoint: &str) -> GeminiSettings {
    GeminiSettings {
        endpoint: endpoint.into(),
        route: GeminiRoute::AiStudio,
        credential: key("the-api-key"),
        model: "gemini-test".into(),
        covered: true,
        limits: limits(),
    }
}

fn key(text: &str) -> GoogleCredential {
    GoogleCredential::Given(SecretString::from(text))
}

/// Gemini's envelopes around the parts of one candidate.
fn candidate(text: &str, finish: &str) -> Reply {
    let (first, second) = text.split_at(text.len() / 2);
    let usage = |output: u32| json!({ "promptTokenCount": 210, "candidatesTokenCount": output, "thoughtsTokenCount": 5 });
    let begun = json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": "Let me think: 99", "thought": true }, { "text": first }] }, "index": 0 }],
        "usageMetadata": usage(7),
        "modelVersion": "gemini-test-002",
    });
    let ended = json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": second }] }, "finishReason": finish, "index": 0 }],
        "usageMetadata": usage(40),
        "modelVersion": "gemini-test-002",
    });
    Reply::events(&[begun.to_string(), ended.to_string()])
}

fn success() -> Reply {
    candidate(&text("On average you slept 7.2 hours (13 of 14 nights).").to_string(), "STOP")
}

fn too_many(delay: &str) -> Reply {
    let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
        { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [] },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay },
    ] } });
    Reply::Answer(429, "", body.to_string())
}

async fn write(server: &Server) -> Result<Narrative> {
    ask(settings(&server.endpoint), &facts()).await
}

async fn ask(settings: GeminiSettings, facts: &InsightFacts) -> Result<Narrative> {
    settings.writer(None).unwrap().write(facts, &mut |_| ()).await
}

async fn fault(replies: Vec<Reply>) -> (ErrorKind, String) {
    let error = write(&Server::start(replies).await).await.unwrap_err();
    assert_eq!((error.operation(), error.outcome()), ("insight.gemini.write", Outcome::NotApplied));
    (error.kind(), error.source().unwrap().to_string())
}

#[tokio::test]
async fn a_grounded_answer_becomes_the_narrative() {
    let server = Server::start(vec![success()]).await;
    let narrative = write(&server).await.unwrap();
    assert_eq!(narrative.narrative, "On average you slept 7.2 hours (13 of 14 nights).");
    assert_eq!(narrative.key_insights, ["You slept 7.2 h."]);
    assert_eq!(narrative.recommendations, ["Keep a rhythm."]);
    assert_eq!(narrative.provider, "google-ai-studio");
    assert_eq!(narrative.model.as_deref(), Some("gemini-test-002"));
    assert_eq!(narrative.usage, Some(ports::Usage { input_tokens: 210, output_tokens: 45, cost_usd: None }));
}

#[tokio::test]
async fn the_request_holds_the_facts_and_the_schema_and_nothing_else() {
    let server = Server::start(vec![success()]).await;
    write(&server).await.unwrap();
    let asked = &server.asked()[0];
    assert!(
        asked.head.starts_with("post /v1beta/models/gemini-test:streamgeneratecontent?alt=sse http/1.1"),
        "{}",
        asked.head
    );
    assert!(asked.head.contains("x-goog-api-key: the-api-key"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let generation = &body["generationConfig"];
    assert_eq!(generation["responseMimeType"], "application/json");
    assert_eq!(
        generation["responseSchema"]["required"],
        json!(["narrative", "key_insights", "recommendations"])
    );
    let prompt: Value =
        serde_json::from_str(body["contents"][0]["parts"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        prompt,
        json!({
            "facts": [{
                "label": "mean total sleep time",
                "figure": "7.2",
                "unit": "h",
                "coverage": "13 of 14 nights",
                "method": "union of asleep stages",
            }],
            "not_assessed": ["PAT: no model is loaded"],
        })
    );
    let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["contents", "generationConfig", "systemInstruction"]));
    assert_eq!(body["contents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn recommendations_are_neither_asked_for_nor_taken_where_they_are_not_wanted() {
    let server = Server::start(vec![success()]).await;
    let error = ask(settings(&server.endpoint), &InsightFacts { include_recommendations: false, ..facts() })
        .await
        .unwrap_err();
    assert!(matches!(cause(&error), Fault::Schema));
    assert!(!server.asked()[0].body.contains("recommendations"));
}

#[tokio::test]
async fn vertex_gets_a_bearer_token_at_its_own_path() {
    let server = Server::start(vec![success()]).await;
    let route = GeminiRoute::Vertex { project: "care-1".into(), location: "europe-west4".into() };
    let narrative = ask(GeminiSettings { route, ..settings(&server.endpoint) }, &facts()).await.unwrap();
    assert_eq!(narrative.provider, "google-vertex");
    let head = &server.asked()[0].head;
    let path = "post /v1/projects/care-1/locations/europe-west4/publishers/google/models/gemini-test:streamgeneratecontent?alt=sse ";
    assert!(head.starts_with(path), "{head}");
    assert!(head.contains("authorization: bearer the-api-key"));
}

#[tokio::test]
async fn a_blocked_prompt_is_an_error_although_its_status_is_200() {
    let body =
        json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 9 } });
    let blocked = Reply::events(&[body.to_string()]);
    assert_eq!(fault(vec![blocked]).await, (ErrorKind::Unexpected, "the prompt was blocked (SAFETY)".into()));
}

#[tokio::test]
async fn a_refusal_is_repeated_after_the_delay_that_it_asks_for() {
    // Longer than the delay that is taken without advice.
    let server = Server::start(vec![too_many("0.7s"), success()]).await;
    write(&server).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    let gap = asked[1].at - asked[0].at;
    assert!(gap >= Duration::from_millis(700), "{gap:?}");
    assert_eq!(asked[0].body, asked[1].body);
}

#[tokio::test]
async fn a_refusal_that_does_not_end_is_rate_limited_after_all_retries() {
    let server = Server::start(vec![too_many("0.001s")]).await;
    let error = write(&server).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::RateLimited, true));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_delay_beyond_the_deadline_is_not_waited_for() {
    let server = Server::start(vec![too_many("31s"), success()]).await;
    assert_eq!(write(&server).await.unwrap_err().kind(), ErrorKind::RateLimited);
    let server =
        Server::start(vec![Reply::Answer(503, "retry-after: 31\r\n", String::new()), success()]).await;
    assert_eq!(write(&server).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn refusals_that_stay_are_not_repeated() {
    for (status, kind) in
        [(400, ErrorKind::Unexpected), (403, ErrorKind::PermissionDenied), (404, ErrorKind::Unexpected)]
    {
        let server = Server::start(vec![Reply::Answer(status, "", "{}".into()), success()]).await;
        assert_eq!(write(&server).await.unwrap_err().kind(), kind);
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![success()]).await;
    let location: &'static str = format!("location: {}/\r\n", elsewhere.endpoint).leak();
    assert_eq!(fault(vec![Reply::Answer(307, location, String::new())]).await.0, ErrorKind::Unexpected);
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn truncated_json_is_never_accepted() {
    let whole = text("You slept 7.2 hours.").to_string();
    let (kind, cause) = fault(vec![candidate(&whole[..whole.len() - 2], "STOP")]).await;
    assert_eq!(
        (kind, cause.as_str()),
        (ErrorKind::Unexpected, "the answer does not have the schema asked for")
    );
    let (_, cause) = fault(vec![candidate(&whole, "MAX_TOKENS")]).await;
    assert_eq!(cause, "the model stopped early (MAX_TOKENS)");
    let (_, cause) = fault(vec![candidate(&whole, "SAFETY")]).await;
    assert_eq!(cause, "the model stopped early (SAFETY)");
    let (_, cause) = fault(vec![candidate(&whole, "you slept 4 h")]).await;
    assert_eq!(cause, "the model stopped early (no reason given)");
}

#[tokio::test]
async fn an_answer_of_another_schema_is_refused() {
    let wrong = [
        json!({ "narrative": "Fine.", "key_insights": [], "confidence": "high" }),
        json!({ "narrative": "Fine." }),
        json!({ "narrative": "", "key_insights": [] }),
        json!({ "narrative": ["Fine."], "key_insights": [] }),
        json!({ "narrative": "Fine. ".repeat(1_000), "key_insights": [] }),
        json!({ "narrative": "Fine.", "key_insights": vec!["Fine."; 13] }),
        json!("Fine."),
    ];
    for wrong in wrong {
        let (_, cause) = fault(vec![candidate(&wrong.to_string(), "STOP")]).await;
        assert_eq!(cause, "the answer does not have the schema asked for", "{wrong}");
    }
    assert_eq!(fault(vec![Reply::Answer(200, "", "<html>".into())]).await.0, ErrorKind::Unexpected);
}

#[tokio::test]
async fn a_number_that_is_not_among_the_facts_is_refused_and_not_told() {
    let server = Server::start(vec![candidate(&text("You slept 7.9 hours.").to_string(), "STOP")]).await;
    let error = write(&server).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unexpected, false));
    assert!(matches!(cause(&error), Fault::Ungrounded(Ungrounded { section: Section::Narrative })));
    let told = format!("{error} {error:?} {}", error.source().unwrap());
    assert!(!told.contains("7.9"), "{told}");
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_deadline() {
    let server = Server::start(vec![Reply::Silence]).await;
    let limits = Limits { timeout: Duration::from_millis(100), ..limits() };
    let error = ask(GeminiSettings { limits, ..settings(&server.endpoint) }, &facts()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    assert!(matches!(cause(&error), Fault::Deadline));
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let (kind, cause) = fault(vec![Reply::Endless]).await;
    assert_eq!((kind, cause.as_str()), (ErrorKind::Unexpected, "the answer is larger than 1048576 bytes"));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(settings(&format!("http://{unused}")), &facts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(cause(&error), Fault::Transport(_)));
}

#[tokio::test]
async fn without_facts_nothing_is_sent_and_the_template_says_so() {
    let server = Server::start(vec![success()]).await;
    let narrative =
        ask(settings(&server.endpoint), &InsightFacts { facts: vec![], ..facts() }).await.unwrap();
    assert_eq!((narrative.provider.as_str(), narrative.model), ("template", None));
    assert!(narrative.recommendations.is_empty() && server.asked().is_empty());
}

#[tokio::test]
async fn a_language_that_the_check_cannot_read_is_refused_before_anything_is_sent() {
    let server = Server::start(vec![success()]).await;
    let error = ask(settings(&server.endpoint), &InsightFacts { language: "de".into(), ..facts() })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(server.asked().is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_what_to_do() {
    let good = || settings("https://generativelanguage.googleapis.com");
    let bad = [
        (GeminiSettings { covered: false, ..good() }, "covered = true"),
        (GeminiSettings { endpoint: "http://generativelanguage.googleapis.com".into(), ..good() }, "https"),
        (GeminiSettings { endpoint: "https://user:pw@example.org".into(), ..good() }, "without user"),
        (GeminiSettings { endpoint: "https://example.org/?key=x".into(), ..good() }, "without user"),
        (GeminiSettings { endpoint: "https://example.org/v1".into(), ..good() }, "scheme and host"),
        (GeminiSettings { endpoint: "example.org".into(), ..good() }, "without user"),
        (
            GeminiSettings { credential: GoogleCredential::ApplicationDefault, ..good() },
            "AI Studio needs an API key",
        ),
        (GeminiSettings { model: "../secrets".into(), ..good() }, "names of letters"),
        (GeminiSettings { credential: key(""), ..good() }, "credential is empty"),
        (GeminiSettings { credential: key("key\n"), ..good() }, "white space"),
        (
            GeminiSettings { limits: Limits { timeout: Duration::ZERO, ..limits() }, ..good() },
            "timeout is zero",
        ),
    ];
    for (settings, advice) in bad {
        let Err(error) = settings.writer(None) else { panic!("it was taken, and lacks {advice}") };
        assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, "insight.gemini.configure"));
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(advice), "{cause}");
    }
    assert!(!format!("{:?}", good()).contains("the-api-key"));
}

#[tokio::test]
async fn a_sentence_is_heard_before_the_answer_is_whole_and_all_of_them_are_the_narrative() {
    let narrative = "You slept 7.2 hours. That is 13 of 14 nights. The rest was not assessed.";
    let whole =
        json!({ "narrative": narrative, "key_insights": ["You slept 7.2 h."], "recommendations": [] });
    let server = Server::start(vec![candidate(&whole.to_string(), "STOP")]).await;
    let mut heard = Vec::new();
    let writer = settings(&server.endpoint).writer(None).unwrap();
    writer.write(&facts(), &mut |sentence| heard.push(sentence.to_owned())).await.unwrap();
    assert_eq!(heard.concat(), narrative);
    assert!(heard.len() > 1, "{heard:?}");
}

#[tokio::test]
async fn nothing_is_heard_from_a_number_on_that_is_not_among_the_facts() {
    let narrative = "You slept 7.2 hours. Your risk is 31 percent. You slept 7.2 hours. Good. Night.";
    let server = Server::start(vec![candidate(&text(narrative).to_string(), "STOP")]).await;
    let mut heard = String::new();
    let writer = settings(&server.endpoint).writer(None).unwrap();
    let error = writer.write(&facts(), &mut |sentence| heard.push_str(sentence)).await.unwrap_err();
    assert!(matches!(cause(&error), Fault::Ungrounded(_)));
    assert_eq!(heard, "You slept 7.2 hours. ");
}

#[tokio::test]
async fn what_it_cost_is_told_only_where_the_operator_gave_prices() {
    let server = Server::start(vec![success()]).await;
    let price = Price { input: 0.3, output: 2.5 };
    let writer = settings(&server.endpoint).writer(Some(price)).unwrap();
    let usage = writer.write(&facts(), &mut |_| ()).await.unwrap().usage.unwrap();
    // 210 tokens at $0.30 and 45 at $2.50 for a million.
    assert!((usage.cost_usd.unwrap() - 0.000_175_5).abs() < 1e-12);
}
