//! Names that `export.xml` writes where HealthKit has numbers, from HealthKit's headers.

use domain::metric::Metric;

/// The number of a category's value by its name, such as 3 of `HKCategoryValueSleepAnalysisAsleepCore`. A name of another
/// category than the metric's own says nothing.
pub(crate) fn category(metric: Metric, name: &str) -> Option<i32> {
    let name = name.strip_prefix("HKCategoryValue")?;
    if name == "NotApplicable" {
        return Some(0);
    }
    let (kind, own, value) = match FAMILIES.iter().find(|(kind, ..)| name.starts_with(kind)) {
        Some((kind, own, values)) => {
            (kind, own, values.iter().find(|(value, _)| *value == &name[kind.len()..]))
        }
        None => return None,
    };
    let fits = if own.is_empty() { *kind != "SleepAnalysis" } else { own.contains(&metric) };
    value.filter(|_| fits).map(|(_, number)| *number)
}

type Family = (&'static str, &'static [Metric], &'static [(&'static str, i32)]);

/// Each enumeration by what its values' names begin with, the metrics that it is of (none named: any symptom), and its
/// values. One that begins as another does stands before it.
const FAMILIES: &[Family] = &[
    (
        "SleepAnalysis",
        &[Metric::SLEEP_ANALYSIS],
        // `Asleep` is what iOS wrote before stages.
        &[
            ("InBed", 0),
            ("Asleep", 1),
            ("AsleepUnspecified", 1),
            ("Awake", 2),
            ("AsleepCore", 3),
            ("AsleepDeep", 4),
            ("AsleepREM", 5),
        ],
    ),
    ("AppleStandHour", &[Metric::APPLE_STAND_HOUR], &[("Stood", 0), ("Idle", 1)]),
    (
        "AppleWalkingSteadinessEvent",
        &[Metric::APPLE_WALKING_STEADINESS_EVENT],
        &[("InitialLow", 1), ("InitialVeryLow", 2), ("RepeatLow", 3), ("RepeatVeryLow", 4)],
    ),
    (
        "CervicalMucusQuality",
        &[Metric::CERVICAL_MUCUS_QUALITY],
        &[("Dry", 1), ("Sticky", 2), ("Creamy", 3), ("Watery", 4), ("EggWhite", 5)],
    ),
    (
        "OvulationTestResult",
        &[Metric::OVULATION_TEST_RESULT],
        &[
            ("Negative", 1),
            ("Positive", 2),
            ("LuteinizingHormoneSurge", 2),
            ("Indeterminate", 3),
            ("EstrogenSurge", 4),
        ],
    ),
    (
        "MenstrualFlow",
        &[Metric::MENSTRUAL_FLOW],
        &[("Unspecified", 1), ("Light", 2), ("Medium", 3), ("Heavy", 4), ("None", 5)],
    ),
    (
        "VaginalBleeding",
        &[Metric::MENSTRUAL_FLOW, Metric::BLEEDING_AFTER_PREGNANCY, Metric::BLEEDING_DURING_PREGNANCY],
        &[("Unspecified", 1), ("Light", 2), ("Medium", 3), ("Heavy", 4), ("None", 5)],
    ),
    ("PregnancyTestResult", &[Metric::PREGNANCY_TEST_RESULT], TEST_RESULT),
    ("ProgesteroneTestResult", &[Metric::PROGESTERONE_TEST_RESULT], TEST_RESULT),
    (
        "Contraceptive",
        &[Metric::CONTRACEPTIVE],
        &[
            ("Unspecified", 1),
            ("Implant", 2),
            ("Injection", 3),
            ("IntrauterineDevice", 4),
            ("IntravaginalRing", 5),
            ("Oral", 6),
            ("Patch", 7),
        ],
    ),
    ("AudioExposureEvent", &[Metric::AUDIO_EXPOSURE_EVENT], &[("LoudEnvironment", 1)]),
    ("EnvironmentalAudioExposureEvent", &[Metric::AUDIO_EXPOSURE_EVENT], &[("MomentaryLimit", 1)]),
    ("HeadphoneAudioExposureEvent", &[Metric::HEADPHONE_AUDIO_EXPOSURE_EVENT], &[("SevenDayLimit", 1)]),
    ("LowCardioFitnessEvent", &[Metric::LOW_CARDIO_FITNESS_EVENT], &[("LowFitness", 1)]),
    (
        "AppetiteChanges",
        &[Metric::APPETITE_CHANGES],
        &[("Unspecified", 0), ("NoChange", 1), ("Decreased", 2), ("Increased", 3)],
    ),
    ("Severity", &[], &[("Unspecified", 0), ("NotPresent", 1), ("Mild", 2), ("Moderate", 3), ("Severe", 4)]),
    ("Presence", &[Metric::MOOD_CHANGES, Metric::SLEEP_CHANGES], &[("Present", 0), ("NotPresent", 1)]),
];

const TEST_RESULT: &[(&str, i32)] = &[("Negative", 1), ("Positive", 2), ("Indeterminate", 3)];

/// The number of `HKWorkoutActivityType` by its name, such as 37 of `HKWorkoutActivityTypeRunning`.
pub(crate) fn workout(name: &str) -> Option<i32> {
    let name = name.strip_prefix("HKWorkoutActivityType")?;
    if name == "Other" {
        return Some(3000);
    }
    let index = WORKOUTS.iter().position(|workout| !workout.is_empty() && *workout == name)?;
    i32::try_from(index + 1).ok()
}

/// In the order of their numbers, from 1; there is no 81.
const WORKOUTS: [&str; 84] = [
    "AmericanFootball",
    "Archery",
    "AustralianFootball",
    "Badminton",
    "Baseball",
    "Basketball",
    "Bowling",
    "Boxing",
    "Climbing",
    "Cricket",
    "CrossTraining",
    "Curling",
    "Cycling",
    "Dance",
    "DanceInspiredTraining",
    "Elliptical",
    "EquestrianSports",
    "Fencing",
    "Fishing",
    "FunctionalStrengthTraining",
    "Golf",
    "Gymnastics",
    "Handball",
    "Hiking",
    "Hockey",
    "Hunting",
    "Lacrosse",
    "MartialArts",
    "MindAndBody",
    "MixedMetabolicCardioTraining",
    "PaddleSports",
    "Play",
    "PreparationAndRecovery",
    "Racquetball",
    "Rowing",
    "Rugby",
    "Running",
    "Sailing",
    "SkatingSports",
    "SnowSports",
    "Soccer",
    "Softball",
    "Squash",
    "StairClimbing",
    "SurfingSports",
    "Swimming",
    "TableTennis",
    "Tennis",
    "TrackAndField",
    "TraditionalStrengthTraining",
    "Volleyball",
    "Walking",
    "WaterFitness",
    "WaterPolo",
    "WaterSports",
    "Wrestling",
    "Yoga",
    "Barre",
    "CoreTraining",
    "CrossCountrySkiing",
    "DownhillSkiing",
    "Flexibility",
    "HighIntensityIntervalTraining",
    "JumpRope",
    "Kickboxing",
    "Pilates",
    "Snowboarding",
    "Stairs",
    "StepTraining",
    "WheelchairWalkPace",
    "WheelchairRunPace",
    "TaiChi",
    "MixedCardio",
    "HandCycling",
    "DiscSports",
    "FitnessGaming",
    "CardioDance",
    "SocialDance",
    "Pickleball",
    "Cooldown",
    "",
    "SwimBikeRun",
    "Transition",
    "UnderwaterDiving",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_healthkits_numbers() {
        let sleep =
            |name: &str| category(Metric::SLEEP_ANALYSIS, &format!("HKCategoryValueSleepAnalysis{name}"));
        assert_eq!(sleep("InBed"), Some(0));
        assert_eq!(sleep("Asleep"), Some(1));
        assert_eq!(sleep("AsleepUnspecified"), Some(1));
        assert_eq!(sleep("AsleepREM"), Some(5));
        assert_eq!(sleep("Dreaming"), None);
        assert_eq!(category(Metric::HEADACHE, "HKCategoryValueSeverityModerate"), Some(3));
        assert_eq!(category(Metric::HEADACHE, "HKCategoryValueSleepAnalysisAwake"), None);
        assert_eq!(category(Metric::SLEEP_ANALYSIS, "HKCategoryValueAppleStandHourIdle"), None);
        assert_eq!(category(Metric::MINDFUL_SESSION, "HKCategoryValueNotApplicable"), Some(0));
        for (name, number) in [
            ("AmericanFootball", 1),
            ("Cycling", 13),
            ("Elliptical", 16),
            ("Hiking", 24),
            ("Running", 37),
            ("Swimming", 46),
            ("Tennis", 48),
            ("Walking", 52),
            ("Yoga", 57),
            ("Barre", 58),
            ("HighIntensityIntervalTraining", 63),
            ("TaiChi", 72),
            ("MixedCardio", 73),
            ("Pickleball", 79),
            ("SwimBikeRun", 82),
            ("UnderwaterDiving", 84),
            ("Other", 3000),
        ] {
            assert_eq!(workout(&format!("HKWorkoutActivityType{name}")), Some(number), "{name}");
        }
        assert_eq!(workout("HKWorkoutActivityType"), None);
        assert_eq!(workout("HKWorkoutActivityTypeNapping"), None);
    }
}
