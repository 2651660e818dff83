//! Varints and texts.

use super::SegmentError;

pub(super) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Zigzag: small numbers of either sign are small.
pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, (value << 1 ^ value >> 63).cast_unsigned());
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_optional_str(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return put_u64(out, 0) };
    put_u64(out, text.len() as u64 + 1);
    out.extend_from_slice(text.as_bytes());
}

/// Takes bytes from the front; what is not there is [`SegmentError::Malformed`].
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], SegmentError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SegmentError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SegmentError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, SegmentError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, SegmentError> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(SegmentError::Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(SegmentError::Malformed)
    }

    pub(super) fn i64(&mut self) -> Result<i64, SegmentError> {
        self.u64().map(|value| (value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A number of things, or of bytes. It is the caller's to bound it before allocating.
    pub(super) fn length(&mut self) -> Result<usize, SegmentError> {
        usize::try_from(self.u64()?).ok().ok_or(SegmentError::Malformed)
    }

    pub(super) fn str(&mut self) -> Result<&'a str, SegmentError> {
        let length = self.length()?;
        self.text(length)
    }

    pub(super) fn optional_str(&mut self) -> Result<Option<&'a str>, SegmentError> {
        match self.length()?.checked_sub(1) {
            Some(length) => self.text(length).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn finish(self) -> Result<(), SegmentError> {
        if self.0.is_empty() { Ok(()) } else { Err(SegmentError::Malformed) }
    }

    fn text(&mut self, length: usize) -> Result<&'a str, SegmentError> {
        std::str::from_utf8(self.take(length)?).ok().ok_or(SegmentError::Malformed)
    }
}
