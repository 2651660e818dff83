//! The recordings as a phone exports them: `export.xml`, with the records of each type together.

use std::io::{self, Write};

use crate::{
    Simulation,
    calendar::{Minute, timestamp},
    devices::{Device, Kind, Measured, Reading, kind},
    formats::{PHONE, WATCH, name},
    truth::quantity,
};

/// The types in the order in which they are written.
const KINDS: [Kind; 11] = [
    kind::OXYGEN,
    kind::HEART_RATE,
    kind::RESPIRATORY_RATE,
    kind::STEPS,
    kind::DISTANCE,
    kind::BASAL_ENERGY,
    kind::ACTIVE_ENERGY,
    kind::FLIGHTS,
    kind::EXERCISE,
    kind::RESTING_HEART_RATE,
    kind::HRV,
];

const SLEEP: [&str; 6] = ["InBed", "AsleepUnspecified", "Awake", "AsleepCore", "AsleepDeep", "AsleepREM"];

/// As Apple writes it, in part. Its own declarations are longer, and not always well-formed.
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT ExportDate EMPTY>
<!ATTLIST ExportDate
  value CDATA #REQUIRED
>
<!ELEMENT Me EMPTY>
<!ATTLIST Me
  HKCharacteristicTypeIdentifierDateOfBirth         CDATA #REQUIRED
  HKCharacteristicTypeIdentifierBiologicalSex       CDATA #REQUIRED
  HKCharacteristicTypeIdentifierBloodType           CDATA #REQUIRED
  HKCharacteristicTypeIdentifierFitzpatrickSkinType CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
<!ATTLIST Record
  type          CDATA #REQUIRED
  unit          CDATA #IMPLIED
  value         CDATA #IMPLIED
  sourceName    CDATA #REQUIRED
  sourceVersion CDATA #IMPLIED
  device        CDATA #IMPLIED
  creationDate  CDATA #IMPLIED
  startDate     CDATA #REQUIRED
  endDate       CDATA #REQUIRED
>
<!-- Note: Any Records that appear as children of a correlation also appear as top-level records in this document. -->
<!ELEMENT Correlation ((MetadataEntry|Record)*)>
<!ELEMENT Workout ((MetadataEntry|WorkoutEvent|WorkoutRoute|WorkoutStatistics)*)>
<!ELEMENT ActivitySummary EMPTY>
<!ELEMENT MetadataEntry EMPTY>
<!ATTLIST MetadataEntry
  key   CDATA #REQUIRED
  value CDATA #REQUIRED
>
<!ELEMENT HeartRateVariabilityMetadataList (InstantaneousBeatsPerMinute*)>
<!ELEMENT InstantaneousBeatsPerMinute EMPTY>
<!ATTLIST InstantaneousBeatsPerMinute
  bpm  CDATA #REQUIRED
  time CDATA #REQUIRED
>
]>
"#;

const ME: &str = concat!(
    r#" <Me HKCharacteristicTypeIdentifierDateOfBirth="1990-01-01""#,
    r#" HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexNotSet""#,
    r#" HKCharacteristicTypeIdentifierBloodType="HKBloodTypeNotSet""#,
    r#" HKCharacteristicTypeIdentifierFitzpatrickSkinType="HKFitzpatrickSkinTypeNotSet"/>"#,
);

impl Simulation {
    /// Writes the person's `export.xml`: the same readings as [`Simulation::healthkit_uploads`] holds. As a phone does, it names
    /// no ids. Nothing is held in memory beyond the simulation itself.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_export_xml(&self, out: &mut impl Write) -> io::Result<()> {
        let mut export = Export { simulation: self, out, clock: Clock::default() };
        export.out.write_all(HEAD.as_bytes())?;
        writeln!(export.out, "<HealthData locale=\"de_DE\">")?;
        let end = self.calendar.days.last().map_or(0, |day| day.end * 60);
        write!(export.out, " <ExportDate value=\"")?;
        export.date(end)?;
        writeln!(export.out, "\"/>\n{ME}")?;
        for kind in KINDS {
            for reading in self.readings.iter().filter(|reading| quantity(reading, kind).is_some()) {
                export.record(reading)?;
            }
            if kind == kind::HEART_RATE {
                self.strap().try_for_each(|reading| export.record(&reading))?;
            }
        }
        let of = |is_wanted: fn(&Measured) -> bool| {
            self.readings.iter().filter(move |reading| is_wanted(&reading.measured))
        };
        of(|measured| matches!(measured, Measured::Sleep(_)))
            .try_for_each(|reading| export.record(reading))?;
        of(|measured| matches!(measured, Measured::Workout))
            .try_for_each(|reading| export.workout(reading))?;
        export.summaries()?;
        export.out.write_all(b"</HealthData>\n")
    }
}

struct Export<'s, W> {
    simulation: &'s Simulation,
    out: &'s mut W,
    clock: Clock,
}

impl<W: Write> Export<'_, W> {
    fn record(&mut self, reading: &Reading) -> io::Result<()> {
        let identifier = match reading.measured {
            Measured::Quantity { kind, .. } => kind.identifier,
            _ => "HKCategoryTypeIdentifierSleepAnalysis",
        };
        write!(self.out, " <Record type=\"{identifier}\"")?;
        self.source(reading)?;
        if let Measured::Quantity { kind, .. } = reading.measured {
            write!(self.out, " unit=\"{}\"", kind.unit)?;
        }
        self.dates(reading)?;
        match reading.measured {
            Measured::Quantity { value, .. } => write!(self.out, " value=\"{value}\"")?,
            Measured::Sleep(stage) => {
                let stage = usize::try_from(stage).ok().and_then(|stage| SLEEP.get(stage)).copied();
                write!(self.out, " value=\"HKCategoryValueSleepAnalysis{}\"", stage.unwrap_or_default())?;
            }
            Measured::Workout => {}
        }
        if reading.device == Device::Strap {
            return self.out.write_all(b"/>\n");
        }
        self.out.write_all(b">\n")?;
        self.zone(reading)?;
        if let Some(sdnn) = quantity(reading, kind::HRV) {
            self.beats(reading, sdnn)?;
        }
        self.out.write_all(b" </Record>\n")
    }

    fn source(&mut self, reading: &Reading) -> io::Result<()> {
        let (version, product) = match reading.device {
            Device::Watch => ("11.2", Some(("Watch", WATCH))),
            Device::Phone => ("18.2", Some(("iPhone", PHONE))),
            Device::Strap => ("5.12.0", None),
        };
        let name = name(reading.device);
        write!(self.out, " sourceName=\"{name}\" sourceVersion=\"{version}\"")?;
        if let Some((model, hardware)) = product {
            // Where the device's description lay in the phone's memory, which is another each time.
            let address = 0x2_8100_0000 + (reading.id.as_u128() & 0x3f_ffe0);
            write!(
                self.out,
                " device=\"&lt;&lt;HKDevice: {address:#x}&gt;, name:{name}, manufacturer:Apple Inc., model:{model}, \
                 hardware:{hardware}, software:{version}&gt;\""
            )?;
        }
        Ok(())
    }

    fn dates(&mut self, reading: &Reading) -> io::Result<()> {
        for (name, second) in
            [("creationDate", reading.end), ("startDate", reading.start), ("endDate", reading.end)]
        {
            write!(self.out, " {name}=\"")?;
            self.date(second)?;
            self.out.write_all(b"\"")?;
        }
        Ok(())
    }

    fn date(&mut self, second: i64) -> io::Result<()> {
        let minute = second.div_euclid(60);
        if self.clock.minute != Some(minute) {
            self.clock = Clock::at(self.simulation, minute);
        }
        write!(self.out, "{}{:02} {}", self.clock.to_minute, second.rem_euclid(60), self.clock.offset)
    }

    fn zone(&mut self, reading: &Reading) -> io::Result<()> {
        let zone = &self.simulation.calendar.place(reading.start.div_euclid(60)).name;
        writeln!(self.out, "  <MetadataEntry key=\"HKTimeZone\" value=\"{zone}\"/>")
    }

    /// A minute of beats that rise and fall with the breath, five seconds each way, and deviate by `sdnn`.
    fn beats(&mut self, reading: &Reading, sdnn: f64) -> io::Result<()> {
        // The standard deviation of a triangle wave is its height by the root of three.
        let (mean_ms, height_ms) = (920.0, sdnn * 3_f64.sqrt());
        self.out.write_all(b"  <HeartRateVariabilityMetadataList>\n")?;
        let mut at_ms = 0.0;
        for beat in 0..64_u32 {
            let phase = f64::from(beat % 10);
            let interval_ms = mean_ms + height_ms * ((phase - 5.0).abs() / 2.5 - 1.0);
            at_ms += interval_ms;
            let (second, hundredths) = (at_ms / 1000.0, (at_ms % 1000.0 / 10.0).floor());
            let rate = (60_000.0 / interval_ms).round();
            write!(self.out, "   <InstantaneousBeatsPerMinute bpm=\"{rate}\" time=\"")?;
            self.time(reading.start + whole(second))?;
            writeln!(self.out, ",{hundredths:02}\"/>")?;
        }
        self.out.write_all(b"  </HeartRateVariabilityMetadataList>\n")
    }

    fn time(&mut self, second: i64) -> io::Result<()> {
        let clock = Clock::at(self.simulation, second.div_euclid(60));
        write!(self.out, "{}{:02}", clock.to_minute.get(11..).unwrap_or_default(), second.rem_euclid(60))
    }

    fn workout(&mut self, reading: &Reading) -> io::Result<()> {
        let minutes = (reading.end - reading.start) / 60;
        write!(
            self.out,
            " <Workout workoutActivityType=\"HKWorkoutActivityTypeRunning\" duration=\"{minutes}\" durationUnit=\"min\""
        )?;
        self.source(reading)?;
        self.dates(reading)?;
        self.out.write_all(b">\n")?;
        self.zone(reading)?;
        let energy: f64 = self
            .simulation
            .readings
            .iter()
            .filter(|other| reading.start <= other.start && other.end <= reading.end)
            .filter_map(|other| quantity(other, kind::ACTIVE_ENERGY))
            .sum();
        write!(self.out, "  <WorkoutStatistics type=\"{}\" startDate=\"", kind::ACTIVE_ENERGY.identifier)?;
        self.date(reading.start)?;
        self.out.write_all(b"\" endDate=\"")?;
        self.date(reading.end)?;
        writeln!(self.out, "\" sum=\"{energy}\" unit=\"{}\"/>\n </Workout>", kind::ACTIVE_ENERGY.unit)
    }

    fn summaries(&mut self) -> io::Result<()> {
        for day in self.simulation.truth() {
            writeln!(
                self.out,
                " <ActivitySummary dateComponents=\"{}\" activeEnergyBurned=\"{}\" activeEnergyBurnedGoal=\"500\" \
                 activeEnergyBurnedUnit=\"kcal\" appleExerciseTimeGoal=\"30\" appleStandHoursGoal=\"12\"/>",
                day.date, day.active_energy_kcal
            )?;
        }
        Ok(())
    }
}

/// The local clock of a minute, as text: years of seconds are written, and most are of the minute of the one before.
#[derive(Default)]
struct Clock {
    minute: Option<Minute>,
    to_minute: String,
    offset: String,
}

impl Clock {
    fn at(simulation: &Simulation, minute: Minute) -> Self {
        let offset = simulation.calendar.place(minute).offset(minute);
        let local = offset.to_datetime(timestamp(minute * 60));
        let (date, time, seconds) = (local.date(), local.time(), offset.seconds());
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        Self {
            minute: Some(minute),
            to_minute: format!("{date} {:02}:{:02}:", time.hour(), time.minute()),
            offset: format!("{sign}{:02}{:02}", minutes / 60, minutes % 60),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of some minutes")]
fn whole(value: f64) -> i64 {
    value.floor() as i64
}
