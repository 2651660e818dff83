//! `clarity users`: look at an account, and change what its owner cannot.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::Context as _;
use app::Platform;
use ports::{Email, ErrorKind, Profile, Role};
use serde_json::{Value, json};

use crate::{
    cli::{Failure, Global, say},
    commands::runtime,
    platform,
};

/// What is done to an account.
pub(crate) enum Action {
    Show,
    SetRoles(BTreeSet<Role>),
    SetDisabled(bool),
    EndSessions,
    RemoveSecondFactor,
}

pub(crate) fn users(global: &Global, email: &str, action: Action) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let email = Email::parse(email)
        .context("this is no e-mail address: write it as name@example.org, as it was signed up with")?;
    let (account, done) = runtime()?.block_on(async {
        let (clock, ids) = platform::time_and_ids();
        let connected = platform::connect_without_models(&config, clock, ids).await?;
        act(&connected.platform, &email, action).await
    })?;
    if global.json {
        say(&serde_json::to_string_pretty(&account.json(done.as_deref()))?)?;
    } else {
        say(&account.text())?;
        done.map_or(Ok(()), |done| say(&done))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does it; answers the account as it is then, and what was done in words.
async fn act(
    platform: &Platform,
    email: &Email,
    action: Action,
) -> anyhow::Result<(Account, Option<String>)> {
    let before = Account::find(platform, email).await?;
    let (user_id, sessions) = (before.profile.user_id, before.sessions);
    let done = match action {
        Action::Show => return Ok((before, None)),
        Action::SetRoles(roles) => {
            let set = platform.identity.set_roles(user_id, roles).await;
            set.map_err(|error| match error.kind() {
                ErrorKind::InvalidInput => anyhow::anyhow!(
                    "these roles do not go together: give `user`, `user,clinician` or `operator`"
                ),
                _ => error.into(),
            })?;
            format!("The roles are set. {} ended: the next sign-in has the new roles.", counted(sessions))
        }
        Action::SetDisabled(disabled) => {
            platform.identity.set_disabled(user_id, disabled).await?;
            if disabled {
                "The account is disabled: its tokens no longer count. `clarity users enable` undoes it."
                    .to_owned()
            } else {
                "The account is enabled.".to_owned()
            }
        }
        Action::EndSessions => {
            platform.sessions.end_all(user_id, None).await?;
            format!("{} ended.", counted(sessions))
        }
        Action::RemoveSecondFactor => {
            anyhow::ensure!(
                before.has_second_factor,
                "this account has no second factor: nothing was changed"
            );
            platform.multi_factor.remove(user_id).await?;
            "The second factor is off: a sign-in needs the password alone.".to_owned()
        }
    };
    Ok((Account::find(platform, email).await?, Some(done)))
}

fn counted(sessions: usize) -> String {
    if sessions == 1 { "1 session".to_owned() } else { format!("{sessions} sessions") }
}

/// What is shown of one.
struct Account {
    profile: Profile,
    sessions: usize,
    has_second_factor: bool,
}

impl Account {
    async fn find(platform: &Platform, email: &Email) -> anyhow::Result<Self> {
        let profile = platform.identity.find(email).await?.context(
            "no account has this address: check its spelling, and with `clarity config show` that data.dir and \
             providers.identity are those of the server",
        )?;
        let sessions = platform.sessions.sessions(profile.user_id).await?.len();
        let has_second_factor = platform.multi_factor.is_on(profile.user_id).await?;
        Ok(Self { profile, sessions, has_second_factor })
    }

    fn roles(&self) -> Vec<&'static str> {
        self.profile.roles.iter().map(|role| role.as_str()).collect()
    }

    fn json(&self, done: Option<&str>) -> Value {
        let profile = &self.profile;
        json!({
            "user_id": profile.user_id,
            "email": profile.email.expose(),
            "email_verified": profile.email_verified,
            "display_name": profile.display_name,
            "roles": self.roles(),
            "created_at": profile.created_at.to_string(),
            "disabled": profile.disabled,
            "sessions": self.sessions,
            "second_factor": self.has_second_factor,
            "done": done,
        })
    }

    fn text(&self) -> String {
        let profile = &self.profile;
        let yes = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        for (name, value) in [
            ("user id", profile.user_id.to_string()),
            ("e-mail", profile.email.expose().to_owned()),
            ("confirmed", yes(profile.email_verified)),
            ("name", profile.display_name.clone().unwrap_or_else(|| "-".to_owned())),
            ("roles", self.roles().join(", ")),
            ("signed up", profile.created_at.to_string()),
            ("disabled", yes(profile.disabled)),
            ("sessions", self.sessions.to_string()),
            ("second factor", yes(self.has_second_factor)),
        ] {
            table.add_row([name.to_owned(), value]);
        }
        table.to_string()
    }
}
