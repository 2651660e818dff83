//! Uploads of one metric: what a durable request costs.

use std::{net::SocketAddr, time::Instant};

use e2e::{Phone, Started};

use crate::{
    bodies::{Ids, one_metric},
    floors::{Echo, Insert, RECORDS_OF_UPLOAD},
    load::{Request, Round, send},
    people,
    report::{Goal, Row},
    server, usage,
};

const PEOPLE: usize = 64;
/// For each connection, before the clock starts.
const WARM_UP: usize = 10;
/// For each connection. With the warm-up that is twenty-two hours of readings for each person.
const MEASURED: usize = 250;
const ALONE: usize = 2000;
const PROCESSED: usize = 30;

const PATH: &str = "/api/v1/health-data";

/// The next uploads of some people, none sent twice.
struct Feed {
    people: Vec<Phone>,
    ids: Ids,
    sent: Vec<usize>,
}

impl Feed {
    async fn new(address: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let people = people::sign_up(address, PEOPLE).await?;
        Ok(Self { people, ids: Ids::new(seed), sent: vec![0; PEOPLE] })
    }

    fn next(&mut self, person: usize) -> Request {
        let Phone { user_id, access_token, .. } = &self.people[person];
        let body = one_metric(user_id, &mut self.ids, self.sent[person]);
        self.sent[person] += 1;
        Request::post(PATH, access_token, &body).expect(201, r#""accepted":1,"duplicate":0"#)
    }

    /// One connection for each person.
    fn at_once(&mut self, count: usize) -> Vec<Vec<Request>> {
        (0..PEOPLE).map(|person| (0..count).map(|_| self.next(person)).collect()).collect()
    }

    /// One connection for all.
    fn in_turn(&mut self, count: usize) -> Vec<Vec<Request>> {
        vec![(0..count).map(|index| self.next(index % PEOPLE)).collect()]
    }

    async fn read_back(&self) -> anyhow::Result<()> {
        for (phone, sent) in self.people.iter().zip(&self.sent).step_by(PEOPLE / 4) {
            people::read_back(std::slice::from_ref(phone), "heart_rate", *sent).await?;
        }
        Ok(())
    }
}

pub(crate) async fn measure(
    folder: &std::path::Path,
    (alone, many): (&Insert, &Insert),
) -> anyhow::Result<Vec<Row>> {
    let (echo_at_once, echo_in_turn) = echo().await?;
    let mut rows = vec![
        Row::new(format!("floor: actix that echoes, {PEOPLE} connections"), echo_at_once.cpu_us(), "us")
            .note(echo_at_once.described()),
        Row::new("floor: actix that echoes, 1 connection", echo_in_turn.cpu_us(), "us")
            .note(echo_in_turn.described()),
    ];
    let records = RECORDS_OF_UPLOAD as f64;
    let floor_at_once = echo_at_once.cpu_us() + records * many.cpu_us;
    let floor_in_turn = echo_in_turn.cpu_us() + records * alone.cpu_us;

    let data = folder.join("small");
    let server = server::without_model(&data, folder)?.args(&["--no-worker"]).start()?;
    let mut feed = Feed::new(server.address()?, 1).await?;
    round(&server, feed.at_once(WARM_UP)).await?;
    let at_once = round(&server, feed.at_once(MEASURED)).await?;
    rows.push(
        Row::new(format!("one-metric upload, {PEOPLE} connections: CPU"), at_once.cpu_us(), "us")
            .goal(Goal::AtMost(150.0))
            .floor("echo + 6 rows of 1000", floor_at_once)
            .note(at_once.described()),
    );
    let in_turn = round(&server, feed.in_turn(ALONE)).await?;
    rows.push(
        Row::new("one-metric upload, 1 connection: CPU", in_turn.cpu_us(), "us")
            .floor("echo + 6 rows in one transaction", floor_in_turn)
            .note(in_turn.described()),
    );
    feed.read_back().await?;
    rows.push(Row::new("memory after these uploads", usage::memory(server.pid())?.resident, "MB"));
    drop(server);
    rows.push(processed(folder, floor_at_once).await?);
    Ok(rows)
}

/// The same with the worker in the server: what an upload costs until its results are there.
async fn processed(folder: &std::path::Path, floor: f64) -> anyhow::Result<Row> {
    let server = server::without_model(&folder.join("small-processed"), folder)?.start()?;
    let mut feed = Feed::new(server.address()?, 2).await?;
    let requests = feed.at_once(PROCESSED);
    let (cpu, start) = (usage::cpu(server.pid())?, Instant::now());
    let round = round(&server, requests).await?;
    people::completed(server.address()?, round.requests).await?;
    let (cpu, wall) = (usage::cpu(server.pid())?.saturating_sub(cpu), start.elapsed());
    people::results_of(&feed.people).await?;
    feed.read_back().await?;
    let count = round.requests as f64;
    let row = Row::new("one-metric upload and its job: CPU", cpu.as_secs_f64() * 1e6 / count, "us");
    let note =
        format!("{:.0} acknowledged/s, {:.0} processed/s", round.per_second(), count / wall.as_secs_f64());
    Ok(row.floor("as above, without the job", floor).note(note))
}

async fn round(server: &Started, requests: Vec<Vec<Request>>) -> anyhow::Result<Round> {
    send(server.address()?, server.pid(), &requests).await
}

/// The same requests to a server that does nothing with them.
async fn echo() -> anyhow::Result<(Round, Round)> {
    let echo = Echo::start()?;
    let (token, user) = ("t".repeat(400), "u".repeat(36));
    let request =
        || Request::post(PATH, &token, &one_metric(&user, &mut Ids::new(3), 7)).expect(200, "heart_rate");
    let lists = |connections: usize, count: usize| -> Vec<Vec<Request>> {
        (0..connections).map(|_| (0..count).map(|_| request()).collect()).collect()
    };
    send(echo.address, echo.pid(), &lists(PEOPLE, WARM_UP)).await?;
    let at_once = send(echo.address, echo.pid(), &lists(PEOPLE, 2 * MEASURED)).await?;
    let in_turn = send(echo.address, echo.pid(), &lists(1, 5 * ALONE)).await?;
    Ok((at_once, in_turn))
}
