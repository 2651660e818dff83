//! `events`: what happens to the caller's data, as server-sent events.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web, web::Bytes};
use app::events::Position;
use domain::ids::{EventId, UserId};
use futures::{Stream, StreamExt, stream};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::ws::ROOM_EVENT;
use crate::{
    context::Context,
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody, ProblemKind},
    seats::Seat,
};

/// At most this long between two lines, so that proxies and phones know the stream is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a client waits before it connects again, in milliseconds.
const RETRY_MS: u64 = 3_000;
/// When a client with too many streams may try another.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How many kept events are read at once: what is in memory does not grow with what was missed.
const PAGE: usize = 100;

/// What may stand in the query.
#[derive(Deserialize)]
pub(crate) struct Since {
    last_event_id: Option<String>,
}

/// The caller's events as they happen: `upload.completed`, `upload.deleted`, `analysis.completed`, `insight.completed`.
///
/// Each has an `id`; with `Last-Event-ID` (or `last_event_id`, for clients that cannot set headers) the stream goes on behind
/// that event, each once and in order, from whichever instance, also after a restart. Events are kept for seven days. Where the
/// named event is older or unknown, the stream begins with the oldest that is kept, after an event `gap` (`data:
/// {"kept_days":7}`, without an `id`): then what was missed is in the other resources. Without an id the stream begins now.
/// A comment comes at least every 10 seconds. The stream ends when the token ends or is revoked, and at a restart of the server;
/// connect again with a current token.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", security(("bearer" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen", format = "uuid"),
        ("last_event_id" = Option<String>, Query, description = "The same, where no header can be set", format = "uuid")),
    responses(
    (status = 200, description = "The stream", content_type = "text/event-stream", body = String,
        example = ": connected\n\n: position\nretry: 3000\nid: 019b1f6e-0000-7000-8000-000000000000\n\n"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "The user has too many streams", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The server stops", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stream(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    if context.lifecycle.streams.is_cancelled() {
        return Err(Problem::new(ProblemKind::Unavailable).retry_after(Duration::from_millis(RETRY_MS)));
    }
    let since = web::Query::<Since>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("last_event_id", "is there more than once"))?;
    let of_header = crate::extract::header(&request, "last-event-id").map(|text| ("Last-Event-ID", text));
    let of_query = since.last_event_id.as_deref().map(|text| ("last_event_id", text));
    let last: Option<EventId> = of_header
        .or(of_query)
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| text.parse().map_err(|_hidden| Problem::field(name, "not the id of an event")))
        .transpose()?;
    let seat = context.live.streams.take(user.user_id).ok_or_else(|| {
        Problem::new(ProblemKind::RateLimited).detail("too many event streams").retry_after(RETRY_AFTER)
    })?;
    // Listening begins before the kept events are read, so that none falls between the two.
    let live = context.app.live_events().await?;
    let Position { after, has_gap } = context.app.event_position(user.user_id, last).await?;
    let context = Arc::clone(&context);
    let ended = context.lifecycle.streams.clone().cancelled_owned();
    let listener = Listener { context, user: user.user_id, token: user.0.token, live, after, _seat: seat };
    let lines = Box::pin(listener.lines(has_gap));
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
    _seat: Seat,
}

impl Listener {
    /// Waits until there may be something new; answers whether there is, rather than only time for a heartbeat.
    async fn woken(&mut self) -> bool {
        let wake = async {
            while let Some(event) = self.live.next().await {
                // An error item says that some were missed: the records have them.
                let is_news = |event: &ports::Event| event.user_id == self.user && event.name != ROOM_EVENT;
                if event.as_ref().map_or(true, is_news) {
                    return;
                }
            }
            // A bus that ended wakes nobody; the heartbeats still look at the records.
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(HEARTBEAT, wake).await.is_ok()
    }

    /// The next kept events behind the last one, each once and in order, and whether there may be more. The bus only says
    /// when to look.
    async fn unseen(&mut self) -> Result<(String, bool), Problem> {
        let events = self.context.app.events_after(self.user, Some(self.after), PAGE).await?;
        let has_more = events.len() == PAGE;
        let mut lines = Vec::with_capacity(events.len());
        for (id, name, body) in events {
            lines.push(format!("id: {id}\nevent: {name}\ndata: {}\n\n", String::from_utf8_lossy(&body)));
            self.after = id;
        }
        Ok((lines.concat(), has_more))
    }

    /// Where the stream begins. The id lets a client that has not seen any event come back to here.
    fn greeting(&self, has_gap: bool) -> Bytes {
        let gap = if has_gap {
            ": not all that was missed is kept\nevent: gap\ndata: {\"kept_days\":7}\n\n"
        } else {
            ""
        };
        format!(": connected\n\n: position\nretry: {RETRY_MS}\nid: {}\n\n{gap}", self.after).into()
    }

    fn lines(self, has_gap: bool) -> impl Stream<Item = Result<Bytes, Problem>> {
        let greeting = self.greeting(has_gap);
        let first = stream::once(async { Ok(greeting) });
        let rest = stream::try_unfold((self, true), |(mut listener, is_behind)| async move {
            let mut is_behind = is_behind;
            loop {
                let woken = is_behind || listener.woken().await;
                // Whoever signed out since then, or whose token has ended, hears no more.
                let token = listener.token.expose_secret();
                if listener.context.app.platform.tokens.verify(token).await.is_err() {
                    return Ok(None);
                }
                let (lines, has_more) = listener.unseen().await?;
                if !lines.is_empty() {
                    return Ok(Some((lines.into(), (listener, has_more))));
                }
                if !woken || is_behind {
                    return Ok(Some((Bytes::from_static(b": heartbeat\n\n"), (listener, false))));
                }
                is_behind = false;
            }
        });
        first.chain(rest)
    }
}
