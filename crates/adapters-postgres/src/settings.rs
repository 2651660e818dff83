//! What `DATABASE_URL` and its neighbours say, checked before anything is connected.

use std::{borrow::Cow, fmt, net::IpAddr, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

const CONNECTIONS_MAX: u32 = 1000;

/// Why settings cannot be used. Names what is wrong, and never shows the URL, which may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the database URL cannot be read: {0}")]
    Url(url::ParseError),
    #[error("the database URL begins with {0}://, not with postgres:// or postgresql://")]
    Scheme(String),
    #[error("the database URL names no {0}")]
    Missing(&'static str),
    #[error("the {0} of the database URL is not UTF-8 in percent-encoding")]
    Encoding(&'static str),
    #[error("the database URL has the parameter {0}, which is not known")]
    UnknownParameter(String),
    #[error("the parameter {0} of the database URL is there twice")]
    RepeatedParameter(String),
    #[error("sslmode is {0}, not one of disable, prefer, require, verify-ca and verify-full")]
    TlsMode(String),
    #[error("sslrootcert names {0}, which is no file")]
    RootCertificate(PathBuf),
    #[error("sslmode={0} may send the password and the data in plain text to {1}, which is another machine")]
    PlainText(&'static str, String),
    #[error("connect_timeout is {0}, not a number of seconds from 1 to 600")]
    ConnectTimeout(String),
    #[error("{0} must be from {1} to {2}")]
    OutOfRange(&'static str, u32, u32),
}

/// How the database is reached.
#[derive(Clone)]
pub struct Settings {
    /// How many connections are kept open.
    pub connections_min: u32,
    /// How many there are at most. One more listens.
    pub connections_max: u32,
    /// How long a caller waits for a connection.
    pub connect_timeout: Duration,
    /// After which time the server ends a statement, whether it works or waits.
    pub statement_timeout: Duration,
    host: String,
    port: u16,
    user: String,
    password: Option<SecretString>,
    database: String,
    tls: Tls,
    application_name: String,
}

#[derive(Clone, Debug)]
struct Tls {
    mode: TlsMode,
    /// Authorities that are trusted besides the public ones.
    root_certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whether what is sent may be read on the way to another machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlainText {
    /// Only within this machine.
    LoopbackOnly,
    /// To any machine: where something else encrypts, such as a mesh.
    Anywhere,
}

impl Settings {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…&application_name=…&connect_timeout=…`.
    ///
    /// Without a `sslmode` another machine must prove its name (`verify-full`). `verify-ca` takes a certificate of any name,
    /// also one of a public authority, so it proves little.
    pub fn parse(url: &SecretString, plain_text: PlainText) -> Result<Self, InvalidSettings> {
        let url = Url::parse(url.expose_secret()).map_err(InvalidSettings::Url)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(InvalidSettings::Scheme(url.scheme().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidSettings::Missing("host"))?;
        let host = decoded("host", host)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let user = decoded("user", url.username())?;
        let database = decoded("database", url.path().trim_start_matches('/'))?;
        for (name, value) in [("user", &user), ("database", &database)] {
            if value.is_empty() {
                return Err(InvalidSettings::Missing(name));
            }
        }
        let parameters = Parameters::of(&url)?;
        let tls = parameters.tls(&host)?;
        if plain_text == PlainText::LoopbackOnly && tls.mode.may_be_plain() && !is_this_machine(&host) {
            return Err(InvalidSettings::PlainText(tls.mode.name(), host));
        }
        Ok(Self {
            connections_min: 2,
            connections_max: 10,
            connect_timeout: parameters.connect_timeout()?,
            statement_timeout: Duration::from_secs(30),
            port: url.port().unwrap_or(5432),
            user,
            password: url
                .password()
                .map(|password| decoded("password", password))
                .transpose()?
                .map(SecretString::from),
            database,
            tls,
            application_name: parameters.application_name.unwrap_or_else(|| "clarity".to_owned()),
            host,
        })
    }

    /// Checks what was set besides the URL.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        for (name, value, least, most) in [
            ("connections_max", self.connections_max, 1, CONNECTIONS_MAX),
            ("connections_min", self.connections_min, 0, self.connections_max),
            ("connect_timeout", seconds(self.connect_timeout), 1, 600),
            ("statement_timeout", seconds(self.statement_timeout), 1, 3600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(InvalidSettings::OutOfRange(name, least, most));
            }
        }
        Ok(())
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        // The driver looks into PGHOST and its kin for what is not said here, so all of it is said.
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(self.password.as_ref().map_or("", |password| password.expose_secret()))
            .database(&self.database)
            .ssl_mode(self.tls.mode.into())
            .application_name(&self.application_name)
            .options([("statement_timeout", format!("{}ms", self.statement_timeout.as_millis()))])
            .options([("idle_in_transaction_session_timeout", "60s")])
            .disable_statement_logging();
        if let Some(path) = &self.tls.root_certificate {
            options = options.ssl_root_cert(path);
        }
        options
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
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl TlsMode {
    const ALL: [Self; 5] = [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn may_be_plain(self) -> bool {
        matches!(self, Self::Disable | Self::Prefer)
    }
}

impl From<TlsMode> for PgSslMode {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::Disable => Self::Disable,
            TlsMode::Prefer => Self::Prefer,
            TlsMode::Require => Self::Require,
            TlsMode::VerifyCa => Self::VerifyCa,
            TlsMode::VerifyFull => Self::VerifyFull,
        }
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Parameters {
    mode: Option<String>,
    root_certificate: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<String>,
}

impl Parameters {
    fn of(url: &Url) -> Result<Self, InvalidSettings> {
        let mut parameters = Self::default();
        for (name, value) in url.query_pairs() {
            let place = match &*name {
                "sslmode" => &mut parameters.mode,
                "sslrootcert" => &mut parameters.root_certificate,
                "application_name" => &mut parameters.application_name,
                "connect_timeout" => &mut parameters.connect_timeout,
                _ => return Err(InvalidSettings::UnknownParameter(name.into_owned())),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(InvalidSettings::RepeatedParameter(name.into_owned()));
            }
        }
        Ok(parameters)
    }

    fn tls(&self, host: &str) -> Result<Tls, InvalidSettings> {
        let mode = match &self.mode {
            Some(name) => TlsMode::ALL.into_iter().find(|mode| mode.name() == name),
            None if is_this_machine(host) => Some(TlsMode::Prefer),
            None => Some(TlsMode::VerifyFull),
        };
        let mode = mode.ok_or_else(|| InvalidSettings::TlsMode(self.mode.clone().unwrap_or_default()))?;
        let root_certificate = self.root_certificate.as_ref().map(PathBuf::from);
        if let Some(path) = root_certificate.as_ref().filter(|path| !path.is_file()) {
            return Err(InvalidSettings::RootCertificate(path.clone()));
        }
        // As in libpq: who names an authority wants it to be asked.
        let is_asked = mode == TlsMode::Require && root_certificate.is_some();
        Ok(Tls { mode: if is_asked { TlsMode::VerifyCa } else { mode }, root_certificate })
    }

    fn connect_timeout(&self) -> Result<Duration, InvalidSettings> {
        let Some(text) = &self.connect_timeout else { return Ok(Duration::from_secs(5)) };
        let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
        seconds.map(Duration::from_secs).ok_or_else(|| InvalidSettings::ConnectTimeout(text.clone()))
    }
}

/// Whether what is sent to `host`, a name, an address or the folder of a socket, stays on this machine.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.starts_with('/') || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Undoes the percent-encoding of a part of the URL.
fn decoded(part: &'static str, text: &str) -> Result<String, InvalidSettings> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_invalid| InvalidSettings::Encoding(part))
}

#[cfg(test)]
mod tests;
