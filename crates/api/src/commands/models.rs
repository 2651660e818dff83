//! `clarity models`: which models there are, and which of them answer.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use inference::{Activation, Check, Entry, ModelStore, Package, Settings, Source, catalogue};
use ports::Clock as _;

use crate::{
    cli::{Failure, Global, complain},
    commands::{normalisation::Fit, runtime},
    platform,
};

#[derive(Subcommand)]
pub(crate) enum ModelsCommand {
    #[command(flatten)]
    Store(StoreCommand),
    /// Fit what PAT's input is standardised by: the mean and the standard deviation of each minute of the week over a cohort.
    FitNormalisation(Fit),
}

impl ModelsCommand {
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        match self {
            Self::Store(command) => command.run(global),
            Self::FitNormalisation(fit) => fit.run(global),
        }
    }
}

// The argument is not called `version`: every command has a flag of that name.
#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// List every version of every model, and which of them answer.
    List,
    /// Check models as a server does before it uses them: signature, hashes, graph and golden vectors.
    Verify {
        /// Which model; without it, all of them.
        #[arg(value_name = "NAME")]
        model: Option<String>,
        /// Which version; without it, all of them.
        #[arg(id = "model_version", value_name = "VERSION", requires = "model")]
        version: Option<String>,
        /// A folder that was not added yet.
        #[arg(long, value_name = "DIR", conflicts_with = "model")]
        folder: Option<PathBuf>,
    },
    /// Check a folder with a model and keep it in the object store. Servers go on with the version they have.
    Add {
        /// The folder with the model's manifest.json.
        folder: PathBuf,
        /// Activate it, too.
        #[arg(long)]
        activate: bool,
    },
    /// Let a version answer in the place of the one that does. Running servers load it by themselves.
    Activate {
        #[arg(value_name = "NAME")]
        model: String,
        #[arg(id = "model_version", value_name = "VERSION")]
        version: String,
    },
    /// Let the version answer again that did before.
    Rollback {
        #[arg(value_name = "NAME")]
        model: String,
    },
    /// Remove a version that is not active, and the files that no other has.
    Remove {
        #[arg(value_name = "NAME")]
        model: String,
        #[arg(id = "model_version", value_name = "VERSION")]
        version: String,
    },
}

/// What the commands need: none needs a model that is loaded.
struct Shelf {
    settings: Settings,
    store: ModelStore,
}

impl StoreCommand {
    fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let config = global.load(None)?.config;
        runtime()?.block_on(async {
            let settings = platform::inference_settings(&config)?;
            let models = Shelf { settings, store: ModelStore::new(platform::objects(&config).await?) };
            let now = ports::SystemClock.now();
            let done = match self {
                Self::List => return models.list(global).await,
                Self::Verify { model, version, folder } => {
                    return models.verify(global, (model, version, folder)).await;
                }
                Self::Add { folder, activate } => models.add(global, folder, activate).await,
                Self::Activate { model, version } => models.activate(global, (&model, &version), now).await,
                Self::Rollback { model } => models.rollback(global, &model, now).await,
                Self::Remove { model, version } => models.remove(global, &model, &version).await,
            };
            done.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        })
    }
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{:.1} MB", bytes as f64 / 1e6))
}

/// What stands in `source()` is for the operator, who asked here.
fn reason(error: ports::Error) -> anyhow::Error {
    match std::error::Error::source(&error) {
        Some(cause) => anyhow::anyhow!("{cause}"),
        None => error.into(),
    }
}

impl Shelf {
    async fn list(&self, global: &Global) -> Result<ExitCode, Failure> {
        let entries = catalogue(&self.settings, &self.store).await.map_err(reason)?;
        global.print(&entries, || {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table
                .set_header(["model", "version", "active", "source", "weights", "size", "signed", "problem"]);
            for entry in &entries {
                let weights =
                    entry.identity.as_ref().map(|identity| format!("{:?}", identity.weights).to_lowercase());
                table.add_row([
                    entry.name.clone(),
                    entry.version.clone().unwrap_or_default(),
                    if entry.is_active { "yes" } else { "" }.to_owned(),
                    format!("{:?}", entry.source).to_lowercase(),
                    weights.unwrap_or_default(),
                    size(entry.size_bytes),
                    if entry.is_signed { "yes" } else { "" }.to_owned(),
                    entry.problem.clone().unwrap_or_default(),
                ]);
            }
            table.to_string()
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn verify(
        &self,
        global: &Global,
        (model, version, folder): (Option<String>, Option<String>, Option<PathBuf>),
    ) -> Result<ExitCode, Failure> {
        let mut rows = Vec::new();
        if let Some(folder) = folder {
            let checked = self.check(Package::of_folder(&folder, self.settings.signing_key.as_ref()));
            rows.push((folder.display().to_string(), String::new(), checked));
        } else {
            let is_wanted = |entry: &Entry| {
                model.as_ref().is_none_or(|model| *model == entry.name)
                    && version.as_ref().is_none_or(|version| Some(version) == entry.version.as_ref())
            };
            let entries = catalogue(&self.settings, &self.store).await.map_err(reason)?;
            for entry in entries.into_iter().filter(is_wanted) {
                if !global.json {
                    complain(&format!("checking {} {}", entry.name, entry.version.as_deref().unwrap_or("")));
                }
                let checked = self.check(self.package(&entry).await);
                rows.push((entry.name, entry.version.unwrap_or_default(), checked));
            }
        }
        if rows.is_empty() {
            return Err(anyhow::anyhow!(
                "there is no such model; `clarity models list` shows those there are"
            )
            .into());
        }
        print_checks(global, &rows)?;
        let is_all = rows.iter().all(|(.., checked)| checked.is_ok());
        Ok(if is_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn package(&self, entry: &Entry) -> Result<Package, String> {
        let key = self.settings.signing_key.as_ref();
        if let Some(problem) = &entry.problem {
            return Err(problem.clone());
        }
        match (entry.source, &entry.version) {
            (Source::Store, Some(version)) => {
                let package = Package::of_store(&self.store, &entry.name, version, key).await;
                package.map_err(|error| reason(error).to_string())
            }
            _ => Package::of_folder(&self.settings.models_dir.join(&entry.name), key),
        }
    }

    fn check(&self, package: Result<Package, String>) -> Result<Check, String> {
        package?.check(&self.settings)
    }

    async fn add(&self, global: &Global, folder: PathBuf, activate: bool) -> anyhow::Result<()> {
        let package = Package::of_folder(&folder, self.settings.signing_key.as_ref());
        let package = package.map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let check = package.check(&self.settings).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        package.add_to(&self.store).await.map_err(reason)?;
        let (identity, is_signed) = (package.identity(), package.is_signed());
        let (name, version) = (identity.name.clone(), identity.version.clone());
        let activation = if activate {
            let activation = self.store.activate(&name, &version, ports::SystemClock.now()).await;
            Some(activation.map_err(reason)?)
        } else {
            None
        };
        let added = serde_json::json!({
            "identity": identity, "is_signed": is_signed, "size_bytes": package.size_bytes(),
            "golden_check": check.golden, "activation": activation,
        });
        global.print(&added, || match activation {
            Some(_) => format!("added and activated {name} {version} ({})", check.golden),
            None => format!(
                "added {name} {version} ({}); `clarity models activate {name} {version}` lets it answer",
                check.golden
            ),
        })?;
        Ok(())
    }

    /// What servers would refuse is not made the one that they are to use.
    async fn verified(&self, model: &str, version: &str) -> anyhow::Result<()> {
        let key = self.settings.signing_key.as_ref();
        let package = Package::of_store(&self.store, model, version, key).await.map_err(reason)?;
        let checked = package.check(&self.settings);
        checked.map_err(|problem| anyhow::anyhow!("{model} {version} cannot be used: {problem}"))?;
        Ok(())
    }

    async fn activate(
        &self,
        global: &Global,
        (model, version): (&str, &str),
        now: jiff::Timestamp,
    ) -> anyhow::Result<()> {
        self.verified(model, version).await?;
        self.activated(global, model, self.store.activate(model, version, now).await)
    }

    async fn rollback(&self, global: &Global, model: &str, now: jiff::Timestamp) -> anyhow::Result<()> {
        let active = self.store.active(model).await.map_err(reason)?;
        if let Some(before) = active.and_then(|active| active.predecessor) {
            self.verified(model, &before).await?;
        }
        self.activated(global, model, self.store.rollback(model, now).await)
    }

    fn activated(
        &self,
        global: &Global,
        name: &str,
        activation: ports::Result<Activation>,
    ) -> anyhow::Result<()> {
        let activation = activation.map_err(reason)?;
        global.print(&activation, || {
            let before = activation.predecessor.as_deref().unwrap_or("none");
            let seconds = self.settings.refresh.as_secs_f64();
            format!(
                "activated {name} {}, before: {before}; running servers load it within {seconds} s",
                activation.version
            )
        })?;
        Ok(())
    }

    async fn remove(&self, global: &Global, name: &str, version: &str) -> anyhow::Result<()> {
        let files = self.store.remove(name, version).await.map_err(reason)?;
        let removed = serde_json::json!({ "name": name, "version": version, "files": files });
        global.print(&removed, || format!("removed {name} {version} and {files} files"))?;
        Ok(())
    }
}

fn print_checks(global: &Global, rows: &[(String, String, Result<Check, String>)]) -> anyhow::Result<()> {
    let json: Vec<_> = rows
        .iter()
        .map(|(name, version, checked)| {
            let check = checked.as_ref().ok();
            serde_json::json!({
                "name": name, "version": version, "ok": checked.is_ok(), "problem": checked.as_ref().err(),
                "golden_check": check.map(|one| &one.golden),
                "execution_provider": check.map(|one| one.execution_provider),
            })
        })
        .collect();
    global
        .print(&json, || {
            let lines = rows.iter().map(|(name, version, checked)| match checked {
                Ok(check) => {
                    format!("ok     {name} {version}: {} ({})", check.golden, check.execution_provider)
                }
                Err(problem) => format!("WRONG  {name} {version}: {problem}"),
            });
            lines.collect::<Vec<_>>().join("\n")
        })
        .context("the result cannot be printed")
}
