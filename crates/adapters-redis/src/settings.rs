//! What `REDIS_URL` says, checked before anything is connected.

use std::{borrow::Cow, fmt, net::IpAddr, path::PathBuf, time::Duration};

use redis::{
    Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisResult, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// How long a call takes at most. A request waits for it, so it is short.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Why settings cannot be used. Names what is wrong, and never shows the URL, which may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the Redis URL cannot be read: {0}")]
    Url(url::ParseError),
    #[error("the Redis URL begins with {0}://, not with redis:// or rediss://")]
    Scheme(String),
    #[error("the Redis URL names no host")]
    NoHost,
    #[error("the {0} of the Redis URL is not UTF-8 in percent-encoding")]
    Encoding(&'static str),
    #[error("the Redis URL names the database {0}, which is no number")]
    Database(String),
    #[error("the Redis URL has the parameter {0}, which is not known")]
    UnknownParameter(String),
    #[error("the Redis URL ends with #{0}; certificates are always verified")]
    Fragment(String),
    #[error("sslrootcert names {0}, which cannot be read")]
    RootCertificate(PathBuf),
    #[error("sslrootcert is of no use with redis://, which is plain text")]
    UselessRootCertificate,
    #[error("redis:// sends the password and the data in plain text to {0}, which is another machine")]
    PlainText(String),
    #[error("the timeout must be from 10 ms to 60 s")]
    Timeout,
}

/// Whether what is sent may be read on the way to another machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlainText {
    /// Only within this machine.
    LoopbackOnly,
    /// To any machine: where something else encrypts, such as a mesh.
    Anywhere,
}

/// How the server is reached.
#[derive(Clone)]
pub struct Settings {
    /// How long a call takes at most.
    pub timeout: Duration,
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<SecretString>,
    database: i64,
    is_encrypted: bool,
    /// Authorities, as PEM, that are trusted in place of the machine's.
    root_certificate: Option<Vec<u8>>,
}

impl Settings {
    /// Reads `rediss://user:password@host:port/database?sslrootcert=…`. `redis://` is plain text.
    pub fn parse(url: &SecretString, plain_text: PlainText) -> Result<Self, InvalidSettings> {
        let url = Url::parse(url.expose_secret()).map_err(InvalidSettings::Url)?;
        let is_encrypted = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            other => return Err(InvalidSettings::Scheme(other.to_owned())),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidSettings::NoHost)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !is_encrypted && plain_text == PlainText::LoopbackOnly && !is_this_machine(&host) {
            return Err(InvalidSettings::PlainText(host));
        }
        if let Some(fragment) = url.fragment() {
            return Err(InvalidSettings::Fragment(fragment.to_owned()));
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            text => text
                .parse()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(|| InvalidSettings::Database(text.to_owned()))?,
        };
        let root_certificate = root_certificate(&url)?;
        if root_certificate.is_some() && !is_encrypted {
            return Err(InvalidSettings::UselessRootCertificate);
        }
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let password = url.password().map(|password| decoded("password", password)).transpose()?;
        Ok(Self {
            timeout: TIMEOUT,
            host,
            port: url.port().unwrap_or(6379),
            user: user.map(|user| decoded("user", user)).transpose()?,
            password: password.map(SecretString::from),
            database,
            is_encrypted,
            root_certificate,
        })
    }

    /// Checks what was set besides the URL.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let is_sound = (Duration::from_millis(10)..=Duration::from_mins(1)).contains(&self.timeout);
        if is_sound { Ok(()) } else { Err(InvalidSettings::Timeout) }
    }

    pub(crate) fn client(&self) -> RedisResult<Client> {
        let (host, port) = (self.host.clone(), self.port);
        let address = if self.is_encrypted {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose_secret());
        }
        let info = address.into_connection_info()?.set_redis_settings(login);
        match self.root_certificate.clone() {
            Some(pem) => {
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            None => Client::open(info),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password)
            .field("database", &self.database)
            .field("is_encrypted", &self.is_encrypted)
            .finish_non_exhaustive()
    }
}

fn root_certificate(url: &Url) -> Result<Option<Vec<u8>>, InvalidSettings> {
    let mut pem = None;
    for (name, value) in url.query_pairs() {
        if name != "sslrootcert" {
            return Err(InvalidSettings::UnknownParameter(name.into_owned()));
        }
        let path = PathBuf::from(&*value);
        pem = Some(std::fs::read(&path).map_err(|_unreadable| InvalidSettings::RootCertificate(path))?);
    }
    Ok(pem)
}

/// Whether what is sent to `host` stays on this machine.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Undoes the percent-encoding of a part of the URL.
fn decoded(part: &'static str, text: &str) -> Result<String, InvalidSettings> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_invalid| InvalidSettings::Encoding(part))
}

#[cfg(test)]
mod tests;
