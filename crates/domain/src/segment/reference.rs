//! What stands in a record for a segment that is kept elsewhere.

use super::{CHECKSUM_BYTES, Header, Reader, SegmentError, put_str};

const MAGIC: [u8; 3] = *b"CLR";
const VERSION: u8 = 1;

/// Names the object that holds a segment, and says of it what its own header does.
///
/// ```text
/// reference = "CLR" version(u8) header sha256(32) object crc32(u32 LE)
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The segment's header.
    pub header: Header,
    /// Of the segment's bytes.
    pub sha256: [u8; 32],
    /// The object's key.
    pub object: String,
}

impl Reference {
    /// The bytes that stand for it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        self.header.put(&mut out);
        out.extend_from_slice(&self.sha256);
        put_str(&mut out, &self.object);
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a reference; `None` where the bytes do not begin as one.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, SegmentError> {
        let Some(body) = bytes.strip_prefix(&MAGIC) else { return Ok(None) };
        let (&version, body) = body.split_first().ok_or(SegmentError::Malformed)?;
        if version != VERSION {
            return Err(SegmentError::UnknownVersion);
        }
        let (body, checksum) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SegmentError::Checksum)?;
        if crc32fast::hash(&bytes[..bytes.len() - CHECKSUM_BYTES]) != u32::from_le_bytes(*checksum) {
            return Err(SegmentError::Checksum);
        }
        let mut reader = Reader::new(body);
        let header = Header::read(&mut reader)?;
        let sha256 = reader.array()?;
        let object = reader.str()?.to_owned();
        reader.finish()?;
        Ok(Some(Self { header, sha256, object }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    fn reference() -> Reference {
        let header = Header {
            metric: Metric::HEART_RATE,
            count: 3_600,
            start_ms_min: -5,
            end_ms_max: 1_772_323_200_000,
        };
        Reference { header, sha256: [7; 32], object: "segments/ab/1.segment".to_owned() }
    }

    #[test]
    fn a_reference_reads_back_and_a_segment_is_none() {
        let bytes = reference().encode();
        assert_eq!(Reference::decode(&bytes), Ok(Some(reference())));
        assert_eq!(Reference::decode(b"CLS\x01"), Ok(None));
        assert_eq!(Reference::decode(b""), Ok(None));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_an_error_or_no_reference() {
        let bytes = reference().encode();
        for length in 3..bytes.len() {
            assert!(Reference::decode(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 24..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Reference::decode(&damaged).is_err(), "{bit}");
        }
    }
}
