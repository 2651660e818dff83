//! A job over many people: it goes on where it was stopped, tries those again who failed, and is one model's.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use app::{App, offline::Progress};
use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, RecordKey},
};
use ports::{
    CommitLimits, Cursor, Error, ErrorKind, HealthDataRepository, ModelIdentity, ModelState, ModelStatus,
    Page, Prediction, PredictionRequest, Predictor, Query, Record, Weights, Write,
};

use crate::bench::{body, caller, heart_rate, platform, send, settings};

/// A model that is ready and is never asked: nobody here has a week that could be assessed.
struct Ready(Mutex<&'static str>);

#[async_trait]
impl Predictor for Ready {
    async fn predict(&self, _: PredictionRequest) -> ports::Result<Prediction> {
        Err(Error::new(ErrorKind::Unexpected, "predictor.predict"))
    }

    async fn models(&self) -> Vec<ModelStatus> {
        let version = *self.0.lock().unwrap();
        let identity = ModelIdentity {
            name: "pat-s".to_owned(),
            version: version.to_owned(),
            sha256: "00".repeat(32),
            weights: Weights::Synthetic,
            intended_use: "tests".to_owned(),
            licence: "none".to_owned(),
        };
        let state = ModelState::Ready { golden_check: String::new(), execution_provider: "cpu".to_owned() };
        vec![ModelStatus {
            name: "pat-s".to_owned(),
            version: Some(version.to_owned()),
            active: true,
            identity: Some(identity),
            state,
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows_max: 1,
            normalisation: None,
            preprocessing: None,
            calibration: None,
        }]
    }
}

/// A record store that does not give one person's results, when told so.
struct Sick {
    inner: Arc<dyn HealthDataRepository>,
    of: UserId,
    fails: Arc<AtomicBool>,
}

#[async_trait]
impl HealthDataRepository for Sick {
    async fn get(&self, key: &RecordKey) -> ports::Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn query(&self, query: &Query) -> ports::Result<Page<Record>> {
        let is_theirs = query.partition == domain::record::Partition::User(self.of);
        if is_theirs && query.kind == Kind::Circadian && self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "records.query"));
        }
        self.inner.query(query).await
    }

    async fn commit(&self, batch: Vec<Write>) -> ports::Result<()> {
        self.inner.commit(batch).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> ports::Result<Page<UserId>> {
        self.inner.partitions(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        self.inner.limits()
    }
}

struct Crowd {
    app: Arc<App>,
    model: Arc<Ready>,
    is_sick: Arc<AtomicBool>,
    sick: UserId,
    people: BTreeSet<UserId>,
}

const PEOPLE: u64 = 40;
const JOB: (&str, &str) = ("pat-0-of-1", "everybody");

async fn crowd() -> Crowd {
    let (model, is_sick) = (Arc::new(Ready(Mutex::new("1"))), Arc::new(AtomicBool::new(false)));
    let sick = caller(3).user_id;
    let store = |inner| Arc::new(Sick { inner, of: sick, fails: Arc::clone(&is_sick) }) as _;
    let mut platform = platform(Arc::default(), store);
    platform.predictor = Arc::clone(&model) as _;
    let app = Arc::new(App::new(platform, settings()));
    for number in 1..=u128::from(PEOPLE) {
        send(&app, &caller(number), body(&[heart_rate(number, 1, 60.0)], &[])).await;
    }
    let people = app.everybody().await.unwrap();
    assert_eq!(people.len() as u64, PEOPLE);
    Crowd { app, model, is_sick, sick, people }
}

impl Crowd {
    /// Runs the job, and notes how far it was each time that it told so.
    async fn run(&self) -> (app::Result<Progress>, Vec<u64>) {
        let mut told = Vec::new();
        let done =
            self.app.assess_offline(JOB, &self.people, false, |progress| told.push(progress.done())).await;
        (done, told)
    }
}

#[tokio::test]
async fn a_job_that_was_killed_goes_on_where_it_was_and_a_finished_one_begins_anew() {
    let crowd = crowd().await;
    let (app, people) = (Arc::clone(&crowd.app), crowd.people.clone());
    let killed = tokio::spawn(async move {
        let dies = |progress: &Progress| assert_eq!(progress.done(), 0, "killed");
        app.assess_offline(JOB, &people, false, dies).await
    });
    assert!(killed.await.unwrap_err().is_panic());
    // Somebody signed up meanwhile: it is the same job.
    send(&crowd.app, &caller(1_000), body(&[heart_rate(1_000, 1, 60.0)], &[])).await;
    let people = crowd.app.everybody().await.unwrap();
    let mut told = Vec::new();
    let done =
        crowd.app.assess_offline(JOB, &people, false, |progress| told.push(progress.done())).await.unwrap();
    assert!(told[0] > 0 && told[0] < PEOPLE, "{told:?}");
    assert_eq!((done.done(), done.not_assessed, done.failed.len()), (PEOPLE + 1, PEOPLE + 1, 0));
    assert_eq!(crowd.run().await.1[0], 0);
}

#[tokio::test]
async fn those_who_failed_are_tried_again_and_nobody_else() {
    let crowd = crowd().await;
    crowd.is_sick.store(true, Ordering::SeqCst);
    let (first, _) = crowd.run().await;
    assert_eq!(first.unwrap().failed, BTreeSet::from([crowd.sick]));
    crowd.is_sick.store(false, Ordering::SeqCst);
    let (again, told) = crowd.run().await;
    let again = again.unwrap();
    assert_eq!((again.failed.len(), again.done()), (0, PEOPLE));
    assert_eq!(told, [PEOPLE - 1, PEOPLE]);
}

#[tokio::test]
async fn a_job_is_of_one_version_of_the_model() {
    let crowd = crowd().await;
    let model = Arc::clone(&crowd.model);
    let switches = move |progress: &Progress| {
        if progress.done() > 0 {
            *model.0.lock().unwrap() = "2";
        }
    };
    let error = crowd.app.assess_offline(JOB, &crowd.people, false, switches).await.unwrap_err();
    assert!(matches!(error, app::AppError::Port(error) if error.kind() == ErrorKind::Conflict));
    // The other version's job begins with the first one.
    let (done, told) = crowd.run().await;
    assert_eq!((told[0], done.unwrap().done()), (0, PEOPLE));
}
