//! Time-based one-time passwords (RFC 6238) as authenticator apps make them: HMAC-SHA-1, 6 digits, 30 seconds.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use jiff::Timestamp;
use ports::Email;
use subtle::ConstantTimeEq;

/// As long as SHA-1's output, which RFC 4226 recommends.
pub(super) const SECRET_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// How many steps an authenticator's clock may be off, and how many a person may be late.
const STEPS_OFF: i64 = 1;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The code of a step.
fn code(secret: &[u8], step: i64) -> String {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |byte| usize::from(byte & 0x0f));
    let number = tag.iter().skip(offset).take(4).fold(0, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The step whose code `given` is, of the present one and its neighbours, as far as they come after `last`.
pub(super) fn step_of(secret: &[u8], given: &str, last: Option<i64>, now: Timestamp) -> Option<i64> {
    let present = now.as_second().div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in present - STEPS_OFF..=present + STEPS_OFF {
        let is_right: bool = code(secret, step).as_bytes().ct_eq(given.as_bytes()).into();
        if is_right && last.is_none_or(|last| step > last) {
            found = found.or(Some(step));
        }
    }
    found
}

/// Base32 (RFC 4648) without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    let (mut text, mut buffer, mut bits) = (String::with_capacity(bytes.len() * 8 / 5 + 1), 0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(buffer << (5 - bits) & 31) as usize]));
    }
    text
}

/// What an authenticator app reads from a picture.
pub(super) fn otpauth_uri(issuer: &str, email: &Email, secret: &str) -> String {
    let (issuer, account) = (escaped(issuer), escaped(email.expose()));
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    )
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8; 20] = b"12345678901234567890";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last 6 of its 8 digits.
        for (second, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SECRET, second / 30), expected, "at {second}");
            assert_eq!(step_of(SECRET, expected, None, at(second)), Some(second / 30));
        }
    }

    #[test]
    fn a_code_counts_one_step_early_and_one_step_late() {
        let (now, step) = (at(1_234_567_890), 1_234_567_890 / 30);
        for (off, counts) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            assert_eq!(step_of(SECRET, &code(SECRET, step + off), None, now).is_some(), counts, "{off}");
        }
        for wrong in ["", "00592", "0059240", "005925", "\u{0660}05924"] {
            assert_eq!(step_of(SECRET, wrong, None, now), None);
        }
    }

    #[test]
    fn a_step_counts_once_and_so_does_every_step_before_it() {
        let (now, step) = (at(1_234_567_890), 1_234_567_890 / 30);
        for off in [-1, 0] {
            assert_eq!(step_of(SECRET, &code(SECRET, step + off), Some(step), now), None);
        }
        assert_eq!(step_of(SECRET, &code(SECRET, step + 1), Some(step), now), Some(step + 1));
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "MY"),
            (b"fo", "MZXQ"),
            (b"foo", "MZXW6"),
            (b"foob", "MZXW6YQ"),
            (b"fooba", "MZXW6YTB"),
            (b"foobar", "MZXW6YTBOI"),
            (SECRET, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
        ] {
            assert_eq!(base32(bytes), text);
        }
    }

    #[test]
    fn the_uri_escapes_what_has_a_meaning_in_it() {
        let email = Email::parse("a+b&c@example.org").unwrap();
        assert_eq!(
            otpauth_uri("Clarity: tést", &email, "MZXW6"),
            "otpauth://totp/Clarity%3A%20t%C3%A9st:a%2Bb%26c%40example.org?secret=MZXW6\
             &issuer=Clarity%3A%20t%C3%A9st&algorithm=SHA1&digits=6&period=30"
        );
    }
}
