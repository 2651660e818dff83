//! The configuration: built-in defaults, then files, then the environment, then the command line, checked as a whole before
//! anything is opened. This is the only place that reads the environment.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

mod decode;
mod faults;
mod issuers;
mod layers;
mod rules;
mod sections;
#[cfg(test)]
mod tests;

pub use faults::{Fault, Faults};
pub use issuers::{Group, Issuer, Signature};
pub use sections::{
    Aws, ClientAddressHeader, Data, ExecutionProvider, Gemini, GeminiRoute, Identity, Inference,
    InferenceServer, Ingest, Insight, Limits, Live, LogFormat, Mail, MailTransport, Measures, Postgres,
    Profile, Provider, Providers, Redis, Scrub, SecretService, Server, SignInFlow, Smtp, SmtpTls, Telemetry,
    Worker, Writer,
};

/// Every setting, valid on its own and together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Chosen by `--profile` or `CLARITY_PROFILE`, never by a file.
    #[serde(skip)]
    pub profile: Profile,
    pub server: Server,
    pub data: Data,
    pub providers: Providers,
    pub aws: Aws,
    pub postgres: Postgres,
    pub redis: Redis,
    pub identity: Identity,
    pub mail: Mail,
    pub limits: Limits,
    pub live: Live,
    pub ingest: Ingest,
    pub worker: Worker,
    pub measures: Measures,
    pub inference: Inference,
    pub insight: Insight,
    pub telemetry: Telemetry,
}

/// What a process is for; it decides which rules hold for the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Phones, uploads and whatever else there is.
    #[default]
    All,
    /// Models for other services, and nothing else: no records, no accounts.
    Inference,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--config`; without it, `./config` where there is one.
    pub config_dir: Option<PathBuf>,
    /// The environment, as [`environment`] reads it.
    pub env: Vec<(String, String)>,
    /// Dotted keys and values from the command line.
    pub overrides: Vec<(String, String)>,
    /// The providers whose adapters this binary holds; `None` leaves the question to the composition root.
    pub linked: Option<Vec<Provider>>,
    /// What it is for.
    pub role: Role,
}

/// A valid configuration and what is worth knowing about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every key that has a value, with its source. Secrets are hidden.
    pub settings: BTreeMap<String, Setting>,
    /// What is accepted, but probably not what was meant.
    pub warnings: Vec<String>,
}

/// A value as `clarity config show` prints it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Setting {
    pub value: serde_json::Value,
    pub source: String,
}

impl Config {
    /// Reads all `sources`, and finds all faults rather than the first.
    pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
        let mut faults = Faults::default();
        let layers = layers::collect(sources, &mut faults);
        let (mut config, tree) = decode::decode(&layers, &mut faults);
        config.profile = layers.profile.unwrap_or_default();
        let mut broken = rules::broken(&config, &layers, sources);
        // A key that does not even decode has its default here, which says nothing about what was asked for.
        broken.retain(|(key, _)| !faults.concerns(key));
        for (key, problem) in broken {
            faults.push(&key, layers.source(&key), problem);
        }
        if !faults.0.is_empty() {
            return Err(faults);
        }
        let mut warnings = layers.warnings.clone();
        if sources.role == Role::All {
            warnings.extend(rules::warnings(&config));
        }
        Ok(Loaded { settings: decode::settings(&tree, &layers), config, warnings })
    }
}

impl Loaded {
    /// Where `key` got its value, if it has one.
    pub fn provenance(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|setting| setting.source.as_str())
    }

    /// Every key with its value and source, secrets hidden, as `clarity config show --json` prints it.
    pub fn show(&self) -> serde_json::Value {
        serde_json::json!({
            "profile": self.config.profile,
            "settings": self.settings,
            "warnings": self.warnings,
        })
    }
}

/// The environment of this process. Variables that are not Unicode are no settings of ours and are left out.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
