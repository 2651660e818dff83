//! `events`: what happens to the caller's data, as server-sent events.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use domain::ids::{EventId, UserId};
use futures::{Stream, StreamExt, stream};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    context::Context,
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody},
};

/// At most this long between two lines, so that proxies and phones know the stream is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The caller's events as they happen. `Last-Event-ID` continues behind an event of the last seven days.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", security(("bearer" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")), responses(
    (status = 200, description = "text/event-stream of upload.completed and upload.deleted", content_type = "text/event-stream", body = String),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stream(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let last = crate::extract::header(&request, "last-event-id").filter(|text| !text.is_empty());
    let last: Option<EventId> = last
        .map(|text| text.parse().map_err(|_hidden| Problem::field("Last-Event-ID", "not the id of an event")))
        .transpose()?;
    // Listening begins before the kept events are read, so that none falls between the two.
    let live = context.app.live_events().await?;
    // Without an id, the stream begins now: what happened before is in the other resources.
    let after = match last {
        Some(id) => id,
        None => EventId(context.app.platform.ids.next()),
    };
    let context = Arc::clone(&context);
    let ended = context.lifecycle.streams.clone().cancelled_owned();
    let lines = Box::pin(Listener { context, user: user.user_id, token: user.0.token, live, after }.lines());
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(lines.take_until(ended)))
}

/// Who listens, and how far they have come.
struct Listener {
    context: Arc<Context>,
    user: UserId,
    token: SecretString,
    live: ports::EventStream,
    after: EventId,
}

impl Listener {
    /// Waits until there may be something new; answers whether there is, rather than only time for a heartbeat.
    async fn woken(&mut self) -> bool {
        let wake = async {
            while let Some(event) = self.live.next().await {
                // An error item says that some were missed: the records have them.
                if event.as_ref().map_or(true, |event| event.user_id == self.user) {
                    return;
                }
            }
            // A bus that ended wakes nobody; the heartbeats still look at the records.
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(HEARTBEAT, wake).await.is_ok()
    }

    /// The kept events behind the last one, each once and in order. The bus only says when to look.
    async fn unseen(&mut self) -> Result<String, Problem> {
        let events = self.context.app.events_after(self.user, Some(self.after)).await?;
        let mut lines = Vec::with_capacity(events.len());
        for (id, name, body) in events {
            lines.push(format!("id: {id}\nevent: {name}\ndata: {}\n\n", String::from_utf8_lossy(&body)));
            self.after = id;
        }
        Ok(lines.concat())
    }

    fn lines(self) -> impl Stream<Item = Result<Bytes, Problem>> {
        let first = stream::once(async { Ok(Bytes::from_static(b": connected\n\n")) });
        let rest = stream::try_unfold((self, true), |(mut listener, is_first)| async move {
            loop {
                let woken = is_first || listener.woken().await;
                // Whoever signed out since then, or whose token has ended, hears no more.
                let token = listener.token.expose_secret();
                if listener.context.app.platform.tokens.verify(token).await.is_err() {
                    return Ok(None);
                }
                let lines = listener.unseen().await?;
                if !lines.is_empty() {
                    return Ok(Some((lines.into(), (listener, false))));
                }
                if !woken || is_first {
                    return Ok(Some((Bytes::from_static(b": heartbeat\n\n"), (listener, false))));
                }
            }
        });
        first.chain(rest)
    }
}
