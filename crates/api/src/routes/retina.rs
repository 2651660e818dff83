//! `retina`: photographs of the retina, and what is seen on them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use app::{
    idempotency::Once,
    retina::{Eyes, RetinaAnalysis},
};
use retina::{BothEyes, Decision, Eye, Format, Quality, Referable};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    openapi::schemas,
    pages::{Asked, NextPage, PageQuery},
    resource, seconds,
};
use crate::{
    extract::{Ctx, HealthUser, RawBody},
    problem::{Problem, ProblemBody, ProblemKind},
    routes,
    terms::{Terms, note_body, reply},
};

const DISCLAIMER: &str = "screening support, not a diagnosis";

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/retina/analyses").route(web::post().to(analyse)).route(web::get().to(list)))
        .service(resource("/retina/analyses/{analysis_id}").route(web::get().to(stored)))
        .service(resource("/retina/analyses/{analysis_id}/image").route(web::get().to(image)))
        .service(resource("/retina/analyses/{analysis_id}/map").route(web::get().to(map)))
        .service(resource("/retina/eyes").route(web::get().to(eyes)));
}

/// Which eye was photographed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EyeQuery {
    /// `left` or `right`, from its owner's side. Must be given here, or in the form.
    #[param(value_type = Option<String>, example = "left", pattern = "^(left|right)$")]
    eye: Option<Eye>,
}

/// A photograph in a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form, which is not read by serde")]
pub(crate) struct PhotographForm {
    /// JPEG, PNG or TIFF.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// `left` or `right`, unless the query says it.
    eye: Option<String>,
}

/// A reason why no grade can be read, and what to do about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct QualityReason {
    /// `no_field_of_view`, `field_too_small`, `field_not_round`, `not_a_retina`, `blurred`, `too_dark`, `too_bright` or
    /// `uneven_illumination`.
    #[schema(value_type = String, example = "blurred")]
    code: retina::Shortcoming,
    #[schema(example = "it is blurred: focus and take it again")]
    advice: &'static str,
}

/// Whether a grade can be read from the photograph.
#[derive(Serialize, ToSchema)]
pub(crate) struct QualityBody {
    gradable: bool,
    /// Why not; empty where it is gradable.
    reasons: Vec<QualityReason>,
    /// Where the retina is seen, in pixels.
    #[schema(required, value_type = Option<schemas::FieldOfView>)]
    field_of_view: Option<retina::FieldOfView>,
    /// The share of the field's ellipse that is bright, 0 to 1.
    #[schema(required)]
    field_fill: Option<f64>,
    /// Variance of the Laplacian of green within the field, in squares of 8-bit levels, at 256 pixels a side.
    #[schema(required)]
    sharpness: Option<f64>,
    #[schema(required, value_type = Option<schemas::Illumination>)]
    illumination: Option<retina::Illumination>,
}

impl From<Quality> for QualityBody {
    fn from(quality: Quality) -> Self {
        let reasons = quality.reasons.into_iter();
        Self {
            gradable: quality.gradable,
            reasons: reasons.map(|code| QualityReason { code, advice: code.advice() }).collect(),
            field_of_view: quality.field_of_view,
            field_fill: quality.field_fill,
            sharpness: quality.sharpness,
            illumination: quality.illumination,
        }
    }
}

/// What the model says of the eye.
#[derive(Serialize, ToSchema)]
pub(crate) struct GradingBody {
    /// Of the grades 0 to 4; they add up to 1.
    #[schema(value_type = Vec<f64>, min_items = 5, max_items = 5)]
    probabilities: [f64; 5],
    /// The most probable grade of the International Clinical Diabetic Retinopathy scale: 0 none to 4 proliferative.
    #[schema(minimum = 0, maximum = 4)]
    grade: u8,
    #[schema(value_type = schemas::Referable)]
    referable: Referable,
    /// Entropy of the probabilities, in bits: 0 where the model is sure, 2.32 where it knows nothing.
    entropy_bits: f64,
    /// `referable`, `not_referable`, or `abstained`: the model does not know, and a person has to look.
    #[schema(value_type = String, example = "not_referable")]
    decision: Decision,
}

/// An analysis of a photograph of the retina.
#[derive(Serialize, ToSchema)]
pub(crate) struct RetinaBody {
    #[schema(format = "uuid")]
    analysis_id: String,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
    /// `left` or `right`.
    #[schema(value_type = String, example = "left")]
    eye: Eye,
    /// What it was sent as: `jpeg`, `png` or `tiff`. It is kept as a PNG without metadata.
    #[schema(value_type = String, example = "jpeg")]
    format: Format,
    /// Of the photograph, upright, in pixels.
    width: u32,
    /// Of the photograph, upright, in pixels.
    height: u32,
    quality: QualityBody,
    /// `null` where no grade can be read.
    #[schema(required)]
    grading: Option<GradingBody>,
    /// Why there is no grading.
    #[schema(required)]
    not_assessed: Option<String>,
    #[schema(value_type = schemas::ModelIdentity)]
    model: ports::ModelIdentity,
    /// Whether there is a map of what the grade was read from.
    has_map: bool,
    #[schema(example = "screening support, not a diagnosis")]
    disclaimer: &'static str,
}

impl From<RetinaAnalysis> for RetinaBody {
    fn from(analysis: RetinaAnalysis) -> Self {
        let not_assessed = analysis.grading.is_none().then(|| {
            let reasons = analysis.quality.reasons.iter().map(|reason| reason.advice());
            reasons.collect::<Vec<_>>().join("; ")
        });
        let grading = analysis.grading.map(|grading| GradingBody {
            probabilities: grading.probabilities,
            grade: grading.grade,
            referable: grading.referable,
            entropy_bits: grading.entropy_bits,
            decision: grading.decision,
        });
        Self {
            analysis_id: analysis.id.to_string(),
            created_at: seconds(analysis.created_at),
            eye: analysis.eye,
            format: analysis.format,
            width: analysis.width,
            height: analysis.height,
            quality: analysis.quality.into(),
            grading,
            not_assessed,
            model: analysis.model,
            has_map: analysis.map.is_some(),
            disclaimer: DISCLAIMER,
        }
    }
}

/// A photograph as it was sent.
struct Sent {
    image: Bytes,
    eye: Option<String>,
}

fn unsupported() -> Problem {
    Problem::new(ProblemKind::UnsupportedMedia).detail(
        "a photograph is image/jpeg, image/png, image/tiff, or the field image of multipart/form-data",
    )
}

/// The photograph of a body: all of it, or a field of a form.
async fn sent(request: &HttpRequest, body: Bytes) -> Result<Sent, Problem> {
    let kind = crate::extract::header(request, "content-type").unwrap_or_default().to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if matches!(essence, "image/jpeg" | "image/png" | "image/tiff" | "application/octet-stream" | "") {
        return Ok(Sent { image: body, eye: None });
    }
    if essence != "multipart/form-data" {
        return Err(unsupported());
    }
    // A boundary is case-sensitive.
    let boundary = crate::extract::header(request, "content-type").map(multer::parse_boundary);
    let Some(Ok(boundary)) = boundary else {
        return Err(Problem::field("", "the form names no boundary"));
    };
    form(body, boundary).await
}

async fn form(body: Bytes, boundary: String) -> Result<Sent, Problem> {
    let malformed =
        |_hidden: multer::Error| Problem::field("", "the form is not well-formed or not complete");
    let stream = futures::stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    let (mut image, mut eye) = (None, None);
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        match field.name() {
            Some("image") if image.is_none() => image = Some(field.bytes().await.map_err(malformed)?),
            Some("eye") if eye.is_none() => eye = Some(field.text().await.map_err(malformed)?),
            _ => return Err(Problem::field("", "the fields of the form are image and eye, each once")),
        }
    }
    let image = image.ok_or_else(|| Problem::field("image", "the form has no such field"))?;
    Ok(Sent { image, eye })
}

fn eye_of(query: &EyeQuery, form: Option<&str>) -> Result<Eye, Problem> {
    let form = match form {
        Some("left") => Some(Eye::Left),
        Some("right") => Some(Eye::Right),
        Some(_) => return Err(Problem::field("eye", "left or right")),
        None => None,
    };
    match (query.eye, form) {
        (Some(one), Some(other)) if one != other => {
            Err(Problem::field("eye", "the query and the form name two different eyes"))
        }
        (one, other) => one.or(other).ok_or_else(|| Problem::field("eye", "left or right must be given")),
    }
}

/// Keep a photograph of the retina, and grade it. EXIF, position and other metadata are dropped before it is kept. A photograph
/// that no grade can be read from is kept with the reasons and without a grade. Screening support, not a diagnosis.
#[utoipa::path(post, path = "/api/v1/retina/analyses", tag = "retina", security(("bearer" = [])), params(EyeQuery),
    request_body(content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/tiff"), (PhotographForm = "multipart/form-data"))), responses(
    (status = 201, description = "It is kept", body = RetinaBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Neither of these content types", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "It is no photograph, damaged, or larger than what is taken; or no eye is named", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn analyse(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    request: HttpRequest,
    body: RawBody,
) -> Result<HttpResponse, Problem> {
    context.limiter.upload(user.user_id).await?;
    let query = web::Query::<EyeQuery>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("eye", "the query parameter is eye, left or right"))?;
    let Sent { image, eye } = sent(&request, body.0).await?;
    let eye = eye_of(&query, eye.as_deref())?;
    if image.is_empty() {
        return Err(Problem::field("image", "it is empty"));
    }
    // A form's boundary is another one each time: the key stands for the photograph and the eye.
    note_body(&request, &[&[u8::from(eye == Eye::Left)], &image[..]].concat());
    let made = |analysis: &RetinaAnalysis| {
        let mut reply = reply(StatusCode::CREATED, &RetinaBody::from(analysis.clone()))?;
        reply.location = Some(format!("/api/v1/retina/analyses/{}", analysis.id));
        Ok(reply)
    };
    let act = async |once: Option<&Once<'_, RetinaAnalysis>>| {
        context.app.analyse_retina(&user.caller, eye, image, once).await
    };
    terms.answer(user.user_id, made, act).await
}

/// A page of analyses.
#[derive(Serialize, ToSchema)]
pub(crate) struct RetinaPage {
    data: Vec<RetinaBody>,
    pagination: NextPage,
}

/// The caller's analyses, newest first.
#[utoipa::path(get, path = "/api/v1/retina/analyses", tag = "retina", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = RetinaPage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn list(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&context, &request, format!("retina/{}", user.user_id))?;
    let page = context.app.retina_analyses(&user.caller, asked.cursor.clone(), asked.limit).await?;
    let pagination = asked.next(&context, page.next.as_ref());
    let data = page.items.into_iter().map(RetinaBody::from).collect();
    Ok(HttpResponse::Ok().json(RetinaPage { data, pagination }))
}

/// An analysis of the caller's.
#[utoipa::path(get, path = "/api/v1/retina/analyses/{analysis_id}", tag = "retina", security(("bearer" = [])),
    params(("analysis_id" = String, Path)), responses(
    (status = 200, body = RetinaBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stored(
    context: Ctx,
    user: HealthUser,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let analysis = context.app.retina_analysis(&user.caller, routes::id(&path)?).await?;
    Ok(HttpResponse::Ok().json(RetinaBody::from(analysis)))
}

/// Where the photograph can be read.
#[derive(Serialize, ToSchema)]
pub(crate) struct RetinaImage {
    /// Whoever holds it can read the photograph, without a token.
    #[schema(
        example = "http://127.0.0.1:8080/objects/retina/0f3c/photograph.png?expires=1772352300&signature=abc"
    )]
    url: String,
    /// Until when: five minutes.
    #[schema(example = "2026-03-01T08:05:00Z")]
    expires_at: String,
}

/// An address of the photograph, for five minutes: a PNG without metadata.
#[utoipa::path(get, path = "/api/v1/retina/analyses/{analysis_id}/image", tag = "retina", security(("bearer" = [])),
    params(("analysis_id" = String, Path)), responses(
    (status = 200, body = RetinaImage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn image(
    context: Ctx,
    user: HealthUser,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (url, until) = context.app.retina_photograph(&user.caller, routes::id(&path)?).await?;
    Ok(HttpResponse::Ok().json(RetinaImage { url, expires_at: seconds(until) }))
}

/// What the grade was read from: the class activation map of the grade over the field of view. Red is what speaks most for it.
#[utoipa::path(get, path = "/api/v1/retina/analyses/{analysis_id}/map", tag = "retina", security(("bearer" = [])),
    params(("analysis_id" = String, Path)), responses(
    (status = 200, description = "A picture of 512 x 512 pixels", content_type = "image/png", body = Vec<u8>),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "No such analysis, or one without a grade", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn map(
    context: Ctx,
    user: HealthUser,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let png = context.app.retina_map(&user.caller, routes::id(&path)?).await?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "image/png")).body(png))
}

/// Both eyes: the newest photograph of each.
#[derive(Serialize, ToSchema)]
pub(crate) struct EyesBody {
    #[schema(required)]
    left: Option<RetinaBody>,
    #[schema(required)]
    right: Option<RetinaBody>,
    /// What both say together.
    #[schema(value_type = schemas::BothEyes)]
    both: BothEyes,
    #[schema(example = "screening support, not a diagnosis")]
    disclaimer: &'static str,
}

/// The newest photograph of each eye, and what both say together: the worse eye counts, and an eye without a grade is never taken
/// for a healthy one.
#[utoipa::path(get, path = "/api/v1/retina/eyes", tag = "retina", security(("bearer" = [])), responses(
    (status = 200, body = EyesBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn eyes(context: Ctx, user: HealthUser) -> Result<HttpResponse, Problem> {
    let Eyes { left, right, both } = context.app.retina_eyes(&user.caller).await?;
    let body =
        EyesBody { left: left.map(Into::into), right: right.map(Into::into), both, disclaimer: DISCLAIMER };
    Ok(HttpResponse::Ok().json(body))
}
