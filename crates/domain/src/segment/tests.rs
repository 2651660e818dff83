use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    sample::Source,
    time::{LocalClock, ZoneName},
};

fn clock(offset_seconds: i32, zone: Option<&str>) -> Arc<LocalClock> {
    Arc::new(LocalClock { offset_seconds, zone: zone.map(|name| ZoneName::new(name).unwrap()) })
}

fn watch() -> Arc<Source> {
    Arc::new(Source {
        name: Some("Anna's Apple Watch".into()),
        bundle: Some("com.apple.health.6E2A".into()),
        product_type: Some("Watch6,2".into()),
    })
}

/// One heart rate a second, as a HealthKit series: one id, many points.
fn series(count: u32) -> Vec<Sample> {
    let (clock, source) = (clock(3_600, Some("Europe/Paris")), watch());
    let point = |second: u32| {
        let start_ms = 1_772_323_200_000 + i64::from(second) * 1_000;
        Sample {
            id: SampleId(Uuid::from_u128(0xA11CE)),
            metric: Metric::HEART_RATE,
            interval: Interval::new(start_ms, start_ms).unwrap(),
            value: Value::Quantity(f64::from(60 + second * second / 7 % 23)),
            clock: Arc::clone(&clock),
            source: Arc::clone(&source),
            metadata: None,
        }
    };
    (0..count).map(point).collect()
}

/// A sample with its quantity as bits: 0.0 and -0.0 are equal, their bits are not.
fn exact(samples: &[Sample]) -> Vec<(&Sample, Option<u64>)> {
    let bits =
        |value| if let Value::Quantity(quantity) = value { Some(f64::to_bits(quantity)) } else { None };
    samples.iter().map(|sample| (sample, bits(sample.value))).collect()
}

/// Makes `bytes` pass the checks that come before the columns, as bytes that someone made up would.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC, &[PLAIN][..], body].concat();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn body(segment: &[u8]) -> &[u8] {
    &segment[MAGIC.len() + 1..segment.len() - CHECKSUM_BYTES]
}

fn times() -> impl Strategy<Value = Interval> {
    let edges = prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]);
    let time = prop_oneof![4 => 1_772_323_200_000..1_772_409_600_000_i64, 1 => any::<i64>(), 1 => edges];
    (time.clone(), time).prop_map(|(one, other)| Interval::new(one.min(other), one.max(other)).unwrap())
}

fn quantities() -> impl Strategy<Value = Value> {
    let edges =
        vec![-0.0, 0.0, f64::MIN_POSITIVE, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::EPSILON];
    let whole = (40..200_u32).prop_map(f64::from);
    let decimal = (0..10_000_u32).prop_map(|hundredths| f64::from(hundredths) / 100.0);
    prop_oneof![2 => whole, 2 => decimal, 1 => any::<f64>(), 1 => prop::sample::select(edges)]
        .prop_map(Value::Quantity)
}

fn samples(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Sample>> {
    let metric = prop::sample::select(Metric::all().collect::<Vec<_>>());
    let count = count.into();
    metric.prop_flat_map(move |metric| {
        let value = match metric.kind() {
            MetricKind::Quantity => quantities().boxed(),
            MetricKind::Category => prop_oneof![0..6, any::<i32>()].prop_map(Value::Category).boxed(),
        };
        let clocks = prop::sample::select(vec![
            clock(0, None),
            clock(i32::MIN, None),
            clock(7_200, Some("Europe/Berlin")),
            clock(-10_800, Some("America/Santiago")),
        ]);
        let text = || prop::option::of(".{0,8}");
        let source = prop_oneof![
            4 => Just(watch()),
            1 => (text(), text(), text())
                .prop_map(|(name, bundle, product_type)| Arc::new(Source { name, bundle, product_type })),
        ];
        let metadata = prop::option::of("\\{.{0,12}\\}".prop_map(Arc::from));
        // Small ids repeat, which makes runs; `None` is an id that the reading's content gives.
        let id =
            prop_oneof![1 => Just(None), 1 => any::<u128>().prop_map(Some), 2 => (0..3_u128).prop_map(Some)];
        let all_derived = any::<bool>();
        let sample = (id, times(), value, clocks, source, metadata);
        (all_derived, prop::collection::vec(sample, count.clone())).prop_map(move |(all_derived, parts)| {
            let sample = |(id, interval, value, clock, source, metadata): (Option<u128>, _, _, _, _, _)| {
                let id_given = SampleId(Uuid::from_u128(id.unwrap_or_default()));
                let mut sample = Sample { id: id_given, metric, interval, value, clock, source, metadata };
                if id.is_none() || all_derived {
                    sample.id = sample.content_key().sample_id();
                }
                sample
            };
            parts.into_iter().map(sample).collect()
        })
    })
}

fn assert_round_trip(samples: &[Sample]) -> Result<(), TestCaseError> {
    let segment = encode(samples).unwrap();
    let decoded = decode(&segment).unwrap();
    prop_assert_eq!(exact(&decoded), exact(samples));
    prop_assert_eq!(
        decode_ids(&segment).unwrap(),
        samples.iter().map(|sample| sample.id).collect::<Vec<_>>()
    );
    let expected = Header {
        metric: samples[0].metric,
        count: samples.len(),
        start_ms_min: samples.iter().map(|sample| sample.interval.start_ms()).min().unwrap(),
        end_ms_max: samples.iter().map(|sample| sample.interval.end_ms()).max().unwrap(),
    };
    prop_assert_eq!(header(&segment).unwrap(), expected);
    Ok(())
}

proptest! {
    #[test]
    fn a_few_samples_read_back_bit_for_bit_in_their_order(samples in samples(1..8)) {
        assert_round_trip(&samples)?;
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(header(&bytes).is_err());
        prop_assert!(decode_ids(&bytes).is_err());
    }

    #[test]
    fn sealed_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // The identifier and a count of one, so that the rest is read as a header's times and as columns.
        let mut columns = body(&encode(&series(1)).unwrap())[..Metric::HEART_RATE.identifier().len() + 2].to_vec();
        columns.extend(&bytes);
        for made_up in [seal(&bytes), seal(&columns)] {
            let (_, _, _) = (decode(&made_up), header(&made_up), decode_ids(&made_up));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn many_samples_read_back_bit_for_bit_in_their_order(samples in samples(column::PCO_COUNT_MIN..300)) {
        assert_round_trip(&samples)?;
    }

    #[test]
    fn sealed_damage_never_panics(
        samples in samples(1..100),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut damaged = body(&encode(&samples).unwrap()).to_vec();
        for (at, byte) in damage {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        let _ = decode(&seal(&damaged));
        let _ = decode(&seal(&damaged[..length.index(damaged.len())]));
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    for count in [1, 3, 100] {
        let segment = encode(&series(count)).unwrap();
        for length in 0..segment.len() {
            assert!(decode(&segment[..length]).is_err(), "{count} samples cut to {length} bytes");
            assert!(header(&segment[..length]).is_err());
        }
        for bit in 0..segment.len() * 8 {
            let mut flipped = segment.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "{count} samples with bit {bit} flipped");
            assert!(header(&flipped).is_err() && decode_ids(&flipped).is_err());
        }
        let longer = [&segment[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(SegmentError::Checksum));
    }
}

#[test]
fn an_hour_of_a_series_takes_less_than_three_bytes_a_point() {
    let regular = encode(&series(3_600)).unwrap();
    assert!(regular.len() < 3 * 3_600, "{} bytes", regular.len());
    // A watch is neither regular to the millisecond nor whole to the beat.
    let mut jittered = series(3_600);
    for (at, sample) in jittered.iter_mut().enumerate() {
        let noise = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        let start_ms = sample.interval.start_ms() + noise.cast_signed();
        sample.interval = Interval::new(start_ms, start_ms).unwrap();
        sample.value = Value::Quantity(60.0 + f64::from(u8::try_from(noise).unwrap()) / 10.0);
    }
    let jittered = encode(&jittered).unwrap();
    assert!(jittered.len() < 3 * 3_600, "{} bytes", jittered.len());
}

#[test]
fn what_is_not_one_segment_is_not_encoded() {
    assert_eq!(encode(&[]), Err(SegmentError::Empty));
    let mut mixed = series(2);
    mixed[1].metric = Metric::RESTING_HEART_RATE;
    assert_eq!(encode(&mixed), Err(SegmentError::MixedMetrics));
    let mut category = series(1);
    category[0].value = Value::Category(1);
    assert_eq!(encode(&category), Err(SegmentError::WrongKind));
    let mut quantity = series(1);
    quantity[0].metric = Metric::SLEEP_ANALYSIS;
    assert_eq!(encode(&quantity), Err(SegmentError::WrongKind));
    let too_many = vec![series(1).remove(0); SAMPLES_MAX + 1];
    assert_eq!(encode(&too_many), Err(SegmentError::TooMany));
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused() {
    let segment = encode(&series(1)).unwrap();
    let (identifier, columns) = body(&segment).split_at(1 + Metric::HEART_RATE.identifier().len());
    for count in [0, 2, SAMPLES_MAX as u64, SAMPLES_MAX as u64 + 1, u64::MAX] {
        let mut claimed = identifier.to_vec();
        put_u64(&mut claimed, count);
        claimed.extend(&columns[1..]);
        assert_eq!(decode(&seal(&claimed)), Err(SegmentError::Malformed), "{count}");
    }
}

#[test]
fn a_later_version_and_an_unknown_metric_are_named() {
    let mut later = encode(&series(1)).unwrap();
    later[MAGIC.len()] = JOINED + 1;
    assert_eq!(decode(&later), Err(SegmentError::UnknownVersion));
    assert_eq!(header(b"not a segment"), Err(SegmentError::NotASegment));
    let mut unknown = Vec::new();
    put_str(&mut unknown, "HKQuantityTypeIdentifierFromTheFuture");
    assert_eq!(header(&seal(&unknown)), Err(SegmentError::UnknownMetric));
}

#[test]
fn equal_ids_are_stored_once_and_derived_ids_not_at_all() {
    let one_id = encode(&series(1_000)).unwrap().len();
    let mut own_ids = series(1_000);
    for (at, sample) in own_ids.iter_mut().enumerate() {
        sample.id = SampleId(Uuid::from_u128(at as u128));
    }
    let own_id_bytes = encode(&own_ids).unwrap().len();
    for sample in &mut own_ids {
        sample.id = sample.content_key().sample_id();
    }
    let derived_id_bytes = encode(&own_ids).unwrap().len();
    assert!(derived_id_bytes < one_id);
    assert!(own_id_bytes > one_id + 15 * 1_000);
}

#[test]
fn segments_that_the_first_version_wrote_still_read_back() {
    for (count, hex) in [(2, TWO_SAMPLES), (40, FORTY_SAMPLES)] {
        assert_eq!(decode(&hex::decode(hex).unwrap()).unwrap(), series(count));
    }
    assert_eq!(hex::encode(encode(&series(2)).unwrap()), TWO_SAMPLES_NOW);
}

/// An instance of the build before, beside this one or after a rollback, reads what needs no column that it does not know.
#[test]
fn a_segment_without_late_columns_has_the_version_of_the_first_builds() {
    let version = |bytes: Vec<u8>| bytes[MAGIC.len()];
    let uneven: Vec<Sample> =
        series(4).into_iter().enumerate().filter(|(at, _)| *at != 2).map(|of| of.1).collect();
    assert_eq!(version(encode(&uneven).unwrap()), 1);
    assert_eq!(version(encode_joined(&uneven, &[7, 9, 8]).unwrap()), 2);
    assert_eq!(version(encode_joined(&uneven, &[7, 8, 9]).unwrap()), JOINED, "its numbers are steps");
    assert_eq!(version(encode(&series(3)).unwrap()), PLAIN, "its times are steps");
    let whole = series(40).into_iter().enumerate().filter(|(at, _)| *at != 2).map(|of| of.1);
    assert_eq!(version(encode(&whole.collect::<Vec<_>>()).unwrap()), PLAIN, "its values are whole");
}

const TWO_SAMPLES_NOW: &str = "\
    434c530321484b5175616e74697479547970654964656e7469666965724865617274526174650280f08eeb9467e807010100\
    0000000000000000000000000a11ce020380f08eeb9467d00f0000000000000000004e4001a0380d4575726f70652f506172\
    697300000113416e6e612773204170706c6520576174636816636f6d2e6170706c652e6865616c74682e3645324109576174\
    6368362c320000010000007ecdbe1f";

const TWO_SAMPLES: &str = "\
    434c530121484b5175616e74697479547970654964656e7469666965724865617274526174650280f08eeb9467e807010100\
    0000000000000000000000000a11ce020180f08eeb9467d00f0000000000000000004e4001a0380d4575726f70652f506172\
    697300000113416e6e612773204170706c6520576174636816636f6d2e6170706c652e6865616c74682e3645324109576174\
    6368362c32000001000000b13999d9";
const FORTY_SAMPLES: &str = "\
    434c530121484b5175616e74697479547970654964656e7469666965724865617274526174652880f08eeb9467d8b0020101\
    000000000000000000000000000a11ce28023770636f210300050a040104270000813e000000000000100101800000000000\
    00004000040050060000000000000077d5860f9cc42000000000024170636f210300050a040106270000e3021000c0091800\
    00000000284000000000000000000000000000414c5aedc98a456ad182f42a5011238853d4ac22299e760001a0380d457572\
    6f70652f506172697300000113416e6e612773204170706c6520576174636816636f6d2e6170706c652e6865616c74682e36\
    453241095761746368362c32000001000000776845cc";

/// An hour of a pulse that wanders by a beat a second carries log2(3) bits a second, 713 bytes.
#[test]
fn an_hour_of_whole_heart_rates_takes_little_more_than_it_tells() {
    let (mut state, mut pulse) = (0x9E37_79B9_7F4A_7C15_u64, 62_i32);
    let mut samples = series(3600);
    for sample in &mut samples {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pulse = (pulse + i32::try_from(state % 3).unwrap() - 1).clamp(48, 160);
        sample.value = Value::Quantity(f64::from(pulse));
    }
    let bytes = encode(&samples).unwrap();
    assert_eq!(exact(&decode(&bytes).unwrap()), exact(&samples));
    assert!(bytes.len() <= 940, "{} bytes", bytes.len());
    // One half beat, and they are no whole numbers.
    samples[7].value = Value::Quantity(61.5);
    assert_eq!(exact(&decode(&encode(&samples).unwrap()).unwrap()), exact(&samples));
    samples[7].value = Value::Quantity(-0.0);
    assert_eq!(exact(&decode(&encode(&samples).unwrap()).unwrap()), exact(&samples));
}

#[test]
fn joined_samples_keep_the_numbers_of_their_changes() {
    let samples = series(200);
    let sequences: Vec<u64> = (0..200).map(|at| if at < 90 { 7 } else { u64::MAX - at }).collect();
    let joined = encode_joined(&samples, &sequences).unwrap();
    let read = decode_numbered(&joined, 1).unwrap();
    assert_eq!(read.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), sequences);
    assert_eq!(decode(&joined).unwrap(), samples);
    assert_eq!(decode_ids(&joined).unwrap(), samples.iter().map(|sample| sample.id).collect::<Vec<_>>());
    assert_eq!(header(&joined).unwrap().count, 200);
    // One of a single change has the number that its record says.
    let plain = encode(&samples).unwrap();
    assert!(decode_numbered(&plain, 9).unwrap().iter().all(|(sequence, _)| *sequence == 9));
    assert_eq!(encode_joined(&samples, &sequences[1..]), Err(SegmentError::Malformed));
}
