use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::Fault;

/// How to reach Gemini.
#[derive(Clone, Debug)]
pub struct GeminiSettings {
    /// Scheme and host, such as `https://europe-west4-aiplatform.googleapis.com`.
    pub endpoint: String,
    /// Which of Google's two doors.
    pub route: GeminiRoute,
    /// The API key of AI Studio, or the access token of Vertex AI.
    pub credential: SecretString,
    /// The model, such as `gemini-2.5-flash`.
    pub model: String,
    /// Whether an agreement that allows health data (a BAA or its like) covers this endpoint. Without it nothing is sent.
    pub covered: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take, retries included.
    pub timeout: Duration,
    /// How often a refused call is repeated.
    pub retries_max: u32,
}

/// Google offers Gemini under two addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GeminiRoute {
    /// `generativelanguage.googleapis.com`, with an API key.
    AiStudio,
    /// Vertex AI, with an access token.
    Vertex {
        /// The cloud project.
        project: String,
        /// The region, or `global`.
        location: String,
    },
}

impl GeminiSettings {
    /// The address to post to, if these settings can be used.
    pub(super) fn url(&self) -> Result<Url, Fault> {
        if !self.covered {
            return Err(Fault::Settings(
                "health data is sent only to a covered endpoint: set `covered = true` once an agreement that allows it \
                 (such as a BAA for Vertex AI) is in force, or use the template writer",
            ));
        }
        let credential = self.credential.expose_secret();
        if credential.is_empty() || !credential.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Fault::Settings(
                "the credential is empty or holds white space: give an API key or an access token",
            ));
        }
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return Err(Fault::Settings("a timeout is zero: give both some time"));
        }
        let mut url = self.endpoint()?;
        let path = match &self.route {
            GeminiRoute::AiStudio => format!("v1beta/models/{}:generateContent", segment(&self.model)?),
            GeminiRoute::Vertex { project, location } => format!(
                "v1/projects/{}/locations/{}/publishers/google/models/{}:generateContent",
                segment(project)?,
                segment(location)?,
                segment(&self.model)?
            ),
        };
        url.set_path(&path);
        Ok(url)
    }

    fn endpoint(&self) -> Result<Url, Fault> {
        let bad = Fault::Settings("the endpoint must be scheme and host only, such as https://host.example");
        let Ok(url) = Url::parse(&self.endpoint) else { return Err(bad) };
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(bad);
        }
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_loopback => Ok(url),
            _ => Err(Fault::Settings("the endpoint must be https: health data is not sent in plain text")),
        }
    }
}

/// A part of the path that cannot change the path's meaning.
fn segment(text: &str) -> Result<&str, Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain);
    if is_name {
        Ok(text)
    } else {
        Err(Fault::Settings("model, project and location must be names of letters, digits and `-_.:`"))
    }
}
