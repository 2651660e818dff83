//! What consecutive records have in common.

use std::sync::Arc;

use domain::{metric::Metric, sample::Source, unit::Conversion};
use memchr::{memchr, memchr3};

use crate::values::{self, INSTANT_BYTES, Instant};

/// A record up to the date of its creation, as it is written, and what that means.
pub(super) struct Template {
    /// From `<Record` on. Where the record names a device: up to that device's address in the phone's memory.
    head: Vec<u8>,
    /// From behind that address on.
    after_address: Option<Vec<u8>>,
    pub(super) metric: Metric,
    /// Of a quantity.
    pub(super) conversion: Option<Conversion>,
    pub(super) source: Arc<Source>,
}

/// How a record's tag begins.
const TAG: &[u8] = b"<Record";

/// What is before the address of a device, as it is written.
const ADDRESS: &[u8] = b"&lt;&lt;HKDevice: 0x";

impl Template {
    /// `attributes` are those up to the quote before the date of creation; the device's value begins at `of_device`.
    pub(super) fn new(
        attributes: &str,
        of_device: Option<usize>,
        metric: Metric,
        conversion: Option<Conversion>,
        source: Arc<Source>,
    ) -> Self {
        let attributes = attributes.as_bytes();
        let has_address = |at: &usize| attributes[*at..].starts_with(ADDRESS);
        let address = of_device.filter(has_address).map(|at| at + ADDRESS.len());
        let (head, rest) = attributes.split_at(address.unwrap_or(attributes.len()));
        let after_address = address.map(|_| rest[hex_digits(rest)..].to_vec());
        Self { head: [TAG, head].concat(), after_address, metric, conversion, source }
    }

    /// What follows in a tag that begins in the same way.
    #[inline]
    pub(super) fn strip<'a>(&self, tag: &'a [u8]) -> Option<&'a [u8]> {
        self.strip_after(tag.strip_prefix(self.head.as_slice())?)
    }

    /// What follows in attributes that begin in the same way.
    #[inline]
    pub(super) fn strip_attributes<'a>(&self, attributes: &'a [u8]) -> Option<&'a [u8]> {
        self.strip_after(attributes.strip_prefix(&self.head[TAG.len()..])?)
    }

    #[inline]
    fn strip_after<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        match &self.after_address {
            None => Some(rest),
            Some(after) => rest[hex_digits(rest)..].strip_prefix(after.as_slice()),
        }
    }
}

fn hex_digits(text: &[u8]) -> usize {
    text.iter().take(16).take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// What follows the template, in Apple's order: `2024-01-05 07:13:01 +0100" startDate="..." endDate="..." value="62"`.
pub(super) struct Tail<'a> {
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) value: &'a str,
    /// What comes after the value's closing quote.
    pub(super) rest: &'a [u8],
}

/// The longest value that is read here. Numbers and names are far shorter.
const VALUE_BYTES_MAX: usize = 100;

impl<'a> Tail<'a> {
    /// `None`: it is written in another way, which says nothing against it.
    #[inline]
    pub(super) fn read(tail: &'a [u8]) -> Option<Self> {
        let (created, rest) = tail.split_at_checked(INSTANT_BYTES)?;
        let (start, rest) = rest.strip_prefix(b"\" startDate=\"")?.split_at_checked(INSTANT_BYTES)?;
        let (end, rest) = rest.strip_prefix(b"\" endDate=\"")?.split_at_checked(INSTANT_BYTES)?;
        let rest = rest.strip_prefix(b"\" value=\"")?;
        let (value, rest) = rest.split_at(memchr(b'"', &rest[..rest.len().min(VALUE_BYTES_MAX)])?);
        let start_at = values::fixed(start)?;
        let end_at = if start == end { start_at } else { values::fixed(end)? };
        // The date of creation says nothing about the reading, but it must be one attribute.
        let is_plain = values::fixed(created).is_some() && value.iter().all(u8::is_ascii_graphic);
        if !is_plain || memchr3(b'<', b'&', b'>', value).is_some() {
            return None;
        }
        Some(Self { start: start_at, end: end_at, value: std::str::from_utf8(value).ok()?, rest: &rest[1..] })
    }
}
