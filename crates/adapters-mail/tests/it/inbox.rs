//! Where mails of the mailers without a server arrive.

use std::{
    fmt::{self, Write},
    future::{Ready, ready},
    sync::{Arc, Mutex, Once, PoisonError},
};

use adapters_mail::{LogMailer, MemoryMailer};
use conformance::{Inbox, MailerFixture, ReceivedMail};
use futures::future::BoxFuture;
use ports::Email;
use secrecy::ExposeSecret;
use tracing::field::{Field, Visit};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

struct InMemory(Arc<MemoryMailer>);

impl Inbox for InMemory {
    fn mails(&self, to: &Email) -> BoxFuture<'_, Vec<ReceivedMail>> {
        let received = self
            .0
            .mails(to)
            .into_iter()
            .map(|mail| ReceivedMail { subject: mail.subject, text: mail.text.expose_secret().to_owned() });
        let received = received.collect();
        Box::pin(async { received })
    }

    fn hold(&self, _: bool) {}
}

pub(crate) fn in_memory() -> Ready<MailerFixture> {
    let mailer = Arc::new(MemoryMailer::default());
    let inbox = Arc::new(InMemory(Arc::clone(&mailer)));
    ready(MailerFixture { mailer, inbox, guard: Box::new(()) })
}

/// Every line that this process logs. One for all tests, because there is one log.
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

#[derive(Clone, Default)]
pub(crate) struct Line {
    pub(crate) level: String,
    pub(crate) message: String,
    to: String,
    subject: String,
    text: String,
    /// All of it.
    pub(crate) all: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.all, "{}={value} ", field.name()).unwrap();
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "to" => value.clone_into(&mut self.to),
            "subject" => value.clone_into(&mut self.subject),
            "text" => value.clone_into(&mut self.text),
            _ => {}
        }
    }
}

struct Capture;

impl<S: tracing::Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut line = Line { level: event.metadata().level().to_string(), ..Line::default() };
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

pub(crate) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::registry().with(Capture).init());
}

pub(crate) fn lines() -> Vec<Line> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct InLog;

impl Inbox for InLog {
    fn mails(&self, to: &Email) -> BoxFuture<'_, Vec<ReceivedMail>> {
        let of = lines().into_iter().filter(|line| line.to == to.expose());
        let received = of.map(|line| ReceivedMail { subject: line.subject, text: line.text }).collect();
        Box::pin(async { received })
    }

    fn hold(&self, _: bool) {}
}

pub(crate) fn in_log() -> Ready<MailerFixture> {
    capture();
    ready(MailerFixture { mailer: Arc::new(LogMailer), inbox: Arc::new(InLog), guard: Box::new(()) })
}
