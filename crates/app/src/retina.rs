//! Photographs of the retina: kept without metadata, judged, and graded by a model where a grade can be read from them.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use domain::{
    ids::{AnalysisId, UserId},
    record::{Kind, Partition, RecordKey, SortRange, hash_of},
};
use jiff::Timestamp;
use ports::{
    Cursor, Direction, Error, ErrorKind, ModelIdentity, ModelState, ModelStatus, ObjectKey, Page,
    PredictionRequest, PresignedMethod, PutOptions, Query, Sha256Digest, Tensor, Weights, Write, objects,
};
use retina::{
    BothEyes, Calibration, EYES_WITHIN_DAYS, Eye, FieldOfView, Format, Grading, Limits, Photograph,
    Preprocessing, Quality, heat_map,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    records::{decode, encode, get},
};

/// How many photographs a process decodes at once: each takes up to some hundred megabytes.
static DECODING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// How long a photograph waits for its turn; after that its sender is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// The largest picture that is read back: larger than a photograph of the most pixels without loss.
const PICTURE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long a presigned address of a photograph is good for.
pub const PRESIGNED_FOR: Duration = Duration::from_mins(5);

/// What the objects of a user's photographs begin with.
pub(crate) fn photograph_prefix(user: UserId) -> String {
    format!("retina/{}/", hash_of("objects", user))
}

/// A picture that is kept as an object: a PNG without metadata.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Picture {
    /// The object that holds it.
    pub object: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// How long it is.
    pub size_bytes: u64,
}

/// An analysis as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RetinaAnalysis {
    /// Its id.
    pub id: AnalysisId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which eye, as its sender says.
    pub eye: Eye,
    /// What the photograph was sent as.
    pub format: Format,
    /// Of the photograph, upright, in pixels.
    pub width: u32,
    /// Of the photograph, upright, in pixels.
    pub height: u32,
    /// Whether a grade can be read from it, and why not.
    pub quality: Quality,
    /// What the model says; `None` where nothing can be read.
    pub grading: Option<Grading>,
    /// Which model it was asked of.
    pub model: ModelIdentity,
    /// The photograph.
    pub photograph: Picture,
    /// What the grade was read from, drawn over it.
    pub map: Option<Picture>,
}

impl RetinaAnalysis {
    /// Whether it can be spoken of together with the other eye's: the newer one always, the older one where the same model made
    /// both within [`EYES_WITHIN_DAYS`].
    fn stands_beside(&self, other: &Self) -> bool {
        let apart_s = other.created_at.as_second() - self.created_at.as_second();
        apart_s <= 0 || (self.model == other.model && apart_s <= EYES_WITHIN_DAYS * 86_400)
    }
}

/// A page of analyses, newest first.
pub type RetinaPage = Page<RetinaAnalysis>;

/// The newest analysis of each eye, and what they say together.
pub struct Eyes {
    /// Of the left eye.
    pub left: Option<RetinaAnalysis>,
    /// Of the right eye.
    pub right: Option<RetinaAnalysis>,
    /// What follows.
    pub both: BothEyes,
}

/// Bytes that were taken as a photograph, and what is made of them before a model is asked.
struct Prepared {
    photograph: Photograph,
    png: Vec<u8>,
    quality: Quality,
    input: Option<(FieldOfView, Vec<f32>)>,
    /// Held as long as the pixels are, also where whoever sent them has left.
    _permit: OwnedSemaphorePermit,
}

/// A model that is ready, and its rules.
struct Grader {
    identity: ModelIdentity,
    input: String,
    preprocessing: Arc<Preprocessing>,
    calibration: Calibration,
}

impl App {
    /// Keeps a photograph of an eye and what is seen on it. 503 while the model cannot be used: nothing is kept then.
    pub async fn analyse_retina(
        &self,
        caller: &Caller,
        eye: Eye,
        bytes: Bytes,
        once: Option<&Once<'_, RetinaAnalysis>>,
    ) -> Result<Outcome<RetinaAnalysis>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let grader = self.grader().await?;
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(&DECODING).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else {
            return Err(Error::new(ErrorKind::Unavailable, "retina.decode").into());
        };
        let rules = Arc::clone(&grader.preprocessing);
        let prepared = blocking(move || Prepared::new(&bytes, &rules, permit))
            .await?
            .map_err(|refusal| AppError::Parameter { name: "image", message: refusal.to_string() })?;
        let Prepared { photograph, png, quality, input, _permit } = prepared;
        let (format, width, height) = (photograph.format(), photograph.width(), photograph.height());
        let (grading, map, model) = match input {
            Some((field, input)) => self.grade(&grader, photograph, field, input).await?,
            None => (None, None, grader.identity),
        };
        let id = AnalysisId(self.platform.ids.next());
        let (photograph, map) = self.keep_pictures(caller.user_id, id, (png, map)).await?;
        let analysis = RetinaAnalysis {
            id,
            created_at: self.platform.clock.now(),
            eye,
            format,
            width,
            height,
            quality,
            grading,
            model,
            photograph,
            map,
        };
        self.commit_retina(caller, analysis, once).await
    }

    /// The pictures of an analysis that did not come about are removed; a crash in between leaves them to the user's erasure.
    async fn commit_retina(
        &self,
        caller: &Caller,
        analysis: RetinaAnalysis,
        once: Option<&Once<'_, RetinaAnalysis>>,
    ) -> Result<Outcome<RetinaAnalysis>> {
        let id = analysis.id;
        let writes = vec![
            Write::insert(RecordKey::retina_analysis(caller.user_id, id), encode(&analysis)?),
            self.platform.audit(caller, Action::Analyse, format!("retina/{id}"))?,
        ];
        let kept: Vec<Picture> =
            [Some(&analysis.photograph), analysis.map.as_ref()].into_iter().flatten().cloned().collect();
        let outcome = self.commit_once(writes, once, analysis).await;
        // Of any other error nothing says that it was not kept.
        let is_refused = match &outcome {
            Ok(Outcome::Replayed(_)) => true,
            Err(AppError::Port(error)) => ports::denial(error).is_some(),
            Ok(Outcome::Done(_)) | Err(_) => false,
        };
        if is_refused {
            for picture in kept {
                self.platform.objects.delete(&ObjectKey::new(picture.object)?).await?;
            }
        }
        outcome
    }

    /// An analysis of the caller's.
    pub async fn retina_analysis(&self, caller: &Caller, id: AnalysisId) -> Result<RetinaAnalysis> {
        self.platform.audit_read(caller, format!("retina/{id}")).await?;
        let key = RecordKey::retina_analysis(caller.user_id, id);
        let stored = get(&*self.platform.health_data, &key).await?;
        stored.map(|stored| stored.body).ok_or(AppError::NotFound)
    }

    /// The caller's analyses, newest first.
    pub async fn retina_analyses(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<RetinaPage> {
        self.platform.audit_read(caller, "retina").await?;
        self.retina_page(caller.user_id, cursor, limit).await
    }

    /// The newest analysis of each eye. An ungradable photograph is not passed over for an older one: the newest counts.
    pub async fn retina_eyes(&self, caller: &Caller) -> Result<Eyes> {
        self.platform.audit_read(caller, "retina").await?;
        let (mut left, mut right, mut cursor) = (None, None, None);
        loop {
            let page = self.retina_page(caller.user_id, cursor, 100).await?;
            for analysis in page.items {
                let eye = match analysis.eye {
                    Eye::Left => &mut left,
                    Eye::Right => &mut right,
                };
                eye.get_or_insert(analysis);
            }
            cursor = page.next;
            if cursor.is_none() || (left.is_some() && right.is_some()) {
                break;
            }
        }
        let of = |eye: &Option<RetinaAnalysis>, other: &Option<RetinaAnalysis>| {
            let analysis =
                eye.as_ref().filter(|eye| other.as_ref().is_none_or(|other| eye.stands_beside(other)));
            analysis.and_then(|analysis| analysis.grading.clone())
        };
        let both = BothEyes::combine(of(&left, &right).as_ref(), of(&right, &left).as_ref());
        Ok(Eyes { left, right, both })
    }

    /// An address at which whoever holds it can read the photograph, and until when.
    pub async fn retina_photograph(&self, caller: &Caller, id: AnalysisId) -> Result<(String, Timestamp)> {
        let analysis = self.retina_analysis(caller, id).await?;
        let key = ObjectKey::new(analysis.photograph.object)?;
        let until = self.platform.clock.now().saturating_add(PRESIGNED_FOR).unwrap_or(Timestamp::MAX);
        let url = self.platform.objects.presign(&key, PresignedMethod::Get, PRESIGNED_FOR).await?;
        Ok((url, until))
    }

    /// The map of an analysis, as a PNG. One without a grade has none.
    pub async fn retina_map(&self, caller: &Caller, id: AnalysisId) -> Result<Bytes> {
        let analysis = self.retina_analysis(caller, id).await?;
        let key = ObjectKey::new(analysis.map.ok_or(AppError::NotFound)?.object)?;
        let object = self.platform.objects.get(&key, None).await?;
        let object = object.ok_or_else(|| Error::new(ErrorKind::Corrupt, "retina.map"))?;
        Ok(objects::collect(object.body, PICTURE_BYTES_MAX).await?)
    }

    async fn retina_page(&self, user: UserId, cursor: Option<Cursor>, limit: usize) -> Result<RetinaPage> {
        let all = Query::new(Partition::User(user), Kind::RetinaAnalysis, SortRange::all());
        let query = Query { direction: Direction::Descending, cursor, limit, ..all };
        let page = self.platform.health_data.query(&query).await?;
        let items = page.items.iter().map(decode).collect::<ports::Result<_>>()?;
        Ok(Page { items, next: page.next })
    }

    async fn grader(&self) -> Result<Grader> {
        let models = self.platform.predictor.models().await;
        let found = models.into_iter().find(|one| one.active && one.name == self.settings.retina_model);
        let unavailable = || Error::new(ErrorKind::Unavailable, "retina.model");
        match found {
            Some(status) if matches!(status.state, ModelState::Ready { .. }) => {
                Grader::new(&status).map_err(|reason| {
                    tracing::error!(reason, "the retina model cannot be used");
                    unavailable().into()
                })
            }
            _ => Err(unavailable().into()),
        }
    }

    /// Grading, map and which model it was.
    async fn grade(
        &self,
        grader: &Grader,
        photograph: Photograph,
        field: FieldOfView,
        input: Vec<f32>,
    ) -> Result<(Option<Grading>, Option<Vec<u8>>, ModelIdentity)> {
        let size = grader.preprocessing.size;
        let input = Tensor { name: grader.input.clone(), shape: vec![1, 3, size, size], data: input };
        let mut request = PredictionRequest::new(&self.settings.retina_model, vec![input]);
        // The one whose preprocessing and calibration these are, also where another was activated meanwhile.
        request.version = Some(grader.identity.version.clone());
        request.outputs = [LOGITS, ACTIVATION].map(str::to_owned).to_vec();
        let prediction =
            self.platform.predictor.predict(request).await.map_err(|error| match error.kind() {
                // It is gone, and has a successor.
                ErrorKind::NotFound => Error::new(ErrorKind::Unavailable, "retina.predict").with_cause(error),
                _ => error,
            })?;
        let odd = || Error::new(ErrorKind::Corrupt, "retina.outputs");
        let [logits, activation] = &prediction.outputs[..] else { return Err(odd().into()) };
        let grading = grader.calibration.grade(&logits.data).ok_or_else(odd)?;
        let &[1, classes, rows, columns] = &activation.shape[..] else { return Err(odd().into()) };
        let places = rows * columns;
        let first = usize::from(grading.grade) * places;
        let of_grade = activation.data.get(first..first + places).map(<[f32]>::to_vec).ok_or_else(odd)?;
        if classes != retina::GRADES || rows != columns {
            return Err(odd().into());
        }
        let map = blocking(move || heat_map(&photograph, field, &of_grade, rows)).await?.ok_or_else(odd)?;
        Ok((Some(grading), Some(map), prediction.model))
    }

    async fn keep_pictures(
        &self,
        user: UserId,
        id: AnalysisId,
        (photograph, map): (Vec<u8>, Option<Vec<u8>>),
    ) -> Result<(Picture, Option<Picture>)> {
        let photograph = self.keep_picture(user, id, "photograph", photograph).await?;
        let map = match map {
            Some(map) => Some(self.keep_picture(user, id, "map", map).await?),
            None => None,
        };
        Ok((photograph, map))
    }

    async fn keep_picture(&self, user: UserId, id: AnalysisId, name: &str, png: Vec<u8>) -> Result<Picture> {
        let digest: [u8; 32] = Sha256::digest(&png).into();
        let key = ObjectKey::new(format!("{}{id}/{name}.png", photograph_prefix(user)))?;
        let options = PutOptions {
            content_type: "image/png".to_owned(),
            sha256: Some(Sha256Digest(digest)),
            ..PutOptions::default()
        };
        let size_bytes = png.len() as u64;
        self.platform.objects.put(&key, objects::once(png), options).await?;
        Ok(Picture { object: key.as_str().to_owned(), sha256: hex::encode(digest), size_bytes })
    }
}

/// The outputs that a retina model must have: five logits, and for each grade what each place adds to its logit.
const LOGITS: &str = "logits";
const ACTIVATION: &str = "class_activation";

impl Grader {
    fn new(status: &ModelStatus) -> Result<Self, String> {
        let missing = |part: &str| format!("its manifest has no {part}");
        let stated = status.preprocessing.as_ref().ok_or_else(|| missing("preprocessing"))?;
        let calibration = status.calibration.as_ref().ok_or_else(|| missing("calibration"))?;
        let preprocessing = Preprocessing::read(stated).map_err(|error| error.to_string())?;
        let calibration = Calibration::read(calibration).map_err(|error| error.to_string())?;
        let size = preprocessing.size;
        let input = match &status.inputs[..] {
            [input] if input.shape == [3, size, size] => input.name.clone(),
            _ => return Err(format!("its one input is not [batch, 3, {size}, {size}]")),
        };
        if let Some(name) =
            [LOGITS, ACTIVATION].into_iter().find(|name| status.outputs.iter().all(|one| one.name != **name))
        {
            return Err(format!("it has no output {name}"));
        }
        let identity = status.identity.clone().ok_or_else(|| missing("identity"))?;
        // What was chosen on drawings is no measure for photographs of people.
        let is_stated = stated.get("quality").is_some() && !calibration.fitted_on.trim().is_empty();
        if identity.weights != Weights::Synthetic && !is_stated {
            return Err(
                "it was trained on people, so preprocessing.quality and calibration.fitted_on must be stated"
                    .to_owned(),
            );
        }
        Ok(Self { identity, input, preprocessing: Arc::new(preprocessing), calibration })
    }
}

impl Prepared {
    fn new(
        bytes: &[u8],
        rules: &Preprocessing,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, retina::Refusal> {
        let photograph = Photograph::decode(bytes, Limits::default())?;
        let quality = Quality::assess(&photograph, rules);
        let field = quality.field_of_view.filter(|_| quality.gradable);
        let input = field.map(|field| (field, rules.prepare(&photograph, field)));
        Ok(Self { png: photograph.to_png(), quality, input, photograph, _permit: permit })
    }
}

/// Work of many milliseconds, not on a thread that serves connections.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Error::new(ErrorKind::Unexpected, "retina.blocking").with_cause(error))?)
}
