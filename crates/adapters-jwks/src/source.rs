//! Fetching a JWKS document.

use jiff::SignedDuration;
use reqwest::{Client, Response, StatusCode, Url, header, redirect};

use crate::settings::FetchSettings;

const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Where the issuer does not say.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(15);

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the keys could not be fetched")]
    Transport(#[source] reqwest::Error),
    #[error("the answer has status {0}; redirects are not followed")]
    Status(u16),
    #[error("the answer is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is no key set with a key that can be used")]
    NoKeys,
}

pub(crate) struct Source {
    client: Client,
    url: Url,
}

impl Source {
    pub(crate) fn new(url: Url, settings: &FetchSettings) -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            // Keys of another place would be keys of someone else.
            .redirect(redirect::Policy::none())
            .https_only(url.scheme() == "https")
            .no_proxy()
            .retry(reqwest::retry::never())
            // A fetch is rare, and a connection belongs to the thread that made it, which may be gone by the next one.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client, url })
    }

    /// The document, and for how long the issuer wants it kept.
    pub(crate) async fn fetch(&self) -> Result<(Vec<u8>, SignedDuration), Fault> {
        let transport = |error: reqwest::Error| Fault::Transport(error.without_url());
        let request = self.client.get(self.url.clone()).header(header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(transport)?;
        if response.status() != StatusCode::OK {
            return Err(Fault::Status(response.status().as_u16()));
        }
        let max_age = max_age(&response);
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(Fault::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok((document, max_age))
    }
}

fn max_age(response: &Response) -> SignedDuration {
    let lines = response.headers().get_all(header::CACHE_CONTROL).iter();
    let text: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    directives(&text.join(","))
}

fn directives(text: &str) -> SignedDuration {
    let mut age = MAX_AGE;
    for directive in text.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        if directive == "no-store" || directive == "no-cache" {
            return SignedDuration::ZERO;
        }
        if let Some(seconds) =
            directive.strip_prefix("max-age=").and_then(|text| text.trim_matches('"').parse().ok())
        {
            age = SignedDuration::from_secs(seconds);
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuers_wish_is_read_from_any_of_its_directives() {
        for (text, seconds) in [
            ("", 900),
            ("public, max-age=3600", 3_600),
            ("MAX-AGE=7200,must-revalidate", 7_200),
            ("max-age=\"60\"", 60),
            ("max-age=nonsense", 900),
            ("no-store, max-age=3600", 0),
            ("max-age=-1", -1),
        ] {
            assert_eq!(directives(text), SignedDuration::from_secs(seconds), "{text}");
        }
    }
}
