//! How far an import has come, as it comes on.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, http::header, web::Bytes};
use app::import::Import;
use futures::{Stream, StreamExt, stream};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{ImportBody, Progress, RETRY_AFTER};
use crate::{
    context::Context,
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemKind},
    seats::Seat,
};

/// How often it is looked how far it has come: a portion takes about as long.
const LOOK: Duration = Duration::from_millis(500);

/// At most this long between two lines.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Who watches, and what they saw last.
struct Watcher {
    context: Arc<Context>,
    user: HealthUser,
    seen: Import,
    told_at: Instant,
    is_over: bool,
    _seat: Seat,
}

/// An import as a stream of events that ends with it, or with the token.
pub(super) fn watch(context: &Ctx, user: HealthUser, import: Import) -> Result<HttpResponse, Problem> {
    if context.lifecycle.streams.is_cancelled() {
        return Err(Problem::new(ProblemKind::Unavailable).retry_after(RETRY_AFTER));
    }
    let seat = context.live.streams.take(user.user_id).ok_or_else(|| {
        Problem::new(ProblemKind::RateLimited).detail("too many event streams").retry_after(RETRY_AFTER)
    })?;
    let ended = context.lifecycle.streams.clone().cancelled_owned();
    let first = stream::iter([Ok::<_, Problem>(told(&import))]);
    let watcher = Watcher {
        context: Arc::clone(context),
        user,
        is_over: import.state.is_terminal(),
        seen: import,
        told_at: Instant::now(),
        _seat: seat,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(first.chain(watcher.rest())).take_until(ended)))
}

impl Watcher {
    fn rest(self) -> impl Stream<Item = Result<Bytes, Problem>> {
        stream::try_unfold(self, |mut watcher| async move {
            while !watcher.is_over {
                sleep(LOOK).await;
                let token = watcher.user.token.expose_secret();
                if watcher.context.app.platform.tokens.verify(token).await.is_err() {
                    return Ok(None);
                }
                let now = watcher.context.app.import_again(&watcher.user.caller, watcher.seen.id).await?;
                // Erased, with all that is the user's.
                let Some(now) = now else { return Ok(None) };
                if now != watcher.seen {
                    let lines = told(&now);
                    watcher.is_over = now.state.is_terminal();
                    (watcher.seen, watcher.told_at) = (now, Instant::now());
                    return Ok(Some((lines, watcher)));
                }
                if watcher.told_at.elapsed() >= HEARTBEAT {
                    watcher.told_at = Instant::now();
                    return Ok(Some((Bytes::from_static(b": heartbeat\n\n"), watcher)));
                }
            }
            Ok(None)
        })
    }
}

fn told(import: &Import) -> Bytes {
    if import.state.is_terminal() {
        event("import", &ImportBody::from(import))
    } else {
        event("progress", &Progress::from(import))
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", serde_json::json!(data)).into()
}
