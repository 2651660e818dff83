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

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, answered once a row")]
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
    /// Whether it is a WebSocket.
    pub(crate) is_socket: bool,
    /// Whether the caller, their session or the thing is gone afterwards.
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
            is_socket: false,
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

    const fn socket(self) -> Self {
        Self { is_socket: true, ..self.stream() }
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
const BATCH: &str = r#"{"records":[{"user_id":"{user_id}","data_type":"heart_rate","value":61,"unit":"count/min",
    "recorded_at":"2025-03-02T08:00:00Z"}]}"#;
const STEPS: &str = r#"{"step_counts":[1],"timestamps":["2025-03-02T08:00:00Z"]}"#;
const POINTS: &str = r#"{"data_points":[{"timestamp":"2025-03-02T08:00:00Z","value":1}]}"#;

pub(crate) const TABLE: &[Entry] = &[
    public("GET /"),
    public("GET /health"),
    public("GET /api/v1"),
    public("GET /api/v1/openapi.json"),
    public("GET /api/v1/health"),
    public("GET /api/v1/health/ready"),
    public("GET /api/v1/health/detailed"),
    public("GET /api/v1/health-data/health"),
    public("GET /health/db"),
    public("GET /metrics"),
    public("GET /.well-known/jwks.json"),
    public("POST /api/v1/auth/register").body(r#"{"email":"x","password":"y"}"#),
    public("POST /api/v1/auth/login").body(r#"{"email":"x","password":"y"}"#),
    public("POST /api/v1/auth/refresh").body(r#"{"refresh_token":"x"}"#),
    public("GET /api/v1/auth/health"),
    public("POST /api/v1/auth/challenge")
        .body(r#"{"session":"x","challenge":"SOFTWARE_TOKEN_MFA","code":"000000"}"#),
    public("POST /api/v1/auth/confirm-email").body(r#"{"email":"nobody@example.org","code":"000000"}"#),
    public("POST /api/v1/auth/resend-confirmation").body(r#"{"email":"nobody@example.org"}"#),
    public("POST /api/v1/auth/forgot-password").body(r#"{"email":"nobody@example.org"}"#),
    public("POST /api/v1/auth/reset-password")
        .body(r#"{"email":"nobody@example.org","code":"000000","new_password":"correct horse"}"#),
    // A presigned URL is its own credential.
    public("GET /objects/{key}").place(&[("key", Place::Free)]),
    public("PUT /objects/{key}").place(&[("key", Place::Free)]),
    anyone("POST /api/v1/auth/logout").ends_the_caller(),
    anyone("GET /api/v1/auth/me"),
    anyone("PUT /api/v1/auth/me").body("{}"),
    anyone("GET /api/v1/auth/mfa"),
    anyone("POST /api/v1/auth/mfa/setup"),
    anyone("POST /api/v1/auth/mfa/verify").body(r#"{"code":"000000"}"#),
    anyone("DELETE /api/v1/auth/mfa").body(r#"{"code":"000000"}"#),
    anyone("GET /api/v1/auth/sessions"),
    anyone("DELETE /api/v1/auth/sessions").ends_the_caller(),
    anyone("DELETE /api/v1/auth/sessions/{session_id}")
        .place(&[("session_id", Place::Thing)])
        .ends_the_caller(),
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
    // A photograph is no text that could stand here: the retina tests send one.
    user("POST /api/v1/retina/analyses"),
    user("GET /api/v1/retina/analyses").listing(),
    user("GET /api/v1/retina/analyses/{analysis_id}").place(&[("analysis_id", Place::Thing)]),
    user("GET /api/v1/retina/analyses/{analysis_id}/image").place(&[("analysis_id", Place::Thing)]),
    user("GET /api/v1/retina/analyses/{analysis_id}/map").place(&[("analysis_id", Place::Thing)]),
    user("GET /api/v1/retina/eyes"),
    user("POST /api/v1/insights").body("{}"),
    user("POST /api/v1/insights/generate").body("{}"),
    user("GET /api/v1/insights/{insight_id}").place(&[("insight_id", Place::Thing)]),
    user("GET /api/v1/insights/history/{user_id}").place(&[("user_id", Place::User)]),
    user("GET /api/v1/insights/status"),
    user("GET /api/v1/metrics/daily"),
    user("GET /api/v1/metrics/sleep"),
    user("GET /api/v1/metrics/circadian"),
    user("POST /api/v1/health-data/batch").body(BATCH),
    user("GET /api/v1/health-data/upload/{upload_id}/status").place(&[("upload_id", Place::Thing)]),
    user("GET /api/v1/health-data/sync/{sync_id}").place(&[("sync_id", Place::Thing)]),
    user("GET /api/v1/metrics/hourly"),
    user("GET /api/v1/events").stream(),
    user("GET /api/v1/ws/health-analysis/{user_id}").place(&[("user_id", Place::User)]).socket(),
    user("GET /api/v1/ws/{room}").place(&[("room", Place::Free)]).socket(),
    user("GET /api/v1/ws/chat/{room}").place(&[("room", Place::Free)]).socket(),
    user("GET /api/v1/users/me/audit").listing(),
    user("GET /api/v1/users/me/export").stream(),
    user("GET /api/v1/users/me/source-priority"),
    user("PUT /api/v1/users/me/source-priority").body(r#"{"order":["watch"]}"#),
    user("GET /api/v1/metrics/deviations"),
    user("POST /api/v1/healthkit/stream").stream(),
    user("POST /api/v1/healthkit/imports").body(r#"{"content_type":"application/xml","size_bytes":1}"#),
    user("POST /api/v1/healthkit/imports/{import_id}/start").place(&[("import_id", Place::Thing)]),
    user("GET /api/v1/healthkit/imports/{import_id}").place(&[("import_id", Place::Thing)]),
    user("DELETE /api/v1/users/me").ends_the_caller(),
    user("GET /api/v1/users/me/consents"),
    user("POST /api/v1/users/me/consents").body(r#"{"clinician_email":"nobody@example.org"}"#),
    user("GET /api/v1/users/me/consents/{consent_id}").place(&[("consent_id", Place::Thing)]),
    user("PUT /api/v1/users/me/consents/{consent_id}")
        .place(&[("consent_id", Place::Thing)])
        .body(r#"{"expires_at":"2027-03-01T00:00:00Z","scope":["metrics"]}"#),
    user("DELETE /api/v1/users/me/consents/{consent_id}")
        .place(&[("consent_id", Place::Thing)])
        .ends_the_caller(),
    user("GET /api/v1/users/{user_id}/health-data").place(&[("user_id", Place::User)]).listing(),
    user("GET /api/v1/users/{user_id}/metrics/daily").place(&[("user_id", Place::User)]),
    user("GET /api/v1/users/{user_id}/metrics/sleep").place(&[("user_id", Place::User)]),
    user("GET /api/v1/users/{user_id}/metrics/circadian").place(&[("user_id", Place::User)]),
    user("GET /api/v1/users/{user_id}/insights").place(&[("user_id", Place::User)]),
    Entry::new("GET /api/v1/clinician/patients", Audience::Clinician),
    Entry::new("GET /api/v1/operator/jobs", Audience::Operator),
    Entry::new("GET /api/v1/operator/users/{user_id}", Audience::Operator).place(&[("user_id", Place::Free)]),
    Entry::new("PUT /api/v1/operator/users/{user_id}", Audience::Operator)
        .place(&[("user_id", Place::Free)])
        .body(r#"{"disabled":false}"#),
];
