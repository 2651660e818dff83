use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const DOUBLINGS_MAX: u32 = 6;

pub(super) fn is_worthwhile(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// The `Retry-After` of an answer, in seconds. The date form is used by none of the providers.
pub(super) fn after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// How long to wait: never less than was asked for, and up to a tenth more, so that callers do not return all at once.
pub(super) fn delay(retry_after: Option<Duration>, body: &[u8], attempt: u32) -> Duration {
    let asked = retry_after.max(retry_info(body));
    let base = asked.unwrap_or(FIRST_DELAY * 2_u32.pow(attempt.min(DOUBLINGS_MAX)));
    base.saturating_add(base.mul_f64(rand::random_range(0.0..0.1)))
}

#[derive(Deserialize)]
struct Refusal {
    error: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "@type", default)]
    kind: String,
    #[serde(rename = "retryDelay")]
    retry_delay: Option<String>,
}

/// The delay of the `google.rpc.RetryInfo` among an error's details, which Google gives in the body.
fn retry_info(body: &[u8]) -> Option<Duration> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let info =
        refusal.error.details.into_iter().find(|detail| detail.kind.ends_with("google.rpc.RetryInfo"))?;
    let seconds: f64 = info.retry_delay?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(delay: &str) -> Vec<u8> {
        let details = r#"[{"@type":"type.googleapis.com/google.rpc.Help","links":[]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"DELAY"}]"#;
        format!(r#"{{"error":{{"code":429,"details":{}}}}}"#, details.replace("DELAY", delay)).into_bytes()
    }

    #[test]
    fn the_delay_asked_for_is_read_with_its_fraction() {
        assert_eq!(retry_info(&body("34.5s")), Some(Duration::from_millis(34_500)));
        for nonsense in ["34", "-1s", "soon", "1e999s", "NaNs"] {
            assert_eq!(retry_info(&body(nonsense)), None, "{nonsense}");
        }
        assert_eq!(retry_info(b"not json"), None);
    }

    #[test]
    fn the_longer_of_header_and_details_is_waited_for_and_never_less() {
        let wait = delay(Some(Duration::from_secs(2)), &body("7s"), 0);
        assert!((Duration::from_secs(7)..Duration::from_millis(7_701)).contains(&wait), "{wait:?}");
        let wait = delay(Some(Duration::from_secs(9)), &body("7s"), 0);
        assert!((Duration::from_secs(9)..Duration::from_millis(9_901)).contains(&wait), "{wait:?}");
    }

    #[test]
    fn without_advice_the_delay_doubles_up_to_a_limit() {
        assert!(delay(None, b"", 1) >= Duration::from_secs(1));
        assert!(delay(None, b"", u32::MAX) < Duration::from_secs(36));
        assert!(delay(Some(Duration::MAX), b"", 0) >= Duration::MAX / 2);
    }

    #[test]
    fn only_passing_refusals_are_worth_another_try() {
        for (status, expected) in
            [(429, true), (500, true), (502, true), (503, true), (504, true), (400, false), (403, false)]
        {
            assert_eq!(is_worthwhile(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
