//! `insights`, told while they are written: by the template, and by a language model that a program on loopback stands in for.

use std::time::Duration;

use e2e::Phone;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    events::Stream,
    support::{PATIENCE, Server, healthkit, new_id, quantity, upload},
};

/// What the day's step count is, and so what may be said.
const STEPS: u32 = 640;

fn ask(phone: &Phone) -> RequestBuilder {
    let request = phone.request(Method::POST, "insights").json(&json!({}));
    request.header("accept", "text/event-stream").timeout(PATIENCE)
}

async fn told(request: RequestBuilder) -> Stream {
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Stream::of(response)
}

/// Somebody with a day of steps.
async fn walker(server: &Server) -> Phone {
    let phone = server.phone().await;
    let steps =
        quantity("StepCount", f64::from(STEPS), "count", "2026-03-02T10:00:00Z", "2026-03-02T10:10:00Z");
    upload(&phone, &healthkit(&phone, &[steps])).await;
    phone
}

#[tokio::test]
async fn what_was_told_is_what_was_kept_and_is_told_again_under_the_same_key() {
    let server = Server::start(&[]);
    let phone = walker(&server).await;
    let key = new_id();
    let mut stream = told(ask(&phone).header("idempotency-key", &key)).await;
    let mut narrative = String::new();
    let kept = loop {
        match stream.event().await {
            (name, data) if name == "sentence" => narrative.push_str(data["text"].as_str().unwrap()),
            (name, data) => {
                assert_eq!(name, "insight");
                break data;
            }
        }
    };
    assert!(stream.is_over().await);
    assert_eq!(kept["data"]["narrative"], narrative);
    assert!(narrative.contains("640"), "{narrative}");
    let path = format!("insights/{}", kept["data"]["insight_id"].as_str().unwrap());
    assert_eq!(phone.get(&path).await.unwrap().expect(200).unwrap(), kept);
    let mut again = told(ask(&phone).header("idempotency-key", &key)).await;
    assert_eq!(again.event().await, ("insight".to_owned(), kept));
    assert!(again.is_over().await);
}

/// A language model of the `OpenAI` protocol: it says `begin`, and the rest when the connection is handed back to it.
struct Model {
    listener: TcpListener,
    endpoint: String,
}

impl Model {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1", listener.local_addr().unwrap());
        Self { listener, endpoint }
    }

    fn server(&self) -> Server {
        Server::start(&[
            ("insight.writer", "openai"),
            ("insight.openai.endpoint", &self.endpoint),
            ("insight.openai.model", "test-model"),
            ("insight.openai.covered", "true"),
            ("insight.price_input_usd_per_million_tokens", "1"),
            ("insight.price_output_usd_per_million_tokens", "4"),
        ])
    }

    /// Takes a request, and answers the beginning of its reply; also the request's body.
    async fn begin(&self, text: &str) -> (TcpStream, Value) {
        let (mut stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        let body = loop {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
            let read = String::from_utf8_lossy(&bytes);
            let Some((_, body)) = read.split_once("\r\n\r\n") else { continue };
            if let Ok(body) = serde_json::from_str(body) {
                break body;
            }
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        say(&mut stream, text, &Value::Null).await;
        (stream, body)
    }
}

async fn say(stream: &mut TcpStream, text: &str, finish: &Value) {
    let chunk = json!({
        "model": "test-model-1",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": finish }],
        "usage": { "prompt_tokens": 1000, "completion_tokens": 250 },
    });
    stream.write_all(format!("data: {chunk}\n\n").as_bytes()).await.unwrap();
}

async fn end(mut stream: TcpStream, text: &str) {
    say(&mut stream, text, &json!("stop")).await;
    stream.write_all(b"data: [DONE]\n\n").await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_sentence_of_a_language_model_is_told_while_it_still_writes() {
    let model = Model::start().await;
    let server = model.server();
    let phone = walker(&server).await;
    let (stream, (writing, asked)) = tokio::join!(
        told(ask(&phone)),
        model.begin("{\"narrative\":\"You walked 640 steps on average. That ")
    );
    let mut stream = stream;
    // The model says no more before this was heard.
    let first = stream.event().await;
    assert_eq!(first, ("sentence".to_owned(), json!({ "text": "You walked 640 steps on average. " })));
    end(writing, "is all.\",\"key_insights\":[],\"recommendations\":[]}").await;
    assert_eq!(stream.event().await, ("sentence".to_owned(), json!({ "text": "That is all." })));
    let (name, insight) = stream.event().await;
    assert_eq!(name, "insight");
    let metadata = &insight["metadata"];
    assert_eq!(
        (&metadata["provider"], &metadata["model"]),
        (&json!("openai-compatible"), &json!("test-model-1"))
    );
    // 1,000 tokens at $1 and 250 at $4 for a million.
    assert_eq!(metadata["usage"], json!({ "input_tokens": 1000, "output_tokens": 250, "cost_usd": 0.002 }));
    let sent = asked.to_string();
    for hidden in [&phone.user_id, &phone.email] {
        assert!(!sent.contains(hidden.as_str()), "the model was told who it is about");
    }
}

#[tokio::test]
async fn an_invented_number_is_never_told_and_nothing_is_kept() {
    let model = Model::start().await;
    let server = model.server();
    let phone = walker(&server).await;
    let text = "{\"narrative\":\"You walked 640 steps. Your risk is 31 in 100. Take care. ";
    let (stream, (writing, _)) = tokio::join!(told(ask(&phone)), model.begin(text));
    let mut stream = stream;
    end(writing, "\",\"key_insights\":[],\"recommendations\":[]}").await;
    assert_eq!(stream.event().await, ("sentence".to_owned(), json!({ "text": "You walked 640 steps. " })));
    let (name, problem) = stream.event().await;
    assert_eq!((name.as_str(), &problem["status"]), ("problem", &json!(500)));
    assert!(stream.is_over().await);
    let path = format!("insights/history/{}", phone.user_id);
    assert_eq!(phone.get(&path).await.unwrap().expect(200).unwrap()["data"]["count"], 0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_writing() {
    let model = Model::start().await;
    let server = model.server();
    let phone = walker(&server).await;
    let (stream, (mut writing, _)) =
        tokio::join!(told(ask(&phone)), model.begin("{\"narrative\":\"You walked 640 steps. That "));
    drop(stream);
    // The server finds out when it passes a sentence on; then it hangs up on the model.
    let chunk =
        json!({ "choices": [{ "index": 0, "delta": { "content": "Fine. " }, "finish_reason": null }] });
    let line = format!("data: {chunk}\n\n");
    let hung_up = async {
        while writing.write_all(line.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, hung_up).await.expect("the server hangs up");
}
