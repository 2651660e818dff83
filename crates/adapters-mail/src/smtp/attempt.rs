//! One attempt: connect, encrypt, sign in, hand over.

use std::time::Duration;

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{self, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        extension::ClientId,
    },
};
use ports::Result;
use secrecy::ExposeSecret;

use super::{Encryption, SmtpSettings, settings_error};

/// Why an attempt failed, without a word of what the server said.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the mail server failed at: {stage} (status {status})")]
pub(super) struct Failure {
    pub(super) stage: &'static str,
    /// The reply's code, 0 where there was none.
    pub(super) status: u16,
    /// Whether it may go well later.
    pub(super) is_temporary: bool,
}

pub(super) struct Server {
    host: String,
    port: u16,
    tls: Option<TlsParameters>,
    encryption: Encryption,
    credentials: Option<authentication::Credentials>,
    hello: ClientId,
    connect_timeout: Duration,
    timeout: Duration,
}

impl Server {
    pub(super) fn new(settings: SmtpSettings) -> Result<Self> {
        let tls = match settings.encryption {
            Encryption::Plain => None,
            Encryption::Starttls | Encryption::Tls => Some(tls(&settings)?),
        };
        let credentials = settings.credentials.map(|credentials| {
            authentication::Credentials::new(
                credentials.username,
                credentials.password.expose_secret().to_owned(),
            )
        });
        Ok(Self {
            host: settings.host,
            port: settings.port,
            tls,
            encryption: settings.encryption,
            credentials,
            hello: ClientId::default(),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
        })
    }

    pub(super) async fn deliver(
        &self,
        envelope: &Envelope,
        message: &[u8],
    ) -> std::result::Result<(), Failure> {
        let mut connection = self.connect().await?;
        within(self.timeout, "send", connection.send(envelope, message)).await?;
        // It has the mail: how it says goodbye changes nothing.
        let _goodbye = within(self.timeout, "quit", connection.quit()).await;
        Ok(())
    }

    pub(super) async fn check(&self) -> std::result::Result<(), Failure> {
        let mut connection = self.connect().await?;
        within(self.timeout, "quit", connection.quit()).await?;
        Ok(())
    }

    async fn connect(&self) -> std::result::Result<AsyncSmtpConnection, Failure> {
        let address = (self.host.as_str(), self.port);
        let wrapper = self.tls.clone().filter(|_| self.encryption == Encryption::Tls);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(self.connect_timeout),
            &self.hello,
            wrapper,
            None,
        );
        let mut connection = within(self.connect_timeout + self.timeout, "connect", connecting).await?;
        if let (Encryption::Starttls, Some(tls)) = (self.encryption, &self.tls) {
            within(self.timeout, "starttls", connection.starttls(tls.clone(), &self.hello)).await?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            within(self.timeout, "sign-in", connection.auth(&mechanisms, credentials)).await?;
        }
        Ok(connection)
    }
}

async fn within<T>(
    timeout: Duration,
    stage: &'static str,
    step: impl Future<Output = std::result::Result<T, Error>>,
) -> std::result::Result<T, Failure> {
    match tokio::time::timeout(timeout, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure {
            stage,
            status: error.status().map_or(0, u16::from),
            // What is left may be a connection that broke off or a server that is being restarted.
            is_temporary: !error.is_permanent() && !error.is_client() && !error.is_tls(),
        }),
        Err(_elapsed) => Err(Failure { stage, status: 0, is_temporary: true }),
    }
}

fn tls(settings: &SmtpSettings) -> Result<TlsParameters> {
    let builder = TlsParameters::builder(settings.host.clone());
    let builder = match &settings.authority {
        None => builder,
        Some(path) => {
            let pem = std::fs::read(path).map_err(settings_error)?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|_hidden| settings_error("the file of the authority is no PEM certificate"))?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate)
        }
    };
    builder.build_rustls().map_err(|error| settings_error(error.to_string()))
}
