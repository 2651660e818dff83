//! What other processes tell: one connection that listens, for all who wait here.

use std::{sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, broadcast, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// The channel on which processes tell that a message may be ready.
pub(crate) const JOBS: &str = "clarity_jobs";
/// The channel of events.
pub(crate) const EVENTS: &str = "clarity_events";
/// How many events a subscriber can be behind before it misses some; a power of two, as the channel rounds up to one.
pub const EVENT_BACKLOG_MAX: usize = 1024;
/// After so long without a word the connection is tried: a server can be gone without one.
const SILENCE: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(5);
/// Between two attempts to listen again.
const PAUSE: Duration = Duration::from_millis(200);

/// What came on the channel of events.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// The text of a notification.
    Text(Arc<str>),
    /// The connection was lost, and with it whatever was told meanwhile.
    Nothing,
}

/// Listens until it is dropped.
pub(crate) struct Listener {
    heard: Arc<Channels>,
    task: AbortHandle,
}

struct Channels {
    jobs: Notify,
    events: broadcast::Sender<Heard>,
    is_listening: watch::Sender<bool>,
}

impl Listener {
    pub(crate) fn start(options: PgConnectOptions) -> Self {
        let heard = Arc::new(Channels {
            jobs: Notify::new(),
            events: broadcast::Sender::new(EVENT_BACKLOG_MAX),
            is_listening: watch::Sender::new(false),
        });
        // A pool of its own, so that listening takes no connection from those who work.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let task = tokio::spawn(run(pool.connect_lazy_with(options), Arc::clone(&heard)));
        Self { heard, task: task.abort_handle() }
    }

    /// Wakes when a message may have become ready.
    pub(crate) fn jobs(&self) -> &Notify {
        &self.heard.jobs
    }

    /// What is told of events from now on, and some of what was told shortly before.
    pub(crate) fn events(&self) -> broadcast::Receiver<Heard> {
        self.heard.events.subscribe()
    }

    /// Waits until the server knows that this process listens.
    pub(crate) async fn is_listening(&self) {
        // The sender lives as long as `self` does.
        self.heard.is_listening.subscribe().wait_for(|is_listening| *is_listening).await.ok();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(pool: PgPool, heard: Arc<Channels>) {
    loop {
        let Err(error) = listen(&pool, &heard).await;
        if heard.is_listening.send_replace(false) {
            tracing::warn!(error = %error, "the connection that listens is lost; trying again");
            heard.events.send(Heard::Nothing).ok();
        }
        sleep(PAUSE).await;
    }
}

/// Tells on what is heard, until the connection is lost.
async fn listen(pool: &PgPool, heard: &Channels) -> sqlx::Result<std::convert::Infallible> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all([JOBS, EVENTS]).await?;
    heard.is_listening.send_replace(true);
    // Something may have been told before this listened.
    heard.jobs.notify_waiters();
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(told))) if told.channel() == EVENTS => {
                heard.events.send(Heard::Text(told.payload().into())).ok();
            }
            Ok(Ok(Some(_))) => heard.jobs.notify_waiters(),
            Ok(Ok(None)) => return Err(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(Err(error)) => return Err(error),
            Err(_silence) => {
                let answer = timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await;
                answer.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?;
            }
        }
    }
}

/// Tells other processes that a message may be ready, in a transaction of its own: one that notifies holds a lock of the
/// whole server from before its commit is written to the disk. However many messages come meanwhile, it tells once.
pub(crate) struct Teller {
    news: Arc<Notify>,
    task: AbortHandle,
}

impl Teller {
    pub(crate) fn start(pool: PgPool) -> Self {
        let news = Arc::new(Notify::new());
        let waiting = Arc::clone(&news);
        let task = tokio::spawn(async move {
            loop {
                waiting.notified().await;
                let tell = sqlx::query("SELECT pg_notify($1, '')").bind(JOBS).execute(&pool);
                if let Err(error) = tell.await {
                    tracing::debug!(error = %error, "nobody was told of a message; they look for themselves");
                }
            }
        });
        Self { news, task: task.abort_handle() }
    }

    pub(crate) fn tell(&self) {
        self.news.notify_one();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}
