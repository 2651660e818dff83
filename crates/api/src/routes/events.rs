//! `events`: what happens to the caller's data, as server-sent events.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use domain::ids::EventId;
use futures::{Stream, StreamExt, stream};

use crate::{
    extract::{Authenticated, Ctx},
    problem::{Problem, ProblemBody},
};

/// At most this long between two lines, so that proxies and phones know the stream is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The caller's events as they happen. `Last-Event-ID` continues behind an event of the last seven days.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", security(("bearer" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")), responses(
    (status = 200, description = "text/event-stream of upload.completed and upload.deleted", content_type = "text/event-stream", body = String),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stream(
    context: Ctx,
    user: Authenticated,
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
    let expires_in = user.expires_in(context.app.platform.clock.now());
    let lines = lines(context, user, live, after);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(lines.take_until(ended).take_until(tokio::time::sleep(expires_in))))
}

/// Comments as heartbeats, and each kept event once, in order. The bus only says when to look.
fn lines(
    context: Arc<crate::context::Context>,
    user: Authenticated,
    live: ports::EventStream,
    after: EventId,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let greeting = stream::once(async { Ok(Bytes::from_static(b": connected\n\n")) });
    let events = stream::unfold(
        (context, user, live, after, true),
        |(context, user, mut live, mut after, first)| async move {
            let mut beat = false;
            if !first {
                let wake = async {
                    while let Some(event) = live.next().await {
                        // An error item says that some were missed: the records have them.
                        if event.as_ref().map_or(true, |event| event.user_id == user.user_id) {
                            return;
                        }
                    }
                    std::future::pending::<()>().await;
                };
                beat = tokio::time::timeout(HEARTBEAT, wake).await.is_err();
            }
            let mut chunk = String::new();
            match context.app.events_after(user.user_id, Some(after)).await {
                Ok(events) => {
                    for (id, name, body) in events {
                        let data = String::from_utf8_lossy(&body);
                        chunk += &format!(
                            "id: {id}
event: {name}
data: {data}

"
                        );
                        after = id;
                    }
                }
                Err(error) => return Some((Err(error.into()), (context, user, live, after, false))),
            }
            if chunk.is_empty() && beat {
                chunk.push_str(": heartbeat\n\n");
            }
            Some((Ok(Bytes::from(chunk)), (context, user, live, after, false)))
        },
    );
    let filled =
        events.filter(|chunk| std::future::ready(chunk.as_ref().map_or(true, |bytes| !bytes.is_empty())));
    Box::pin(greeting.chain(filled))
}
