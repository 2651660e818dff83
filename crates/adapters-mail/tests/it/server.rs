//! A small SMTP server: it takes mail by RFC 5321, with STARTTLS or TLS where it is given a certificate, and misbehaves as it is
//! told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What one connection does instead of what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Answers this where a command of that name comes; `CONNECT` is the connection itself, `.` the end of the mail.
    Answer(&'static str, &'static str),
    /// Closes the connection where a command of that name comes.
    Drop(&'static str),
    /// Never answers a command of that name.
    Silence(&'static str),
    /// Leaves STARTTLS out of what it can do.
    NoStarttls,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Security {
    Plain,
    Starttls,
    Tls,
}

/// A mail as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delivered {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether the mail came through TLS.
    pub(crate) encrypted: bool,
    /// What the client signed in with, in base64.
    pub(crate) login: Option<String>,
}

pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    mails: Mutex<Vec<Delivered>>,
    faults: Mutex<VecDeque<Fault>>,
    connections: Mutex<usize>,
    held: watch::Sender<bool>,
    security: Security,
    acceptor: Option<TlsAcceptor>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SmtpServer {
    pub(crate) async fn plain() -> Self {
        Self::start(Security::Plain, None).await
    }

    pub(crate) async fn start(security: Security, acceptor: Option<TlsAcceptor>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), security, acceptor)
    }

    pub(crate) fn on(listener: TcpListener, security: Security, acceptor: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            mails: Mutex::default(),
            faults: Mutex::default(),
            connections: Mutex::default(),
            held: watch::Sender::new(false),
            security,
            acceptor,
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, state, task }
    }

    /// The next connections do these, one each.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.faults).extend(faults);
    }

    /// Whether new connections wait.
    pub(crate) fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    pub(crate) fn mails(&self, to: &str) -> Vec<Delivered> {
        lock(&self.state.mails).iter().filter(|mail| mail.to == to).cloned().collect()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// One connection.
struct Session {
    wire: BufReader<Box<dyn Wire>>,
    fault: Option<Fault>,
    encrypted: bool,
    login: Option<String>,
    from: String,
    to: String,
}

/// What a command leads to.
enum Next {
    Go,
    Close,
    Encrypt,
}

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        *lock(&self.connections) += 1;
        let mut held = self.held.subscribe();
        drop(held.wait_for(|held| !held).await);
        let fault = lock(&self.faults).pop_front();
        let mut wire: Box<dyn Wire> = Box::new(stream);
        if self.security == Security::Tls {
            let Ok(tls) = self.acceptor.as_ref().unwrap().accept(wire).await else { return };
            wire = Box::new(tls);
        }
        let encrypted = self.security == Security::Tls;
        let wire = BufReader::new(wire);
        let mut session =
            Session { wire, fault, encrypted, login: None, from: String::new(), to: String::new() };
        if !session.reply("CONNECT", "220 test ESMTP").await {
            return;
        }
        let mut line = String::new();
        loop {
            line.clear();
            if session.wire.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match self.command(&mut session, line.trim_end()).await {
                Next::Go => {}
                Next::Close => return,
                Next::Encrypt => {
                    let wire = session.wire.into_inner();
                    let Ok(tls) = self.acceptor.as_ref().unwrap().accept(wire).await else { return };
                    session = Session { wire: BufReader::new(Box::new(tls)), encrypted: true, ..session };
                }
            }
        }
    }

    async fn command(&self, session: &mut Session, line: &str) -> Next {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let within = |text: &str| text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let name = name.to_ascii_uppercase();
        let answered = match name.as_str() {
            "EHLO" => {
                let offers = self.security == Security::Starttls
                    && !session.encrypted
                    && session.fault != Some(Fault::NoStarttls);
                let starttls = if offers { "250-STARTTLS\r\n" } else { "" };
                let can = format!("250-test\r\n{starttls}250-8BITMIME\r\n250 AUTH PLAIN LOGIN");
                session.reply(&name, &can).await
            }
            "STARTTLS" => {
                if session.reply(&name, "220 go on").await {
                    return Next::Encrypt;
                }
                false
            }
            "AUTH" => {
                session.login = rest.split_once(' ').map(|(_, secret)| secret.to_owned());
                session.reply(&name, "235 welcome").await
            }
            "MAIL" => {
                session.from = within(rest);
                session.reply(&name, "250 fine").await
            }
            "RCPT" => {
                session.to = within(rest);
                session.reply(&name, "250 fine").await
            }
            "DATA" => session.reply(&name, "354 go on").await && self.take(session).await,
            "QUIT" => {
                session.reply(&name, "221 bye").await;
                false
            }
            "NOOP" | "RSET" => session.reply(&name, "250 fine").await,
            _ => session.reply(&name, "500 what?").await,
        };
        if answered { Next::Go } else { Next::Close }
    }

    /// The mail itself, up to the line with the dot.
    async fn take(&self, session: &mut Session) -> bool {
        let mut raw = Vec::new();
        loop {
            let mut line = Vec::new();
            if session.wire.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return false;
            }
            if line == b".\r\n" {
                break;
            }
            raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let is_refused = matches!(session.fault, Some(Fault::Answer(".", _) | Fault::Drop(".")));
        if !is_refused {
            lock(&self.mails).push(delivered(session, &raw));
        }
        session.reply(".", "250 taken").await
    }
}

fn delivered(session: &Session, raw: &[u8]) -> Delivered {
    let mail = mailparse::parse_mail(raw).unwrap();
    let headers =
        mail.headers.iter().map(|header| (header.get_key(), header.get_value())).collect::<Vec<_>>();
    let header = |name: &str| {
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    Delivered {
        from: session.from.clone(),
        to: session.to.clone(),
        subject: header("Subject").unwrap_or_default(),
        text: mail.get_body().unwrap().replace("\r\n", "\n"),
        headers,
        encrypted: session.encrypted,
        login: session.login.clone(),
    }
}

impl Session {
    /// Answers a command, or does what this connection does wrong with it. `false` where the connection is to be closed.
    async fn reply(&mut self, command: &str, text: &str) -> bool {
        let (text, goes_on) = match self.fault {
            Some(Fault::Answer(at, answer)) if at == command => (answer, !answer.starts_with("421")),
            Some(Fault::Drop(at)) if at == command => return false,
            Some(Fault::Silence(at)) if at == command => {
                // Until the client has had enough.
                let _end = self.wire.read_to_end(&mut Vec::new()).await;
                return false;
            }
            _ => (text, true),
        };
        self.wire.write_all(format!("{text}\r\n").as_bytes()).await.is_ok()
            && self.wire.flush().await.is_ok()
            && goes_on
    }
}
