//! Who may call what. An operation that is documented and not here fails the tests.

/// Who is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Audience {
    /// Everybody, without a token.
    Public,
    /// Whoever has a valid token.
    Anyone,
    /// Those who own data.
    User,
    Clinician,
    Operator,
}

/// What stands in a place of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The id of a thing: somebody else's is as missing as one that nobody has.
    Thing,
    /// The id of a user: another one's is refused, whether there is one or not.
    User,
    /// A name that means something to its caller only.
    Free,
}

pub(crate) struct Entry {
    /// `METHOD /path`, as documented.
    pub(crate) operation: &'static str,
    pub(crate) audience: Audience,
    pub(crate) places: &'static [(&'static str, Place)],
    /// A body that the caller may send; `{user_id}` is the id whose place it is.
    pub(crate) body: Option<&'static str>,
    /// Whether it is a listing with a cursor.
    pub(crate) has_cursor: bool,
    /// Whether its answer is a stream.
    pub(crate) streams: bool,
    /// Whether the caller or their session is gone afterwards.
    pub(crate) ends_the_caller: bool,
}

impl Entry {
    pub(crate) fn method(&self) -> &'static str {
        self.operation.split(' ').next().unwrap_or_default()
    }

    const fn new(operation: &'static str, audience: Audience) -> Self {
        Self {
            operation,
            audience,
            places: &[],
            body: None,
            has_cursor: false,
            streams: false,
            ends_the_caller: false,
        }
    }

    const fn place(self, places: &'static [(&'static str, Place)]) -> Self {
        Self { places, ..self }
    }

    const fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn listing(self) -> Self {
        Self { has_cursor: true, ..self }
    }

    const fn stream(self) -> Self {
        Self { streams: true, ..self }
    }

    const fn ends_the_caller(self) -> Self {
        Self { ends_the_caller: true, ..self }
    }
}

const fn public(operation: &'static str) -> Entry {
    Entry::new(operation, Audience::Public)
}

const fn anyone(operation: &'static str) -> Entry {
    Entry::new(operation, Audience::Anyone)
}

const fn user(operation: &'static str) -> Entry {
    Entry::new(operation, Audience::User)
}

const UPLOAD: &str = r#"{"user_id":"{user_id}","metrics":[{"metric_type":"heart_rate","biometric_data":{"heart_rate":61},
    "created_at":"2025-03-02T08:00:00Z"}],"upload_source":"apple_health","client_timestamp":"2025-03-02T09:00:00Z"}"#;
const HEALTHKIT: &str = r#"{"user_id":"{user_id}","quantity_samples":[{"type":"HKQuantityTypeIdentifierHeartRate",
    "value":61,"unit":"count/min","start_date":"2025-03-02T08:00:00Z"}]}"#;
const STEPS: &str = r#"{"step_counts":[1],"timestamps":["2025-03-02T08:00:00Z"]}"#;
const POINTS: &str = r#"{"data_points":[{"timestamp":"2025-03-02T08:00:00Z","value":1}]}"#;

pub(crate) const TABLE: &[Entry] = &[
    public("GET /api/v1"),
    public("GET /api/v1/health"),
    public("GET /api/v1/health/ready"),
    public("GET /api/v1/health/detailed"),
    public("GET /health/db"),
    public("GET /metrics"),
    public("GET /.well-known/jwks.json"),
    public("POST /api/v1/auth/register").body(r#"{"email":"x","password":"y"}"#),
    public("POST /api/v1/auth/login").body(r#"{"email":"x","password":"y"}"#),
    public("POST /api/v1/auth/refresh").body(r#"{"refresh_token":"x"}"#),
    // A presigned URL is its own credential.
    public("GET /objects/{key}").place(&[("key", Place::Free)]),
    public("PUT /objects/{key}").place(&[("key", Place::Free)]),
    anyone("POST /api/v1/auth/logout").ends_the_caller(),
    anyone("GET /api/v1/auth/me"),
    anyone("PUT /api/v1/auth/me").body("{}"),
    anyone("GET /api/v1/pat/health"),
    anyone("GET /api/v1/pat/models/info"),
    user("POST /api/v1/health-data").body(UPLOAD),
    user("POST /api/v1/health-data/upload").body(UPLOAD),
    user("GET /api/v1/health-data").listing(),
    user("GET /api/v1/health-data/processing/{processing_id}").place(&[("processing_id", Place::Thing)]),
    user("DELETE /api/v1/health-data/processing/{processing_id}").place(&[("processing_id", Place::Thing)]),
    user("DELETE /api/v1/health-data/{processing_id}").place(&[("processing_id", Place::Thing)]),
    user("POST /api/v1/healthkit").body(HEALTHKIT),
    user("POST /api/v1/healthkit/upload").body(HEALTHKIT),
    user("GET /api/v1/healthkit/status/{upload_id}").place(&[("upload_id", Place::Thing)]),
    user("POST /api/v1/pat/step-analysis").body(STEPS),
    user("POST /api/v1/pat/analyze-step-data").body(STEPS),
    user("POST /api/v1/pat/analysis").body(POINTS),
    user("POST /api/v1/pat/analyze").body(POINTS),
    user("GET /api/v1/pat/analysis/{processing_id}").place(&[("processing_id", Place::Thing)]),
    user("POST /api/v1/insights").body("{}"),
    user("POST /api/v1/insights/generate").body("{}"),
    user("GET /api/v1/insights/{insight_id}").place(&[("insight_id", Place::Thing)]),
    user("GET /api/v1/insights/history/{user_id}").place(&[("user_id", Place::User)]),
    user("GET /api/v1/insights/status"),
    user("GET /api/v1/metrics/daily"),
    user("GET /api/v1/metrics/sleep"),
    user("GET /api/v1/metrics/circadian"),
    user("GET /api/v1/events").stream(),
    user("GET /api/v1/ws/health-analysis/{user_id}").place(&[("user_id", Place::User)]),
    user("GET /api/v1/ws/{room}").place(&[("room", Place::Free)]),
    user("GET /api/v1/ws/chat/{room}").place(&[("room", Place::Free)]),
];
