//! Reads with a token: what a phone's GET costs, and what of that is the token.

use std::{path::Path, sync::Arc, time::Instant};

use adapters_local::{
    SystemClock, SystemIds,
    identity::{LocalIdentity, PasswordCost, Settings},
};
use anyhow::{Context as _, bail};
use domain::ids::UserId;
use e2e::Phone;
use ports::{Email, IdSource as _, IdentityProvider as _, NewUser, SignIn, TokenVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    bodies::{Ids, one_metric},
    floors::Echo,
    load::{Request, Round, send},
    people,
    report::{Goal, Row},
    server, usage,
};

const PEOPLE: usize = 32;
const WARM_UP: usize = 20;
/// For each connection.
const MEASURED: usize = 300;
const TOKENS: usize = 4000;
/// How often each remembered token is verified again.
const AGAIN: usize = 25;

pub(crate) async fn measure(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let floor = echo().await?;
    let floor_us = floor.cpu_us();
    let mut rows = vec![Row::new("floor: actix that answers a GET", floor_us, "us").note(floor.described())];
    let server = server::without_model(&folder.join("reads"), folder)?.start()?;
    let address = server.address()?;
    let people = people::sign_up(address, PEOPLE).await?;
    let mut ids = Ids::new(11);
    for phone in &people {
        let request = Request::post(
            "/api/v1/health-data",
            &phone.access_token,
            &one_metric(&phone.user_id, &mut ids, 0),
        );
        send(address, server.pid(), &[vec![request.expect(201, r#""accepted":1"#)]]).await?;
    }
    people::completed(address, PEOPLE).await?;
    for (name, path, holds) in [
        ("profile", "/api/v1/auth/me", "\"user_id\""),
        ("daily results (audited)", "/api/v1/metrics/daily", "\"heart_rate_min\""),
        ("readings (audited)", "/api/v1/health-data?limit=50", "\"heart_rate\""),
    ] {
        send(address, server.pid(), &lists(&people, path, holds, WARM_UP)).await?;
        let round = send(address, server.pid(), &lists(&people, path, holds, MEASURED)).await?;
        rows.push(
            Row::new(format!("{name}: reads on one core"), 1e6 / round.cpu_us(), "reads/s")
                .goal(Goal::AtLeast(3000.0))
                .floor("the floor above", 1e6 / floor_us)
                .note(format!("{:.0} us CPU each; {}", round.cpu_us(), round.described())),
        );
    }
    rows.extend(tokens(floor_us).await?);
    Ok(rows)
}

fn lists(people: &[Phone], path: &str, holds: &str, count: usize) -> Vec<Vec<Request>> {
    let request = |phone: &Phone| Request::get_with(path, &phone.access_token).expect(200, holds.to_owned());
    people.iter().map(|phone| (0..count).map(|_| request(phone)).collect()).collect()
}

/// The same requests to a server that does nothing with them.
async fn echo() -> anyhow::Result<Round> {
    let echo = Echo::start()?;
    let token = "t".repeat(400);
    let lists = |count: usize| -> Vec<Vec<Request>> {
        let request = || Request::get_with("/api/v1/auth/me", &token);
        (0..PEOPLE).map(|_| (0..count).map(|_| request()).collect()).collect()
    };
    send(echo.address, echo.pid(), &lists(WARM_UP)).await?;
    send(echo.address, echo.pid(), &lists(4 * MEASURED)).await
}

/// The verifier of the embedded default by itself: each token for the first time, and then again.
async fn tokens(floor_us: f64) -> anyhow::Result<Vec<Row>> {
    let settings = Settings { password_cost: PasswordCost::LOWEST, ..Settings::new("bench", "bench") };
    let identity = LocalIdentity::memory(settings, Arc::new(SystemClock), Arc::new(SystemIds))?;
    let email = Email::parse("bench@example.org").context("an address")?;
    let password = SecretString::from("correct horse battery");
    let (user_id, display_name) = (UserId(SystemIds.next()), None);
    identity
        .sign_up(NewUser { user_id, email: email.clone(), password: password.clone(), display_name })
        .await?;
    let mut tokens = Vec::with_capacity(TOKENS);
    for _ in 0..TOKENS {
        match identity.sign_in(&email, &password, &ports::SignInContext::default()).await? {
            SignIn::Tokens(pair) => tokens.push(pair.access_token),
            SignIn::Challenge { .. } => bail!("nobody asked for a challenge"),
        }
    }
    let mut rows = Vec::new();
    for (name, rounds, goal) in [("first seen", 1, 60.0), ("seen before", AGAIN, 2.0)] {
        let (cpu, start) = (usage::own_cpu()?, Instant::now());
        for _ in 0..rounds {
            for token in &tokens {
                identity.verify(token.expose_secret()).await?;
            }
        }
        let count = (rounds * TOKENS) as f64;
        let wall_us = start.elapsed().as_secs_f64() * 1e6 / count;
        let cpu_us = usage::own_cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / count;
        rows.push(
            Row::new(format!("token (EdDSA), {name}: CPU"), cpu_us, "us")
                .goal(Goal::AtMost(goal))
                .floor("an actix answer", floor_us)
                .note(format!("{wall_us:.2} us by the clock, {count:.0} verifications")),
        );
    }
    Ok(rows)
}
