//! W3C Trace Context: what may be passed on of it.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The trace that a request belongs to.
pub(super) struct Trace {
    parent: Option<HeaderValue>,
    state: Vec<HeaderValue>,
}

/// The standard lets a state be dropped that is longer.
const STATE_BYTES_MAX: usize = 512;

impl Trace {
    /// Takes the trace of a request; what is not one is taken off it, so that nothing behind believes it.
    pub(super) fn take(headers: &mut HeaderMap) -> Self {
        let mut parents = headers.get_all("traceparent");
        let parent =
            parents.next().filter(|value| parents.next().is_none() && is_traceparent(value.as_bytes()));
        let parent = parent.cloned();
        if parent.is_none() {
            headers.remove("traceparent");
            headers.remove("tracestate");
        }
        let state: Vec<HeaderValue> = headers.get_all("tracestate").cloned().collect();
        let is_short = state.iter().map(HeaderValue::len).sum::<usize>() <= STATE_BYTES_MAX;
        let is_text = state.iter().all(|line| line.to_str().is_ok());
        Self { parent, state: if is_short && is_text { state } else { Vec::new() } }
    }

    pub(super) fn dress(self, headers: &mut HeaderMap) {
        if let Some(parent) = self.parent {
            headers.insert(HeaderName::from_static("traceparent"), parent);
        }
        for line in self.state {
            headers.append(HeaderName::from_static("tracestate"), line);
        }
    }
}

/// Whether a header is a `traceparent`. Versions after 00 may have more parts behind the first four, and ff is none.
pub(crate) fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8], length: usize| {
        part.len() == length && part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    };
    let is_id = |part: &[u8], length: usize| is_hex(part, length) && part.iter().any(|byte| *byte != b'0');
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags, rest @ ..] = &parts[..] else { return false };
    is_hex(version, 2)
        && *version != b"ff"
        && (rest.is_empty() || *version != b"00")
        && value.len() <= STATE_BYTES_MAX
        && value.iter().all(u8::is_ascii_graphic)
        && is_id(trace, 32)
        && is_id(span, 16)
        && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_one() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let zeros = "0".repeat(32);
        let valid = [
            format!("00-{trace}-{span}-01"),
            format!("00-{trace}-{span}-ff"),
            format!("cc-{trace}-{span}-01-what"),
        ];
        for value in valid {
            assert!(is_traceparent(value.as_bytes()), "{value}");
        }
        let wrong = [
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{trace}-{span}-01-what"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}"),
            format!("0-{trace}-{span}-01"),
            format!("00-{trace}-{span}-1"),
            format!("cc-{trace}-{span}-01-two words"),
            String::new(),
        ];
        for value in wrong {
            assert!(!is_traceparent(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_state_without_its_trace_is_dropped() {
        let taken = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let (trace, mut answer) = (Trace::take(&mut headers), HeaderMap::new());
            trace.dress(&mut answer);
            (headers.len(), answer.len())
        };
        let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(taken(&[parent, ("tracestate", "a=1"), ("tracestate", "b=2")]), (3, 3));
        assert_eq!(taken(&[("tracestate", "a=1")]), (0, 0));
        assert_eq!(taken(&[("traceparent", "00-x-y-01"), ("tracestate", "a=1")]), (0, 0));
        assert_eq!(taken(&[parent, parent]), (0, 0), "two parents are none");
    }
}
