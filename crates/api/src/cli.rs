//! The command line.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{
    commands,
    config::{Config, Fault, Faults, Loaded, Role, Sources, environment},
};

/// `EX_USAGE` of sysexits.h: the configuration is wrong. A command line that does not parse ends with 2, as clap has it.
const EXIT_CONFIGURATION: u8 = 64;

/// Keeps what phones record with Apple HealthKit, and computes measures from it.
#[derive(Parser)]
#[command(name = "clarity", version, propagate_version = true, after_help = "Start with: clarity demo")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The set of defaults and refusals: development, localstack, staging or production.
    #[arg(long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
    /// The folder with default.toml and <profile>.toml; without it, ./config where there is one.
    #[arg(long, global = true, value_name = "DIR")]
    config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Set one configuration key, such as --set worker.concurrency=4.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Answer phones, and process what they upload; or answer other services' inferences.
    Serve {
        /// What to serve.
        #[arg(long, value_enum, default_value_t = ServeRole::All)]
        role: ServeRole,
        /// The address and port to listen on; port 0 picks a free one.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Leave the processing to `clarity worker`.
        #[arg(long)]
        no_worker: bool,
    },
    /// Process uploads; several workers can share a data folder.
    Worker,
    /// Start a server, upload a simulated person's days through the API as a phone does, show what came out, keep serving.
    Demo {
        /// How many days.
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=90))]
        days: u16,
        /// The same seed makes the same person.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// The address and port to listen on.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Stop when everything was shown.
        #[arg(long)]
        exit: bool,
    },
    /// Print the uploads of a simulated person.
    Sample {
        /// Which route's body.
        #[arg(long, value_enum, default_value_t = SampleFormat::Healthkit)]
        format: SampleFormat,
        /// How many days.
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=365))]
        days: u16,
        /// The same seed makes the same person.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// The first local day; the same days, seed and start make the same bytes.
        #[arg(long, default_value = "2026-03-02", value_name = "DATE")]
        start: jiff::civil::Date,
        /// The user id in the bodies: the one that `auth/me` answers.
        #[arg(long, default_value = "00000000-0000-4000-8000-000000000000", value_name = "UUID")]
        user: domain::ids::UserId,
        /// Let the person wear a chest strap as well, with a heart rate each so many seconds: 108 days of one each second are
        /// 9 million records.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
        chest_strap: Option<u16>,
        /// Write here instead of to standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Import Apple Health's export (`export.xml`, or the archive with it), or lines of samples. What was begun goes on.
    Import {
        /// The file.
        file: PathBuf,
        /// Whose data it is: the address that they signed up with.
        #[arg(long = "user", value_name = "E-MAIL", required_unless_present = "server")]
        email: Option<String>,
        /// The zone of samples that name none, such as Europe/Berlin; of lines only.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// Send it to this server instead of into the data folder; it needs an access token.
        #[arg(long, value_name = "URL", conflicts_with = "email")]
        server: Option<url::Url>,
        /// Where the access token is; without it, standard input.
        #[arg(long, value_name = "FILE", requires = "server")]
        token_file: Option<PathBuf>,
    },
    /// Write a page about a person's days: pictures, and the numbers with their methods. It opens in any browser, and asks for
    /// nothing from elsewhere.
    Report {
        /// Whose days: the address that they signed up with.
        #[arg(long = "user", value_name = "E-MAIL")]
        email: String,
        /// How many days, up to the newest that has measures.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=92))]
        days: u16,
        /// Where to: a file that is there is replaced.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Compute the newest week of many people anew with the PAT model that is active, as a job that several machines can share. It
    /// goes on where it was stopped; who is done twice has the same results.
    Batch {
        /// Whose: from id A on, up to and without B, either of which may be left out or be the beginning of an id. Without this
        /// and --file, everybody.
        #[arg(long, value_name = "A..B", value_parser = commands::batch::Range::parse)]
        users: Option<commands::batch::Range>,
        /// Whose: a file with a user id a line; `-` is standard input.
        #[arg(long, value_name = "LIST", conflicts_with = "users")]
        file: Option<PathBuf>,
        /// A name for the job: jobs of different names do not go on where the others were stopped.
        #[arg(long, default_value = "pat")]
        job: String,
        /// Begin anew, also where the job was stopped.
        #[arg(long)]
        restart: bool,
        /// Which part of the people, from 0.
        #[arg(long, env = "AWS_BATCH_JOB_ARRAY_INDEX", value_name = "NUMBER")]
        shard: Option<u32>,
        /// How many parts there are.
        #[arg(long, env = "AWS_BATCH_JOB_ARRAY_SIZE", value_name = "COUNT")]
        shards: Option<u32>,
    },
    /// Check configuration, stores, model and clock, and say what to do about what is wrong.
    Doctor,
    /// Look after jobs that were given up.
    Jobs {
        #[command(subcommand)]
        command: JobsCommand,
    },
    /// Look after models: which there are, whether they are what they say, and which version answers.
    Models {
        #[command(subcommand)]
        command: commands::models::ModelsCommand,
    },
    /// Look after the tables of a PostgreSQL database
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Make what a cloud provider's adapters use, for development and emulators, or print what it is
    Cloud {
        #[command(subcommand)]
        command: CloudCommand,
    },
    /// Look after accounts: roles, sessions, and who may sign in.
    Users {
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Help for developers; refused outside the development profile.
    Dev {
        #[command(subcommand)]
        command: DevCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print every key with its value and where it came from; secrets are hidden.
    Show,
}

#[derive(Subcommand)]
enum JobsCommand {
    /// Remove objects that no record names: what crashes left over. Reads all records of readings, so it is for now and then.
    Sweep {
        /// Only those that are older.
        #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        older_than_days: u16,
    },
    /// List the jobs that were given up, with the reason.
    DeadLetters,
    /// Send given-up jobs back to the queue.
    Redrive {
        /// Which; without any, all of them.
        ids: Vec<String>,
    },
}

#[derive(Subcommand)]
enum DbCommand {
    /// Bring the tables up to date. Of several at once one does it and the others wait.
    Migrate,
    /// Take the tables back to a version; what only later ones keep is lost.
    Rollback {
        /// The version to go back to; 0 is before the first.
        #[arg(value_name = "VERSION")]
        to: i64,
    },
    /// List the versions of the tables, and which of them the database has.
    Status,
}

#[derive(Subcommand)]
enum CloudCommand {
    /// Make the tables, buckets, queues and topics that the configuration names. What is there stays as it is.
    Init {
        /// Whose.
        #[arg(long, value_enum)]
        provider: Cloud,
        /// Also make the user pool `aws.user_pool_name` with an app client, or find them, and print their ids.
        #[arg(long)]
        user_pool: bool,
    },
    /// Print what has to be there and what each role must be allowed, as Terraform and policies read it with --json.
    Manifest {
        /// Whose.
        #[arg(long, value_enum)]
        provider: Cloud,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Cloud {
    Aws,
}

#[derive(Subcommand)]
enum UsersCommand {
    /// Print what is known of an account.
    Show {
        /// The address it was signed up with.
        email: String,
    },
    /// Give an account other roles, and end its sessions, whose tokens carry the old ones.
    Roles {
        /// The address it was signed up with.
        email: String,
        /// All it shall have: `user`, `user,clinician` or `operator`.
        #[arg(required = true, value_delimiter = ',', value_parser = role)]
        roles: Vec<ports::Role>,
    },
    /// Bar an account: nobody signs in, and the tokens it has no longer count.
    Disable {
        /// The address it was signed up with.
        email: String,
    },
    /// Let a barred account in again.
    Enable {
        /// The address it was signed up with.
        email: String,
    },
    /// Sign an account out everywhere.
    EndSessions {
        /// The address it was signed up with.
        email: String,
    },
    /// Turn an account's second factor off, for whoever lost it and all recovery codes. Make sure first that it is them.
    RemoveSecondFactor {
        /// The address it was signed up with.
        email: String,
    },
}

impl UsersCommand {
    fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        use commands::users::{Action, users};
        match self {
            Self::Show { email } => users(global, &email, Action::Show),
            Self::Roles { email, roles } => {
                users(global, &email, Action::SetRoles(roles.into_iter().collect()))
            }
            Self::Disable { email } => users(global, &email, Action::SetDisabled(true)),
            Self::Enable { email } => users(global, &email, Action::SetDisabled(false)),
            Self::EndSessions { email } => users(global, &email, Action::EndSessions),
            Self::RemoveSecondFactor { email } => users(global, &email, Action::RemoveSecondFactor),
        }
    }
}

fn role(name: &str) -> Result<ports::Role, String> {
    ports::Role::parse(name).ok_or_else(|| "roles are user, clinician and operator".to_owned())
}

#[derive(Subcommand)]
enum DevCommand {
    /// List the codes that would have been mailed.
    Codes,
}

/// What `clarity serve` serves.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServeRole {
    /// Phones and the people who look after the service.
    All,
    /// Models, by the Open Inference Protocol v2 and by SageMaker's /ping and /invocations, at inference.server.listen. Needs
    /// neither records nor accounts.
    Inference,
}

/// Which route's body `clarity sample` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleFormat {
    /// `POST healthkit`: a JSON array with one body a day.
    Healthkit,
    /// `POST health-data`: a JSON array of bodies.
    HealthData,
    /// `POST pat/step-analysis`: one body.
    Steps,
    /// Apple Health's `export.xml`, with the same readings as `healthkit`.
    ExportXml,
}

/// Why a command failed.
pub(crate) enum Failure {
    /// The configuration is wrong.
    Configuration(Faults),
    /// Anything else, in words that say what to do.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(code) => code,
        Err(Failure::Configuration(faults)) => {
            let text = if json {
                serde_json::to_string_pretty(&faults).unwrap_or_default()
            } else {
                faults.to_string()
            };
            complain(&text);
            ExitCode::from(EXIT_CONFIGURATION)
        }
        Err(Failure::Other(error)) => {
            if json {
                complain(&serde_json::json!({ "error": format!("{error:#}") }).to_string());
            } else {
                complain(&format!("error: {error:#}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Serve { role: ServeRole::All, listen, no_worker } => {
            commands::serve::serve(&global, listen, no_worker)
        }
        Command::Serve { role: ServeRole::Inference, listen, .. } => {
            commands::serve::serve_models(&global, listen)
        }
        Command::Worker => commands::serve::work(&global),
        Command::Demo { days, seed, listen, exit } => {
            commands::demo::demo(&global, commands::demo::Options { days, seed, listen, exit })
        }
        Command::Sample { format, days, seed, start, user, chest_strap, output } => {
            let options = commands::sample::Options { format, days, seed, start, user, chest_strap, output };
            commands::sample::sample(options)
        }
        Command::Import { file, email, time_zone, server, token_file } => {
            let order = commands::import::Order { file, email, time_zone, server, token_file };
            commands::import::import(&global, &order)
        }
        Command::Report { email, days, output } => {
            commands::report::report(&global, &commands::report::Order { email, days, output })
        }
        Command::Batch { users, file, job, restart, shard, shards } => {
            let order = commands::batch::Order { users, file, job, restart, shard, shards };
            commands::batch::batch(&global, &order)
        }
        Command::Doctor => commands::doctor::doctor(&global),
        Command::Jobs { command: JobsCommand::DeadLetters } => commands::jobs::dead_letters(&global),
        Command::Jobs { command: JobsCommand::Sweep { older_than_days } } => {
            commands::jobs::sweep(&global, older_than_days)
        }
        Command::Jobs { command: JobsCommand::Redrive { ids } } => commands::jobs::redrive(&global, ids),
        Command::Models { command } => command.run(&global),
        Command::Db { command: DbCommand::Migrate } => commands::db::migrate(&global),
        Command::Db { command: DbCommand::Rollback { to } } => commands::db::rollback(&global, to),
        Command::Db { command: DbCommand::Status } => commands::db::status(&global),
        Command::Cloud { command: CloudCommand::Init { provider: Cloud::Aws, user_pool } } => {
            commands::cloud::init_aws(&global, user_pool)
        }
        Command::Cloud { command: CloudCommand::Manifest { provider: Cloud::Aws } } => {
            commands::cloud::manifest_aws(&global)
        }
        Command::Users { command } => command.run(&global),
        Command::Openapi => commands::openapi(),
        Command::Config { command: ConfigCommand::Show } => commands::config_show(&global),
        Command::Dev { command: DevCommand::Codes } => commands::dev_codes(&global),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "clarity", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Global {
    /// The checked configuration.
    pub(crate) fn load(&self, listen: Option<SocketAddr>) -> Result<Loaded, Failure> {
        self.load_for(Role::All, listen)
    }

    /// The configuration, checked for what the process is for.
    pub(crate) fn load_for(&self, role: Role, listen: Option<SocketAddr>) -> Result<Loaded, Failure> {
        let mut overrides = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                let problem = "is not of the form KEY=VALUE, such as worker.concurrency=4".to_owned();
                let fault = Fault { key: pair.clone(), source: "--set".to_owned(), problem };
                return Err(Failure::Configuration(Faults(vec![fault])));
            };
            overrides.push((key.to_owned(), value.to_owned()));
        }
        if let Some(listen) = listen {
            let key = match role {
                Role::All => "server.listen",
                Role::Inference => "inference.server.listen",
            };
            overrides.push((key.to_owned(), listen.to_string()));
        }
        if let Some(data) = &self.data {
            overrides.push(("data.dir".to_owned(), data.display().to_string()));
        }
        let sources = Sources {
            profile: self.profile.clone(),
            config_dir: self.config.clone(),
            env: environment(),
            overrides,
            linked: Some(crate::platform::linked()),
            role,
        };
        Config::load(&sources).map_err(Failure::Configuration)
    }

    /// Prints a value: JSON where `--json` was given, else `text`.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { say(&serde_json::to_string_pretty(value)?) } else { say(&text()) }
    }
}

/// Writes a line to standard output. A reader that went away is no error.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Writes a line to standard error.
pub(crate) fn complain(text: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{text}");
}

/// Whether a person looks at standard error, and so at progress bars.
pub(crate) fn person_watches() -> bool {
    std::io::stderr().is_terminal()
}
