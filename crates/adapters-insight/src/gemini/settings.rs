use reqwest::Url;
use secrecy::SecretString;

use crate::{
    address::{address, check_covered},
    fault::Fault,
    http::check_credential,
    writer::Limits,
};

/// How to reach Gemini.
#[derive(Clone, Debug)]
pub struct GeminiSettings {
    /// Scheme and host, such as `https://europe-west4-aiplatform.googleapis.com`.
    pub endpoint: String,
    /// Which of Google's two doors.
    pub route: GeminiRoute,
    /// What opens it.
    pub credential: GoogleCredential,
    /// The model, such as `gemini-2.5-flash`.
    pub model: String,
    /// Whether an agreement that allows health data (a BAA or its like) covers this endpoint. Without it nothing is sent.
    pub covered: bool,
    /// How long and how often.
    pub limits: Limits,
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

/// What Google knows this service by.
#[derive(Clone, Debug)]
pub enum GoogleCredential {
    /// The API key of AI Studio, or an access token of Vertex AI, which ends within the hour.
    Given(SecretString),
    /// Vertex AI: what the machine or its user is signed in with, renewed when it ends (Application Default Credentials).
    ApplicationDefault,
}

impl GeminiSettings {
    /// The address to post to, if these settings can be used.
    pub(super) fn url(&self) -> Result<Url, Fault> {
        check_covered(self.covered)?;
        match (&self.credential, &self.route) {
            (GoogleCredential::Given(credential), _) => check_credential(credential)?,
            (GoogleCredential::ApplicationDefault, GeminiRoute::Vertex { .. }) => {}
            (GoogleCredential::ApplicationDefault, GeminiRoute::AiStudio) => {
                return Err(Fault::Settings("AI Studio needs an API key"));
            }
        }
        let mut url = address(&self.endpoint)?;
        if url.path() != "/" {
            return Err(Fault::Settings(
                "the endpoint must be scheme and host only, such as https://host.example",
            ));
        }
        let path = match &self.route {
            GeminiRoute::AiStudio => {
                format!("v1beta/models/{}:streamGenerateContent", segment(&self.model)?)
            }
            GeminiRoute::Vertex { project, location } => format!(
                "v1/projects/{}/locations/{}/publishers/google/models/{}:streamGenerateContent",
                segment(project)?,
                segment(location)?,
                segment(&self.model)?
            ),
        };
        url.set_path(&path);
        url.set_query(Some("alt=sse"));
        Ok(url)
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
