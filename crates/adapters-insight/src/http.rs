//! Asking a provider over HTTP: where data may be sent, how often, how long, and how much of an answer is read.

mod retry;

use std::time::Duration;

use eventsource_stream::{EventStreamError, Eventsource};
use futures::{Stream, StreamExt};
use reqwest::{RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::{
    fault::{ANSWER_BYTES_MAX, Fault},
    writer::Limits,
};

/// A provider's address, and how it is asked.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) url: Url,
    client: reqwest::Client,
    retries_max: u32,
}

/// What was answered instead of an event stream.
struct Refusal {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(url: Url, limits: Limits) -> Result<Self, Fault> {
        limits.check()?;
        let client = reqwest::Client::builder()
            .connect_timeout(limits.connect_timeout)
            // A redirect would carry health data to an endpoint that nobody configured as covered.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| Fault::Transport(error.into()))?;
        Ok(Self { url, client, retries_max: limits.retries_max })
    }

    /// Posts `body` until there is an answer, a refusal that stays, or no time left; answers the data of each server-sent event.
    pub(crate) async fn events(
        &self,
        body: &serde_json::Value,
        deadline: Instant,
        authorise: &(dyn Fn(RequestBuilder) -> RequestBuilder + Sync),
    ) -> Result<impl Stream<Item = Result<String, Fault>> + Send + Unpin + use<>, Fault> {
        let mut attempt = 0;
        loop {
            let request = authorise(self.client.post(self.url.clone()).json(body));
            let response = request.send().await.map_err(transport)?;
            if response.status() == StatusCode::OK {
                return Ok(Box::pin(data(response)));
            }
            let refusal = Refusal::read(response).await?;
            let delay = retry::delay(refusal.retry_after, &refusal.body, attempt);
            let is_in_time = deadline.saturating_duration_since(Instant::now()) > delay;
            if attempt >= self.retries_max || !retry::is_worthwhile(refusal.status) || !is_in_time {
                return Err(Fault::Status(refusal.status.as_u16()));
            }
            attempt += 1;
            tracing::warn!(
                status = refusal.status.as_u16(),
                attempt,
                ?delay,
                "the language model is asked again"
            );
            tokio::time::sleep(delay).await;
        }
    }
}

impl Refusal {
    async fn read(response: Response) -> Result<Self, Fault> {
        let (status, retry_after) = (response.status(), retry::after(response.headers()));
        let mut chunks = std::pin::pin!(limited(response));
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
        }
        Ok(Self { status, retry_after, body })
    }
}

/// An error of reqwest names the address, which may name a project.
fn transport(error: reqwest::Error) -> Fault {
    Fault::Transport(error.without_url().into())
}

fn limited(response: Response) -> impl Stream<Item = Result<Vec<u8>, Fault>> + Send {
    response.bytes_stream().scan(0_usize, |length, chunk| {
        let chunk = chunk.map_err(transport).and_then(|chunk| {
            *length += chunk.len();
            if *length > ANSWER_BYTES_MAX { Err(Fault::TooLarge) } else { Ok(chunk.to_vec()) }
        });
        std::future::ready(Some(chunk))
    })
}

fn data(response: Response) -> impl Stream<Item = Result<String, Fault>> + Send {
    limited(response).eventsource().map(|event| match event {
        Ok(event) => Ok(event.data),
        Err(EventStreamError::Transport(fault)) => Err(fault),
        Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => Err(Fault::Schema),
    })
}

pub(crate) fn check_credential(credential: &SecretString) -> Result<(), Fault> {
    let credential = credential.expose_secret();
    if credential.is_empty() || !credential.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Fault::Settings(
            "the credential is empty or holds white space: give an API key or an access token",
        ));
    }
    Ok(())
}
