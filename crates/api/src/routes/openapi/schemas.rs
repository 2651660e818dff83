//! What the document says of types of the inner crates, which do not know of OpenAPI. The end-to-end tests hold every answer
//! against the document, unknown fields included, so these cannot drift from what is sent.
#![expect(dead_code, reason = "describes answers; other types are serialised")]

use utoipa::ToSchema;

/// RFC 3339, with an offset.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct Instant(String);

/// How much of what a measure needs was observed.
#[derive(ToSchema)]
#[schema(example = json!({"observed": 1310, "expected": 1440, "of": "minutes"}))]
pub(crate) struct Coverage {
    /// How many were observed.
    observed: u32,
    /// How many there would be without a gap.
    expected: u32,
    of: CoverageOf,
}

/// What a coverage counts.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum CoverageOf {
    Minutes,
    Readings,
    Nights,
    Days,
}

/// A value with where it comes from, or the reason why there is none: exactly one of `value` and `not_assessed` is null.
#[derive(ToSchema)]
#[schema(example = json!({
    "value": 8412.0, "unit": "{steps}", "method": "sum over the union of intervals, highest-priority source at each instant",
    "coverage": {"observed": 1310, "expected": 1440, "of": "minutes"}, "sources": ["Apple Watch"], "not_assessed": null
}))]
pub(crate) struct Measure {
    #[schema(required)]
    value: Option<f64>,
    /// UCUM.
    unit: String,
    /// The named published method.
    method: String,
    coverage: Coverage,
    /// The sources that contributed, sorted, each once.
    sources: Vec<String>,
    /// Why there is no value.
    #[schema(required)]
    not_assessed: Option<String>,
}

/// The measures of one local day.
#[derive(ToSchema)]
pub(crate) struct Daily {
    /// The local calendar day.
    #[schema(format = Date, example = "2026-03-01")]
    date: String,
    /// The zone whose day it is: an IANA name, or an offset such as `+02:00`.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// How long the day was: 1440 minutes, except when the clock changed.
    #[schema(example = 1440)]
    day_length_minutes: u32,
    step_count: Measure,
    active_energy: Measure,
    basal_energy: Measure,
    distance: Measure,
    flights_climbed: Measure,
    exercise_time: Measure,
    heart_rate_min: Measure,
    heart_rate_max: Measure,
    heart_rate_mean: Measure,
    resting_heart_rate: Measure,
    hrv_sdnn: Measure,
    respiratory_rate: Measure,
    oxygen_saturation: Measure,
    /// What needs the night, or beats; `null` where an earlier build computed the day.
    #[schema(required)]
    vitals: Option<Vitals>,
}

/// The further measures of a day.
#[derive(ToSchema)]
pub(crate) struct Vitals {
    /// HealthKit's heart rate recovery of one minute, of the latest workout of the day.
    heart_rate_recovery: Measure,
    /// HealthKit's temperature of the wrist in sleep. Only its deviation from what is usual means something.
    wrist_temperature: Measure,
    /// By how much the heart beats slower in the night that ends on this day than while awake on it.
    nocturnal_dip: Measure,
    /// RMSSD of the day's recordings that have their beats.
    hrv_rmssd: Measure,
    /// SDNN of the same recordings, from their beats; `null` where an earlier build computed the day.
    #[schema(required)]
    hrv_sdnn_of_beats: Option<Measure>,
    /// The workouts that end on the day; `null` where an earlier build computed the day.
    #[schema(required)]
    workouts: Option<Vec<WorkoutHeart>>,
}

/// The heart in and after one workout.
#[derive(ToSchema)]
pub(crate) struct WorkoutHeart {
    #[schema(format = DateTime, example = "2026-03-01T16:00:00Z")]
    start: String,
    #[schema(format = DateTime, example = "2026-03-01T16:45:00Z")]
    end: String,
    /// HealthKit's `HKWorkoutActivityType`: 37 is running.
    #[schema(example = 37)]
    activity_type: i32,
    /// By how much the heart slows down in the minute after the workout.
    heart_rate_recovery: Measure,
}

/// How far a value is from what is usual.
#[derive(ToSchema)]
pub(crate) struct Deviation {
    /// Value - median, in the unit of the value.
    difference: Measure,
    /// (value - median) / (1.4826 MAD).
    robust_z: Measure,
}

/// How far a local day is from what is usual: each measure from the median of the 28 days before.
#[derive(ToSchema)]
pub(crate) struct Deviations {
    #[schema(format = Date, example = "2026-03-01")]
    date: String,
    resting_heart_rate: Deviation,
    hrv_sdnn: Deviation,
    respiratory_rate: Deviation,
    oxygen_saturation: Deviation,
    wrist_temperature: Deviation,
}

/// The measures of one hour of a local day: hours are blocks of 60 minutes from its local midnight.
#[derive(ToSchema)]
#[expect(clippy::struct_field_names, reason = "the field is called so in answers")]
pub(crate) struct Hour {
    /// The local calendar day.
    #[schema(format = Date, example = "2026-03-01")]
    date: String,
    /// Which hour of the day, counted from 0; the hour by the clock, except on days when the clock changed.
    #[schema(example = 8)]
    hour: u32,
    #[schema(format = DateTime, example = "2026-03-01T07:00:00Z")]
    start: String,
    #[schema(format = DateTime, example = "2026-03-01T08:00:00Z")]
    end: String,
    /// The zone at the end of the day: an IANA name, or an offset such as `+02:00`.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    step_count: Measure,
    distance: Measure,
    active_energy: Measure,
    heart_rate_min: Measure,
    heart_rate_max: Measure,
    heart_rate_mean: Measure,
    /// How many readings these are of.
    heart_rate_count: Measure,
}

/// One night: the main sleep of a local date.
#[derive(ToSchema)]
pub(crate) struct Night {
    /// The local date of waking.
    #[schema(format = Date, example = "2026-03-01")]
    date: String,
    /// When the session begins, in bed or asleep.
    #[schema(format = DateTime, example = "2026-02-28T22:10:00Z")]
    start: String,
    #[schema(format = DateTime, example = "2026-03-01T06:02:00Z")]
    end: String,
    /// The zone of waking: an IANA name, or an offset such as `+02:00`.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    total_sleep_time: Measure,
    time_in_bed: Measure,
    sleep_efficiency: Measure,
    sleep_onset_latency: Measure,
    wake_after_sleep_onset: Measure,
    awakenings: Measure,
    core: Measure,
    deep: Measure,
    rem: Measure,
    /// Time asleep of which no stage is known.
    unspecified: Measure,
    /// The middle of the sleep, as the local minute of day.
    midpoint: Measure,
    /// The other sleep of the date, in the order of time.
    naps: Vec<Nap>,
    /// What the sources told, merged, in the order of time; intervals in bed overlap with the others.
    intervals: Vec<StageInterval>,
}

/// A shorter sleep on the date of a night.
#[derive(ToSchema)]
pub(crate) struct Nap {
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    total_sleep_time: Measure,
}

/// A time in one stage.
#[derive(ToSchema)]
pub(crate) struct StageInterval {
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    stage: SleepStage,
}

/// A value of `HKCategoryValueSleepAnalysis`.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum SleepStage {
    InBed,
    AsleepUnspecified,
    Awake,
    AsleepCore,
    AsleepDeep,
    AsleepRem,
}

/// Non-parametric circadian measures of rest and activity.
#[derive(ToSchema)]
pub(crate) struct Circadian {
    /// IS, 0 to 1: how alike the days are.
    interdaily_stability: Measure,
    /// IV, about 0 to 2: how broken up a day is.
    intradaily_variability: Measure,
    /// Mean activity of the least active 5 hours of the mean day.
    l5: Measure,
    /// When they begin, as the local minute of day.
    l5_onset: Measure,
    /// Mean activity of the most active 10 hours of the mean day.
    m10: Measure,
    /// When they begin, as the local minute of day.
    m10_onset: Measure,
    /// RA, 0 to 1: `(M10 - L5) / (M10 + L5)`.
    relative_amplitude: Measure,
    /// How many local days were observed for at least half of their minutes.
    days: Measure,
}

/// Circadian measures of a window of days.
#[derive(ToSchema)]
pub(crate) struct CircadianWindow {
    /// The last local day of the window.
    #[schema(format = Date, example = "2026-03-14")]
    date: String,
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    #[schema(example = "Europe/Berlin")]
    zone: String,
    measures: Circadian,
    /// Regularity and rhythm; `null` where an earlier build computed the window.
    #[schema(required)]
    profile: Option<Profile>,
}

/// Regularity and rhythm of the window.
#[derive(ToSchema)]
pub(crate) struct Profile {
    /// SRI, -100 to 100.
    sleep_regularity_index: Measure,
    /// The circular mean of the minutes of sleep, as the local minute of day.
    sleep_midpoint: Measure,
    /// Mid-sleep on free days less mid-sleep on work days.
    social_jet_lag: Measure,
    /// `MSFsc`, as the local minute of day.
    mid_sleep_free_corrected: Measure,
    /// The mean level of the 24 h cosinor.
    mesor: Measure,
    /// Its amplitude.
    amplitude: Measure,
    /// When it peaks, as the local minute of day.
    peak: Measure,
    /// The share of the variance that it explains.
    r_squared: Measure,
    /// Alpha of detrended fluctuation analysis.
    fractal_scaling: Measure,
    /// kRA, per minute.
    rest_to_activity: Measure,
    /// kAR, per minute.
    activity_to_rest: Measure,
    /// `ISm`: IS over bins of 1 to 60 minutes.
    interdaily_stability_over_widths: Measure,
    /// `IVm`: IV over bins of 1 to 60 minutes.
    intradaily_variability_over_widths: Measure,
    /// Steps a day.
    average_daily_total: Measure,
    /// When activity begins, as the local minute of day.
    activity_onset: Measure,
    /// When it ends, as the local minute of day.
    activity_offset: Measure,
}

/// The PAT embedding of seven days.
#[derive(ToSchema)]
#[expect(clippy::struct_field_names, reason = "the field is called so in answers")]
pub(crate) struct Embedding {
    /// The last local day of the week.
    #[schema(format = Date, example = "2026-03-14")]
    date: String,
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// 96 numbers without a unit.
    #[schema(required, min_items = 96, max_items = 96)]
    embedding: Option<Vec<f32>>,
    method: String,
    #[schema(required)]
    model: Option<ModelIdentity>,
    coverage: Coverage,
    /// Steps a minute are not what PAT was trained on.
    experimental: bool,
    /// Why there is no embedding.
    #[schema(required)]
    not_assessed: Option<String>,
}

/// Which model gave an answer.
#[derive(ToSchema)]
pub(crate) struct ModelIdentity {
    #[schema(example = "pat-s")]
    name: String,
    #[schema(example = "1.0.0")]
    version: String,
    /// SHA-256 of the model file, in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    weights: Weights,
    intended_use: String,
    licence: String,
}

/// Where a model's weights come from. Synthetic ones show that the way works; what they answer means nothing clinical.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Weights {
    Published,
    Trained,
    Synthetic,
}

/// Whether a model can be used.
#[derive(ToSchema)]
pub(crate) struct ModelState {
    /// `ready` or `unavailable`.
    #[schema(example = "ready")]
    state: String,
    /// The largest deviation from a golden output, and the tolerance. Only of a model that is ready.
    golden_check: Option<String>,
    #[schema(example = "cpu")]
    execution_provider: Option<String>,
    /// Why it cannot be used.
    reason: Option<String>,
}

/// A configured model.
#[derive(ToSchema)]
pub(crate) struct Model {
    #[schema(example = "pat-s")]
    name: String,
    #[schema(required)]
    identity: Option<ModelIdentity>,
    state: ModelState,
}

/// What runs the models.
#[derive(ToSchema)]
pub(crate) struct InferenceEngine {
    #[schema(example = "onnxruntime")]
    runtime: String,
    #[schema(required, example = "cpu")]
    execution_provider: Option<String>,
}

/// How a stored analysis was made.
#[derive(ToSchema)]
pub(crate) struct AnalysisMetadata {
    measures: Option<Circadian>,
    method: Option<String>,
    model: Option<ModelIdentity>,
    coverage: Option<Coverage>,
    experimental: Option<bool>,
    screening: Option<Vec<Finding>>,
}

/// How loud a screening alerts.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Alert {
    /// Every rule was assessed, and none is met.
    None,
    Low,
    Moderate,
    High,
}

/// What one screening rule found.
#[derive(ToSchema)]
pub(crate) struct Finding {
    rule: ScreeningRule,
    /// Whether it is met; `null` where it was not assessed.
    #[schema(required)]
    is_met: Option<bool>,
    /// Why it was not assessed.
    #[schema(required)]
    not_assessed: Option<String>,
    /// The values that it looked at, the latest last, in the rule's unit; `null` for a night without one.
    inputs: Vec<Option<f64>>,
    /// How many of its nights had a value.
    coverage: Coverage,
    #[schema(example = "screening, not a diagnosis")]
    statement: String,
}

/// A screening rule, as it is configured.
#[derive(ToSchema)]
pub(crate) struct ScreeningRule {
    /// Its name.
    #[schema(pattern = r"\S", example = "mania_decreased_need_for_sleep")]
    id: String,
    screen: Screen,
    /// The measure that it looks at.
    #[schema(example = "total_sleep_time")]
    input: String,
    /// UCUM, of input and threshold.
    #[schema(example = "min")]
    unit: String,
    comparison: Comparison,
    #[schema(example = 180.0)]
    threshold: f64,
    /// How many of the latest nights are looked at.
    #[schema(example = 7)]
    nights: u32,
    /// How many of them must have a value.
    #[schema(example = 5)]
    nights_needed: u32,
    /// How many of them must meet the comparison.
    #[schema(example = 4)]
    nights_met: u32,
    alert: Alert,
    /// The publication that it is taken from.
    citation: String,
}

/// What a rule looks for signs of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Screen {
    Mania,
    Mood,
}

/// How a value is compared with the threshold.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// What the phone says of the whole upload. Other fields are kept as they came.
#[derive(ToSchema)]
pub(crate) struct UploadMetadata {
    /// The IANA zone of samples that name none.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// Why one item of a body was not kept.
#[derive(ToSchema)]
pub(crate) struct Rejection {
    /// JSON Pointer (RFC 6901) into the body.
    #[schema(example = "/quantity_samples/3")]
    pointer: String,
    /// The client's id of the item, where it gave one.
    #[schema(format = "uuid")]
    id: Option<String>,
    /// A stable word for programs.
    #[schema(example = "out_of_range")]
    code: String,
    /// A sentence for people.
    message: String,
}

/// Who measured, as HealthKit's source revision tells. What is not known is left out.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Anna's Apple Watch", "product_type": "Watch6,2"}))]
pub(crate) struct Source {
    name: Option<String>,
    /// Bundle identifier.
    bundle: Option<String>,
    product_type: Option<String>,
}

/// A derived figure that an insight speaks of.
#[derive(ToSchema)]
pub(crate) struct Fact {
    /// A stable name.
    #[schema(example = "sleep.total_sleep_time.mean")]
    name: String,
    #[schema(example = "mean total sleep time")]
    label: String,
    value: f64,
    /// UCUM; empty for a ratio.
    unit: String,
    /// How many decimals are worth saying.
    decimals: u8,
    method: String,
    #[schema(example = "13 of 14 nights")]
    coverage: String,
}

/// What a language model used.
#[derive(ToSchema)]
pub(crate) struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    /// US dollars, by the prices that the operator configured; `null` where none are.
    cost_usd: Option<f64>,
}

/// Which writer is configured.
#[derive(ToSchema)]
pub(crate) struct Writer {
    #[schema(example = "template")]
    provider: String,
    #[schema(required)]
    model: Option<String>,
}

/// Where a job stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum JobState {
    Received,
    Stored,
    Queued,
    Processing,
    Completed,
    Failed,
}

/// Nothing yet.
#[derive(ToSchema)]
#[schema(example = json!({}))]
pub(crate) struct Nothing {}

/// A JWK set (RFC 7517).
#[derive(ToSchema)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// A public key (RFC 7517, RFC 7518, RFC 8037): the members that its type has.
#[derive(ToSchema)]
#[schema(example = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "2026-03", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))]
pub(crate) struct Key {
    kty: String,
    kid: String,
    alg: String,
    #[schema(rename = "use")]
    used_for: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Where the retina is seen on a photograph, in pixels.
#[derive(ToSchema)]
pub(crate) struct FieldOfView {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// How the field of view is lit.
#[derive(ToSchema)]
pub(crate) struct Illumination {
    /// Mean of the largest of red, green and blue, of 255.
    brightness: f64,
    /// The darkest quadrant's mean brightness over the brightest's, 0 to 1.
    evenness: f64,
    /// The share that is overexposed, 0 to 1.
    overexposed: f64,
    /// The share that red has of red, green and blue, 0 to 1.
    red_share: f64,
}

/// Whether an ophthalmologist should see the eye: grade 2 and above.
#[derive(ToSchema)]
pub(crate) struct Referable {
    /// The probabilities of the grades 2 to 4 together.
    probability: f64,
    /// From which on it counts.
    threshold: f64,
    /// How the probability was calibrated, and on what.
    calibration: String,
}

/// What two eyes say together.
#[derive(ToSchema)]
pub(crate) struct BothEyes {
    /// The higher grade, 0 to 4; `null` where neither eye was graded.
    #[schema(required)]
    grade: Option<u8>,
    /// `left` or `right`: the eye with the higher grade.
    #[schema(required)]
    worse_eye: Option<String>,
    /// `referable` where one eye is; `not_referable` only where both are graded and neither is; else `abstained`.
    decision: String,
    /// Eyes without a grade: not photographed, or ungradable.
    ungraded: Vec<String>,
    /// How it was made.
    rule: String,
}
