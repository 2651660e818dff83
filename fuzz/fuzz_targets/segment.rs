//! Decoding a segment never panics and never allocates without bound, and what decodes encodes again to what decodes to the
//! same.
#![no_main]

use domain::segment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The checksum would keep the fuzzer from ever reaching the columns, so it is put right.
    let mut sealed = [b"CLS\x01", bytes].concat();
    sealed.extend(crc32fast::hash(&sealed).to_le_bytes());
    check(&sealed);
});

fn check(bytes: &[u8]) {
    let (header, ids) = (segment::header(bytes), segment::decode_ids(bytes));
    let Ok(samples) = segment::decode(bytes) else { return };
    assert_eq!(header.unwrap().count, samples.len());
    assert!(ids.unwrap().into_iter().eq(samples.iter().map(|sample| sample.id)));
    let again = segment::encode(&samples).unwrap();
    assert_eq!(again, segment::encode(&segment::decode(&again).unwrap()).unwrap());
}
