//! A phone: an HTTP client with the tokens of one person.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::{
    contract::{self, Exchange},
    reading::new_id,
};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body, if the status is the expected one.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        ensure!(self.status == status, "expected {status}, got {}: {}", self.status, self.body);
        Ok(self.body)
    }
}

/// A signed-up person.
#[derive(Clone)]
pub struct Phone {
    pub client: Client,
    pub address: SocketAddr,
    pub email: String,
    pub password: String,
    pub access_token: String,
    pub refresh_token: String,
    pub user_id: String,
}

impl Phone {
    /// Signs a new person up.
    pub async fn sign_up(address: SocketAddr) -> anyhow::Result<Self> {
        let email = format!("{}@example.org", new_id().simple());
        let mut phone = Self::of(address, email, format!("pass-{}", new_id()))?;
        let body = json!({ "email": phone.email, "password": phone.password, "display_name": "Test" });
        let tokens = phone.anonymous(Method::POST, "auth/register").json(&body);
        phone.begin(tokens).await?;
        Ok(phone)
    }

    /// Signs somebody in who has an account.
    pub async fn sign_in(address: SocketAddr, email: &str, password: &str) -> anyhow::Result<Self> {
        let mut phone = Self::of(address, email.to_owned(), password.to_owned())?;
        let body = json!({ "email": email, "password": password });
        let tokens = phone.anonymous(Method::POST, "auth/login").json(&body);
        phone.begin(tokens).await?;
        Ok(phone)
    }

    fn of(address: SocketAddr, email: String, password: String) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::builder().timeout(Duration::from_mins(1)).build()?,
            address,
            email,
            password,
            access_token: String::new(),
            refresh_token: String::new(),
            user_id: String::new(),
        })
    }

    async fn begin(&mut self, tokens: RequestBuilder) -> anyhow::Result<()> {
        self.take_tokens(&read(tokens).await?.expect(200)?)?;
        self.user_id = text(&self.get("auth/me").await?.expect(200)?, "/user_id")?;
        Ok(())
    }

    /// Uses the tokens of an answer from now on.
    pub fn take_tokens(&mut self, tokens: &Value) -> anyhow::Result<()> {
        self.access_token = text(tokens, "/access_token")?;
        self.refresh_token = text(tokens, "/refresh_token")?;
        Ok(())
    }

    /// The same person at another address, such as after a restart.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// A request below `/api/v1` without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}/api/v1/{path}", self.address))
    }

    /// A request below `/api/v1` with the person's token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.access_token)
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        read(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        read(self.request(Method::POST, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        read(self.request(Method::DELETE, path)).await
    }

    /// Waits until the job of an upload has ended, and answers its status.
    pub async fn processed(&self, upload_id: &str) -> anyhow::Result<Value> {
        loop {
            let status = self.get(&format!("healthkit/status/{upload_id}")).await?.expect(200)?;
            if matches!(status["status"].as_str(), Some("completed" | "failed")) {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All readings of a metric, page by page, newest first.
    pub async fn readings(&self, data_type: &str) -> anyhow::Result<Vec<Value>> {
        self.pages(format!("health-data?limit=1000&data_type={data_type}")).await
    }

    /// All readings of all metrics, page by page, newest first.
    pub async fn all_readings(&self) -> anyhow::Result<Vec<Value>> {
        self.pages("health-data?limit=1000".to_owned()).await
    }

    async fn pages(&self, mut path: String) -> anyhow::Result<Vec<Value>> {
        let mut readings = Vec::new();
        loop {
            let page = self.get(&path).await?.expect(200)?;
            readings.extend(page["data"].as_array().context("a page has data")?.iter().cloned());
            match page["links"]["next"].as_str() {
                Some(next) => next.trim_start_matches("/api/v1/").clone_into(&mut path),
                None => return Ok(readings),
            }
        }
    }
}

/// Sends a request; an answer without a body reads as null. In a debug build, the answer must be what the document says.
pub async fn read(request: RequestBuilder) -> anyhow::Result<Answer> {
    let (client, request) = request.build_split();
    let request = request?;
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let answer = client.execute(request).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await?;
    let body =
        if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    if cfg!(debug_assertions) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let content_type = header("content-type");
        contract::check(&Exchange {
            method: method.as_str(),
            path: &path,
            status: status.as_u16(),
            content_type: content_type.as_deref(),
            header: &header,
            body: &body,
        })?;
    }
    Ok(Answer { status, headers, body })
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    Ok(value
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no {pointer} in {value}"))?
        .to_owned())
}
