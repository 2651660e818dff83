//! A person's readings are the same whichever way they come: in uploads of the HealthKit SDK, or in the phone's `export.xml`.

use std::{collections::HashMap, sync::Arc};

use app::ingest::parse_healthkit;
use apple_health::{Batch, ExportReader, State};
use domain::{
    metric::Metric,
    sample::{ContentKey, DeviceKind, Sample},
};
use jiff::{Timestamp, civil::Date};
use simulator::{Simulation, SimulatorSettings};

fn uploaded(simulation: &Simulation) -> Vec<Sample> {
    let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let user = "7b0a2a53-3f5e-4a0e-9f0e-5a3c9a1f2b11";
    let parse = |upload: serde_json::Value| {
        let parsed = parse_healthkit(upload.to_string().as_bytes(), 1_000_000, now).unwrap();
        assert_eq!(parsed.rejected, []);
        parsed.samples
    };
    simulation.healthkit_uploads(user).into_iter().flat_map(parse).collect()
}

fn exported(simulation: &Simulation) -> Vec<Sample> {
    let mut xml = Vec::new();
    simulation.write_export_xml(&mut xml).unwrap();
    let mut reader = ExportReader::new(xml.as_slice());
    let (mut batch, mut samples) = (Batch::default(), Vec::new());
    loop {
        let state = reader.read(&mut batch, 777).unwrap();
        assert_eq!((batch.rejected_total, batch.unsupported.len()), (0, 0));
        for beats in &batch.beats {
            assert_eq!(beats.beats.len(), 64);
            assert!(
                beats.beats.windows(2).all(|pair| (300..2_000).contains(&(pair[1].at_ms - pair[0].at_ms)))
            );
        }
        samples.append(&mut batch.samples);
        if state == State::End {
            return samples;
        }
    }
}

fn by_key(samples: Vec<Sample>) -> HashMap<ContentKey, Sample> {
    let count = samples.len();
    let found: HashMap<ContentKey, Sample> =
        samples.into_iter().map(|sample| (sample.content_key(), sample)).collect();
    assert_eq!(found.len(), count, "two readings of one way in have one key");
    found
}

#[test]
fn an_export_holds_the_readings_of_the_uploads_under_the_same_keys() {
    // Summer time begins on the 29th, and a flight west is in it.
    let settings = SimulatorSettings {
        days: 30,
        seed: 7,
        start: Date::constant(2026, 3, 12),
        zone: "Europe/Berlin".to_owned(),
    };
    let simulation = Simulation::new(&settings).unwrap().with_chest_strap(120);
    let (uploaded, mut exported) = (by_key(uploaded(&simulation)), by_key(exported(&simulation)));
    assert!(uploaded.len() > 30_000, "{}", uploaded.len());
    assert_eq!(exported.len(), uploaded.len());
    for (key, upload) in uploaded {
        let export = exported.remove(&key).unwrap();
        assert_eq!(export.id, key.sample_id());
        assert_eq!(export.source, upload.source);
        // The strap names no zone; an upload tells where the phone is, and an export does not.
        if upload.source.device_kind() != DeviceKind::Other {
            assert_eq!(export.clock, upload.clock);
        }
        // An export tells more of a workout.
        if upload.metric != Metric::WORKOUT {
            assert_eq!(export.metadata, upload.metadata);
        }
        // The bits of the value, which the key holds, are those of the upload.
        assert!(
            Sample {
                id: upload.id,
                clock: Arc::clone(&upload.clock),
                metadata: upload.metadata.clone(),
                ..export
            } == upload
        );
    }
}
