//! The sources of the configuration, from the weakest to the strongest, each under the name that people know it by.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile as FigmentProfile, Provider,
    providers::{Format, Toml},
    util::nest,
    value::{Dict, Map, Tag, Value},
};

use super::{Faults, Profile, Sources};

const DEFAULT: &str = include_str!("../../../../config/default.toml");
const ENVIRONMENT_PREFIX: &str = "CLARITY__";
const COMMAND_LINE: &str = "command line";

/// Names that other tools made usual, and the keys that they set here. `PORT` is a part of a key, see [`port`].
const USUAL_NAMES: [(&str, &str); 9] = [
    ("AWS_ENDPOINT_URL", "aws.endpoint"),
    ("AWS_REGION", "aws.region"),
    ("DATABASE_URL", "postgres.url"),
    ("GEMINI_API_KEY", "insight.gemini.api_key"),
    ("OPENAI_API_KEY", "insight.openai.api_key"),
    ("GOOGLE_CLOUD_PROJECT", "insight.gemini.project"),
    ("ORT_DYLIB_PATH", "inference.library"),
    ("REDIS_URL", "redis.url"),
    ("RUST_LOG", "telemetry.log_level"),
];

/// Usual names that nothing here answers to. Who sets them should know.
const UNUSED_NAMES: [&str; 1] = ["OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What all sources say, merged, and which of them said what.
pub(super) struct Layers {
    /// `None` where none was named: development, as far as that is safe.
    pub(super) profile: Option<Profile>,
    pub(super) merged: Figment,
    pub(super) defaults: Value,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    pub(super) fn source_of(&self, tag: Tag) -> String {
        self.merged
            .get_metadata(tag)
            .map_or_else(|| "default".to_owned(), |metadata| metadata.name.to_string())
    }

    pub(super) fn source(&self, key: &str) -> String {
        self.merged.find_value(key).map_or_else(|_| "not set".to_owned(), |value| self.source_of(value.tag()))
    }
}

/// One source's settings under its name.
struct Layer {
    name: String,
    settings: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<FigmentProfile, Dict>> {
        Ok(FigmentProfile::Default.collect(self.settings.clone()))
    }
}

pub(super) fn collect(sources: &Sources, faults: &mut Faults) -> Layers {
    let profile = profile(sources, faults);
    let defaults = parsed("built-in default.toml", DEFAULT, faults);
    let known = Value::from(defaults.settings.clone());
    let mut merged = Figment::from(defaults);
    for layer in files(sources, profile.unwrap_or_default(), faults) {
        merged = merged.merge(layer);
    }
    let usual = |name: &str| {
        let set = sources.env.iter().rev().find(|(candidate, _)| candidate == name);
        set.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    for (name, key) in USUAL_NAMES {
        if let Some(text) = usual(name) {
            merged = merged.merge(single(variable(name), key, text, &known));
        }
    }
    if let Some(text) = usual("PORT") {
        let layer = port(text, &merged, faults);
        merged = merged.merge(layer);
    }
    for (name, text) in &sources.env {
        if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
            let key = rest.to_lowercase().replace("__", ".");
            merged = merged.merge(single(variable(name), &key, text, &known));
        }
    }
    for (key, text) in &sources.overrides {
        merged = merged.merge(single(COMMAND_LINE.to_owned(), key, text, &known));
    }
    Layers { profile, merged, warnings: warnings(sources, &known), defaults: known }
}

fn variable(name: &str) -> String {
    format!("environment variable {name}")
}

fn profile(sources: &Sources, faults: &mut Faults) -> Option<Profile> {
    let variable = sources.env.iter().rev().find(|(name, _)| name == "CLARITY_PROFILE");
    let (name, source) = match (&sources.profile, variable) {
        (Some(name), _) => (name, COMMAND_LINE),
        (None, Some((_, name))) => (name, "environment variable CLARITY_PROFILE"),
        (None, None) => return None,
    };
    let profile = Profile::parse(name);
    if profile.is_none() {
        let names = Profile::ALL.map(Profile::as_str).join(", ");
        faults.push("profile", source, format!("there is no profile `{name}`; the profiles are {names}"));
    }
    profile
}

/// The built-in file of the profile and what a folder holds. A folder's default.toml takes the place of the built-in one, and
/// so comes before the profile's.
fn files(sources: &Sources, profile: Profile, faults: &mut Faults) -> Vec<Layer> {
    let folder = sources.config_dir.clone().unwrap_or_else(|| PathBuf::from("config"));
    let name = format!("{profile}.toml");
    let default = file(&folder.join("default.toml"), faults);
    let profiles = file(&folder.join(&name), faults);
    if sources.config_dir.is_some() && default.is_none() && profiles.is_none() && faults.0.is_empty() {
        let problem = format!("{} holds neither default.toml nor {name}", folder.display());
        faults.push("config", COMMAND_LINE, problem);
    }
    let built_in = match profile {
        Profile::Development | Profile::Localstack => include_str!("../../../../config/development.toml"),
        Profile::Staging => include_str!("../../../../config/staging.toml"),
        Profile::Production => include_str!("../../../../config/production.toml"),
    };
    let mut built_in =
        vec![(if profile.is_for_developers() { Profile::Development } else { profile }, built_in)];
    if profile == Profile::Localstack {
        built_in.push((profile, include_str!("../../../../config/localstack.toml")));
    }
    let built_in =
        built_in.into_iter().map(|(name, text)| parsed(&format!("built-in {name}.toml"), text, faults));
    let built_in: Vec<Layer> = built_in.collect();
    default.into_iter().chain(built_in).chain(profiles).collect()
}

fn file(path: &Path, faults: &mut Faults) -> Option<Layer> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Some(parsed(&name, &text, faults)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            faults.push("config", name, format!("the file cannot be read: {error}"));
            None
        }
    }
}

/// The settings in `text`. The parser's own message shows the line, which may be a secret's: only the reason and the number go on.
fn parsed(name: &str, text: &str, faults: &mut Faults) -> Layer {
    let settings = Toml::from_str::<Dict>(text).unwrap_or_else(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).unwrap_or_default().lines().count().max(1);
        faults.push("config", name, format!("line {line} is not TOML: {}", error.message().trim()));
        Dict::new()
    });
    Layer { name: name.to_owned(), settings }
}

fn single(name: String, key: &str, text: &str, known: &Value) -> Layer {
    // A model's name is in the key, so there is no default to tell that these are numbers.
    let number = Value::from(0);
    let like = known.find_ref(key).or_else(|| key.starts_with("inference.batching.").then_some(&number));
    let value = nest(key, read_as(like, text));
    Layer { name, settings: value.into_dict().unwrap_or_default() }
}

/// Text from outside a file has no type of its own: it is read as what the key's default is, a list by its
/// commas. What cannot be read so stays
/// text, and decoding says what was expected. Keys without a default are all text.
fn read_as(default: Option<&Value>, text: &str) -> Value {
    let read = match default {
        Some(Value::Bool(..)) => text.parse::<bool>().ok().map(Value::from),
        Some(Value::Num(..)) => {
            let integer = text.parse::<i64>().ok().map(Value::from);
            integer.or_else(|| text.parse::<f64>().ok().map(Value::from))
        }
        Some(Value::Array(..)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::from(items.map(Value::from).collect::<Vec<_>>()))
        }
        _ => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

/// `PORT` replaces the port of the address that the files say, and leaves the host alone.
fn port(text: &str, files: &Figment, faults: &mut Faults) -> Layer {
    let name = variable("PORT");
    let address = files.find_value("server.listen").ok().and_then(Value::into_string).unwrap_or_default();
    let host = address.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    if text.parse::<u16>().is_err() {
        faults.push(
            "server.listen",
            &name,
            format!("`{text}` is no port; a port is a number from 0 to 65535"),
        );
        return Layer { name, settings: Dict::new() };
    }
    let settings =
        nest("server.listen", Value::from(format!("{host}:{text}"))).into_dict().unwrap_or_default();
    Layer { name, settings }
}

fn warnings(sources: &Sources, known: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, value) in &sources.env {
        if UNUSED_NAMES.contains(&name.as_str()) && !value.is_empty() {
            warnings.push(format!("{name} is set, but no linked adapter uses it"));
        }
        let rest = name.strip_prefix("CLARITY_").filter(|rest| !rest.starts_with('_'));
        if let Some((section, key)) = rest.and_then(|rest| rest.split_once('_'))
            && known.find_ref(&section.to_lowercase()).is_some()
        {
            warnings.push(format!("{name} is not read; was {ENVIRONMENT_PREFIX}{section}__{key} meant?"));
        }
    }
    warnings.sort();
    warnings
}
