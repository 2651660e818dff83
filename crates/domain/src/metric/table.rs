//! The rows of the catalogue, in the order of their identifiers so that one can be found by binary search.
//!
//! Ranges are wide on purpose: they refuse what no body and no device produces (a heart rate of 4,000), not what is rare.
//! A LOINC code stands only where it means the same thing as the HealthKit type, not where it is merely close: 41950-7,
//! for example, is steps in 24 hours and no HealthKit sample covers that.

use super::{Aggregation, Metric, MetricKind};

pub(super) struct Row {
    pub(super) identifier: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) unit: &'static str,
    pub(super) loinc: Option<&'static str>,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) aggregation: Aggregation,
}

/// Makes the table, and a constant for each row by its position.
macro_rules! catalogue {
    (@loinc -) => { None };
    (@loinc $code:literal) => { Some($code) };
    ($($constant:ident $name:literal $identifier:literal $kind:ident $unit:literal $loinc:tt $min:literal $max:literal
       $aggregation:ident;)+) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "variants count the constants of the same name")]
        #[derive(Clone, Copy)]
        enum Position { $($constant),+ }

        impl Metric {
            $(
                #[doc = concat!("`", $identifier, "`, in `", $unit, "`.")]
                pub const $constant: Self = Self(Position::$constant as u8);
            )+
        }

        pub(super) static TABLE: &[Row] = &[$(Row {
            identifier: $identifier,
            name: $name,
            kind: MetricKind::$kind,
            unit: $unit,
            loinc: catalogue!(@loinc $loinc),
            min: $min,
            max: $max,
            aggregation: Aggregation::$aggregation,
        }),+];
    };
}

// constant, short name, identifier, kind, UCUM unit, LOINC code, least and greatest plausible value, aggregation
catalogue! {
    ACTIVE_TIME "active_time" "ClarityQuantityTypeIdentifierActiveTime" Quantity "min" - 0.0 1440.0 Cumulative;
    ANXIETY_LEVEL "anxiety_level" "ClarityQuantityTypeIdentifierAnxietyLevel" Quantity "{score}" - 1.0 10.0 Discrete;
    ENERGY_LEVEL "energy_level" "ClarityQuantityTypeIdentifierEnergyLevel" Quantity "{score}" - 1.0 10.0 Discrete;
    FOCUS_RATING "focus_rating" "ClarityQuantityTypeIdentifierFocusRating" Quantity "{score}" - 1.0 10.0 Discrete;
    MOOD_SCORE "mood_score" "ClarityQuantityTypeIdentifierMoodScore" Quantity "{score}" - 1.0 5.0 Discrete;
    REPORTED_AWAKE_TIME "reported_awake_time" "ClarityQuantityTypeIdentifierReportedAwakeTime" Quantity "min" - 0.0 1440.0 Discrete;
    REPORTED_AWAKENINGS "reported_awakenings" "ClarityQuantityTypeIdentifierReportedAwakenings" Quantity "{count}" - 0.0 200.0 Discrete;
    REPORTED_DEEP_SLEEP "reported_deep_sleep" "ClarityQuantityTypeIdentifierReportedDeepSleep" Quantity "min" "93831-6" 0.0 1440.0 Discrete;
    REPORTED_LIGHT_SLEEP "reported_light_sleep" "ClarityQuantityTypeIdentifierReportedLightSleep" Quantity "min" "93830-8" 0.0 1440.0 Discrete;
    REPORTED_REM_SLEEP "reported_rem_sleep" "ClarityQuantityTypeIdentifierReportedRemSleep" Quantity "min" "93829-0" 0.0 1440.0 Discrete;
    REPORTED_SLEEP_DURATION "reported_sleep_duration" "ClarityQuantityTypeIdentifierReportedSleepDuration" Quantity "min" "93832-4" 0.0 1440.0 Discrete;
    REPORTED_SLEEP_EFFICIENCY "reported_sleep_efficiency" "ClarityQuantityTypeIdentifierReportedSleepEfficiency" Quantity "1" - 0.0 1.0 Discrete;
    REPORTED_SLEEP_LATENCY "reported_sleep_latency" "ClarityQuantityTypeIdentifierReportedSleepLatency" Quantity "min" - 0.0 1440.0 Discrete;
    SOCIAL_INTERACTION_TIME "social_interaction_time" "ClarityQuantityTypeIdentifierSocialInteractionTime" Quantity "min" - 0.0 1440.0 Cumulative;
    STRESS_LEVEL "stress_level" "ClarityQuantityTypeIdentifierStressLevel" Quantity "{score}" - 1.0 10.0 Discrete;
    ABDOMINAL_CRAMPS "abdominal_cramps" "HKCategoryTypeIdentifierAbdominalCramps" Category "{code}" - 0.0 4.0 Discrete;
    ACNE "acne" "HKCategoryTypeIdentifierAcne" Category "{code}" - 0.0 4.0 Discrete;
    APPETITE_CHANGES "appetite_changes" "HKCategoryTypeIdentifierAppetiteChanges" Category "{code}" - 0.0 3.0 Discrete;
    APPLE_STAND_HOUR "apple_stand_hour" "HKCategoryTypeIdentifierAppleStandHour" Category "{code}" - 0.0 1.0 Discrete;
    APPLE_WALKING_STEADINESS_EVENT "apple_walking_steadiness_event" "HKCategoryTypeIdentifierAppleWalkingSteadinessEvent" Category "{code}" - 1.0 4.0 Discrete;
    AUDIO_EXPOSURE_EVENT "audio_exposure_event" "HKCategoryTypeIdentifierAudioExposureEvent" Category "{code}" - 1.0 1.0 Discrete;
    BLADDER_INCONTINENCE "bladder_incontinence" "HKCategoryTypeIdentifierBladderIncontinence" Category "{code}" - 0.0 4.0 Discrete;
    BLEEDING_AFTER_PREGNANCY "bleeding_after_pregnancy" "HKCategoryTypeIdentifierBleedingAfterPregnancy" Category "{code}" - 1.0 5.0 Discrete;
    BLEEDING_DURING_PREGNANCY "bleeding_during_pregnancy" "HKCategoryTypeIdentifierBleedingDuringPregnancy" Category "{code}" - 1.0 5.0 Discrete;
    BLOATING "bloating" "HKCategoryTypeIdentifierBloating" Category "{code}" - 0.0 4.0 Discrete;
    BREAST_PAIN "breast_pain" "HKCategoryTypeIdentifierBreastPain" Category "{code}" - 0.0 4.0 Discrete;
    CERVICAL_MUCUS_QUALITY "cervical_mucus_quality" "HKCategoryTypeIdentifierCervicalMucusQuality" Category "{code}" - 1.0 5.0 Discrete;
    CHEST_TIGHTNESS_OR_PAIN "chest_tightness_or_pain" "HKCategoryTypeIdentifierChestTightnessOrPain" Category "{code}" - 0.0 4.0 Discrete;
    CHILLS "chills" "HKCategoryTypeIdentifierChills" Category "{code}" - 0.0 4.0 Discrete;
    CONSTIPATION "constipation" "HKCategoryTypeIdentifierConstipation" Category "{code}" - 0.0 4.0 Discrete;
    CONTRACEPTIVE "contraceptive" "HKCategoryTypeIdentifierContraceptive" Category "{code}" - 1.0 7.0 Discrete;
    COUGHING "coughing" "HKCategoryTypeIdentifierCoughing" Category "{code}" - 0.0 4.0 Discrete;
    DIARRHEA "diarrhea" "HKCategoryTypeIdentifierDiarrhea" Category "{code}" - 0.0 4.0 Discrete;
    DIZZINESS "dizziness" "HKCategoryTypeIdentifierDizziness" Category "{code}" - 0.0 4.0 Discrete;
    DRY_SKIN "dry_skin" "HKCategoryTypeIdentifierDrySkin" Category "{code}" - 0.0 4.0 Discrete;
    FAINTING "fainting" "HKCategoryTypeIdentifierFainting" Category "{code}" - 0.0 4.0 Discrete;
    FATIGUE "fatigue" "HKCategoryTypeIdentifierFatigue" Category "{code}" - 0.0 4.0 Discrete;
    FEVER "fever" "HKCategoryTypeIdentifierFever" Category "{code}" - 0.0 4.0 Discrete;
    GENERALIZED_BODY_ACHE "generalized_body_ache" "HKCategoryTypeIdentifierGeneralizedBodyAche" Category "{code}" - 0.0 4.0 Discrete;
    HAIR_LOSS "hair_loss" "HKCategoryTypeIdentifierHairLoss" Category "{code}" - 0.0 4.0 Discrete;
    HANDWASHING_EVENT "handwashing_event" "HKCategoryTypeIdentifierHandwashingEvent" Category "{code}" - 0.0 0.0 Discrete;
    HEADACHE "headache" "HKCategoryTypeIdentifierHeadache" Category "{code}" - 0.0 4.0 Discrete;
    HEADPHONE_AUDIO_EXPOSURE_EVENT "headphone_audio_exposure_event" "HKCategoryTypeIdentifierHeadphoneAudioExposureEvent" Category "{code}" - 1.0 1.0 Discrete;
    HEARTBURN "heartburn" "HKCategoryTypeIdentifierHeartburn" Category "{code}" - 0.0 4.0 Discrete;
    HIGH_HEART_RATE_EVENT "high_heart_rate_event" "HKCategoryTypeIdentifierHighHeartRateEvent" Category "{code}" - 0.0 0.0 Discrete;
    HOT_FLASHES "hot_flashes" "HKCategoryTypeIdentifierHotFlashes" Category "{code}" - 0.0 4.0 Discrete;
    INFREQUENT_MENSTRUAL_CYCLES "infrequent_menstrual_cycles" "HKCategoryTypeIdentifierInfrequentMenstrualCycles" Category "{code}" - 0.0 0.0 Discrete;
    INTERMENSTRUAL_BLEEDING "intermenstrual_bleeding" "HKCategoryTypeIdentifierIntermenstrualBleeding" Category "{code}" - 0.0 0.0 Discrete;
    IRREGULAR_HEART_RHYTHM_EVENT "irregular_heart_rhythm_event" "HKCategoryTypeIdentifierIrregularHeartRhythmEvent" Category "{code}" - 0.0 0.0 Discrete;
    IRREGULAR_MENSTRUAL_CYCLES "irregular_menstrual_cycles" "HKCategoryTypeIdentifierIrregularMenstrualCycles" Category "{code}" - 0.0 0.0 Discrete;
    LACTATION "lactation" "HKCategoryTypeIdentifierLactation" Category "{code}" - 0.0 0.0 Discrete;
    LOSS_OF_SMELL "loss_of_smell" "HKCategoryTypeIdentifierLossOfSmell" Category "{code}" - 0.0 4.0 Discrete;
    LOSS_OF_TASTE "loss_of_taste" "HKCategoryTypeIdentifierLossOfTaste" Category "{code}" - 0.0 4.0 Discrete;
    LOW_CARDIO_FITNESS_EVENT "low_cardio_fitness_event" "HKCategoryTypeIdentifierLowCardioFitnessEvent" Category "{code}" - 1.0 1.0 Discrete;
    LOW_HEART_RATE_EVENT "low_heart_rate_event" "HKCategoryTypeIdentifierLowHeartRateEvent" Category "{code}" - 0.0 0.0 Discrete;
    LOWER_BACK_PAIN "lower_back_pain" "HKCategoryTypeIdentifierLowerBackPain" Category "{code}" - 0.0 4.0 Discrete;
    MEMORY_LAPSE "memory_lapse" "HKCategoryTypeIdentifierMemoryLapse" Category "{code}" - 0.0 4.0 Discrete;
    MENSTRUAL_FLOW "menstrual_flow" "HKCategoryTypeIdentifierMenstrualFlow" Category "{code}" - 1.0 5.0 Discrete;
    MINDFUL_SESSION "mindful_session" "HKCategoryTypeIdentifierMindfulSession" Category "{code}" - 0.0 0.0 Discrete;
    MOOD_CHANGES "mood_changes" "HKCategoryTypeIdentifierMoodChanges" Category "{code}" - 0.0 1.0 Discrete;
    NAUSEA "nausea" "HKCategoryTypeIdentifierNausea" Category "{code}" - 0.0 4.0 Discrete;
    NIGHT_SWEATS "night_sweats" "HKCategoryTypeIdentifierNightSweats" Category "{code}" - 0.0 4.0 Discrete;
    OVULATION_TEST_RESULT "ovulation_test_result" "HKCategoryTypeIdentifierOvulationTestResult" Category "{code}" - 1.0 4.0 Discrete;
    PELVIC_PAIN "pelvic_pain" "HKCategoryTypeIdentifierPelvicPain" Category "{code}" - 0.0 4.0 Discrete;
    PERSISTENT_INTERMENSTRUAL_BLEEDING "persistent_intermenstrual_bleeding" "HKCategoryTypeIdentifierPersistentIntermenstrualBleeding" Category "{code}" - 0.0 0.0 Discrete;
    PREGNANCY "pregnancy" "HKCategoryTypeIdentifierPregnancy" Category "{code}" - 0.0 0.0 Discrete;
    PREGNANCY_TEST_RESULT "pregnancy_test_result" "HKCategoryTypeIdentifierPregnancyTestResult" Category "{code}" - 1.0 3.0 Discrete;
    PROGESTERONE_TEST_RESULT "progesterone_test_result" "HKCategoryTypeIdentifierProgesteroneTestResult" Category "{code}" - 1.0 3.0 Discrete;
    PROLONGED_MENSTRUAL_PERIODS "prolonged_menstrual_periods" "HKCategoryTypeIdentifierProlongedMenstrualPeriods" Category "{code}" - 0.0 0.0 Discrete;
    RAPID_POUNDING_OR_FLUTTERING_HEARTBEAT "rapid_pounding_or_fluttering_heartbeat" "HKCategoryTypeIdentifierRapidPoundingOrFlutteringHeartbeat" Category "{code}" - 0.0 4.0 Discrete;
    RUNNY_NOSE "runny_nose" "HKCategoryTypeIdentifierRunnyNose" Category "{code}" - 0.0 4.0 Discrete;
    SEXUAL_ACTIVITY "sexual_activity" "HKCategoryTypeIdentifierSexualActivity" Category "{code}" - 0.0 0.0 Discrete;
    SHORTNESS_OF_BREATH "shortness_of_breath" "HKCategoryTypeIdentifierShortnessOfBreath" Category "{code}" - 0.0 4.0 Discrete;
    SINUS_CONGESTION "sinus_congestion" "HKCategoryTypeIdentifierSinusCongestion" Category "{code}" - 0.0 4.0 Discrete;
    SKIPPED_HEARTBEAT "skipped_heartbeat" "HKCategoryTypeIdentifierSkippedHeartbeat" Category "{code}" - 0.0 4.0 Discrete;
    SLEEP_ANALYSIS "sleep_analysis" "HKCategoryTypeIdentifierSleepAnalysis" Category "{code}" - 0.0 5.0 Discrete;
    SLEEP_APNEA_EVENT "sleep_apnea_event" "HKCategoryTypeIdentifierSleepApneaEvent" Category "{code}" - 0.0 0.0 Discrete;
    SLEEP_CHANGES "sleep_changes" "HKCategoryTypeIdentifierSleepChanges" Category "{code}" - 0.0 1.0 Discrete;
    SORE_THROAT "sore_throat" "HKCategoryTypeIdentifierSoreThroat" Category "{code}" - 0.0 4.0 Discrete;
    TOOTHBRUSHING_EVENT "toothbrushing_event" "HKCategoryTypeIdentifierToothbrushingEvent" Category "{code}" - 0.0 0.0 Discrete;
    VAGINAL_DRYNESS "vaginal_dryness" "HKCategoryTypeIdentifierVaginalDryness" Category "{code}" - 0.0 4.0 Discrete;
    VOMITING "vomiting" "HKCategoryTypeIdentifierVomiting" Category "{code}" - 0.0 4.0 Discrete;
    WHEEZING "wheezing" "HKCategoryTypeIdentifierWheezing" Category "{code}" - 0.0 4.0 Discrete;
    ACTIVE_ENERGY_BURNED "active_energy_burned" "HKQuantityTypeIdentifierActiveEnergyBurned" Quantity "kcal" "41981-2" 0.0 20_000.0 Cumulative;
    APPLE_EXERCISE_TIME "apple_exercise_time" "HKQuantityTypeIdentifierAppleExerciseTime" Quantity "min" - 0.0 1440.0 Cumulative;
    APPLE_MOVE_TIME "apple_move_time" "HKQuantityTypeIdentifierAppleMoveTime" Quantity "min" - 0.0 1440.0 Cumulative;
    APPLE_SLEEPING_BREATHING_DISTURBANCES "apple_sleeping_breathing_disturbances" "HKQuantityTypeIdentifierAppleSleepingBreathingDisturbances" Quantity "{count}" - 0.0 2000.0 Discrete;
    APPLE_SLEEPING_WRIST_TEMPERATURE "apple_sleeping_wrist_temperature" "HKQuantityTypeIdentifierAppleSleepingWristTemperature" Quantity "Cel" - 20.0 45.0 Discrete;
    APPLE_STAND_TIME "apple_stand_time" "HKQuantityTypeIdentifierAppleStandTime" Quantity "min" - 0.0 1440.0 Cumulative;
    APPLE_WALKING_STEADINESS "apple_walking_steadiness" "HKQuantityTypeIdentifierAppleWalkingSteadiness" Quantity "%" - 0.0 100.0 Discrete;
    ATRIAL_FIBRILLATION_BURDEN "atrial_fibrillation_burden" "HKQuantityTypeIdentifierAtrialFibrillationBurden" Quantity "%" - 0.0 100.0 Discrete;
    BASAL_BODY_TEMPERATURE "basal_body_temperature" "HKQuantityTypeIdentifierBasalBodyTemperature" Quantity "Cel" - 20.0 45.0 Discrete;
    BASAL_ENERGY_BURNED "basal_energy_burned" "HKQuantityTypeIdentifierBasalEnergyBurned" Quantity "kcal" - 0.0 20_000.0 Cumulative;
    BLOOD_ALCOHOL_CONTENT "blood_alcohol_content" "HKQuantityTypeIdentifierBloodAlcoholContent" Quantity "%" - 0.0 5.0 Discrete;
    BLOOD_GLUCOSE "blood_glucose" "HKQuantityTypeIdentifierBloodGlucose" Quantity "mg/dL" "2339-0" 5.0 2000.0 Discrete;
    BLOOD_PRESSURE_DIASTOLIC "blood_pressure_diastolic" "HKQuantityTypeIdentifierBloodPressureDiastolic" Quantity "mm[Hg]" "8462-4" 10.0 250.0 Discrete;
    BLOOD_PRESSURE_SYSTOLIC "blood_pressure_systolic" "HKQuantityTypeIdentifierBloodPressureSystolic" Quantity "mm[Hg]" "8480-6" 30.0 350.0 Discrete;
    BODY_FAT_PERCENTAGE "body_fat_percentage" "HKQuantityTypeIdentifierBodyFatPercentage" Quantity "%" "41982-0" 0.0 80.0 Discrete;
    BODY_MASS "body_mass" "HKQuantityTypeIdentifierBodyMass" Quantity "kg" "29463-7" 0.2 700.0 Discrete;
    BODY_MASS_INDEX "body_mass_index" "HKQuantityTypeIdentifierBodyMassIndex" Quantity "kg/m2" "39156-5" 5.0 200.0 Discrete;
    BODY_TEMPERATURE "body_temperature" "HKQuantityTypeIdentifierBodyTemperature" Quantity "Cel" "8310-5" 20.0 45.0 Discrete;
    CROSS_COUNTRY_SKIING_SPEED "cross_country_skiing_speed" "HKQuantityTypeIdentifierCrossCountrySkiingSpeed" Quantity "m/s" - 0.0 40.0 Discrete;
    CYCLING_CADENCE "cycling_cadence" "HKQuantityTypeIdentifierCyclingCadence" Quantity "/min" - 0.0 300.0 Discrete;
    CYCLING_FUNCTIONAL_THRESHOLD_POWER "cycling_functional_threshold_power" "HKQuantityTypeIdentifierCyclingFunctionalThresholdPower" Quantity "W" - 0.0 1000.0 Discrete;
    CYCLING_POWER "cycling_power" "HKQuantityTypeIdentifierCyclingPower" Quantity "W" - 0.0 3000.0 Discrete;
    CYCLING_SPEED "cycling_speed" "HKQuantityTypeIdentifierCyclingSpeed" Quantity "m/s" - 0.0 40.0 Discrete;
    DIETARY_BIOTIN "dietary_biotin" "HKQuantityTypeIdentifierDietaryBiotin" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_CAFFEINE "dietary_caffeine" "HKQuantityTypeIdentifierDietaryCaffeine" Quantity "mg" - 0.0 20_000.0 Cumulative;
    DIETARY_CALCIUM "dietary_calcium" "HKQuantityTypeIdentifierDietaryCalcium" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_CARBOHYDRATES "dietary_carbohydrates" "HKQuantityTypeIdentifierDietaryCarbohydrates" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_CHLORIDE "dietary_chloride" "HKQuantityTypeIdentifierDietaryChloride" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_CHOLESTEROL "dietary_cholesterol" "HKQuantityTypeIdentifierDietaryCholesterol" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_CHROMIUM "dietary_chromium" "HKQuantityTypeIdentifierDietaryChromium" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_COPPER "dietary_copper" "HKQuantityTypeIdentifierDietaryCopper" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_ENERGY_CONSUMED "dietary_energy_consumed" "HKQuantityTypeIdentifierDietaryEnergyConsumed" Quantity "kcal" - 0.0 50_000.0 Cumulative;
    DIETARY_FAT_MONOUNSATURATED "dietary_fat_monounsaturated" "HKQuantityTypeIdentifierDietaryFatMonounsaturated" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_FAT_POLYUNSATURATED "dietary_fat_polyunsaturated" "HKQuantityTypeIdentifierDietaryFatPolyunsaturated" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_FAT_SATURATED "dietary_fat_saturated" "HKQuantityTypeIdentifierDietaryFatSaturated" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_FAT_TOTAL "dietary_fat_total" "HKQuantityTypeIdentifierDietaryFatTotal" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_FIBER "dietary_fiber" "HKQuantityTypeIdentifierDietaryFiber" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_FOLATE "dietary_folate" "HKQuantityTypeIdentifierDietaryFolate" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_IODINE "dietary_iodine" "HKQuantityTypeIdentifierDietaryIodine" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_IRON "dietary_iron" "HKQuantityTypeIdentifierDietaryIron" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_MAGNESIUM "dietary_magnesium" "HKQuantityTypeIdentifierDietaryMagnesium" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_MANGANESE "dietary_manganese" "HKQuantityTypeIdentifierDietaryManganese" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_MOLYBDENUM "dietary_molybdenum" "HKQuantityTypeIdentifierDietaryMolybdenum" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_NIACIN "dietary_niacin" "HKQuantityTypeIdentifierDietaryNiacin" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_PANTOTHENIC_ACID "dietary_pantothenic_acid" "HKQuantityTypeIdentifierDietaryPantothenicAcid" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_PHOSPHORUS "dietary_phosphorus" "HKQuantityTypeIdentifierDietaryPhosphorus" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_POTASSIUM "dietary_potassium" "HKQuantityTypeIdentifierDietaryPotassium" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_PROTEIN "dietary_protein" "HKQuantityTypeIdentifierDietaryProtein" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_RIBOFLAVIN "dietary_riboflavin" "HKQuantityTypeIdentifierDietaryRiboflavin" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_SELENIUM "dietary_selenium" "HKQuantityTypeIdentifierDietarySelenium" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_SODIUM "dietary_sodium" "HKQuantityTypeIdentifierDietarySodium" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_SUGAR "dietary_sugar" "HKQuantityTypeIdentifierDietarySugar" Quantity "g" - 0.0 10_000.0 Cumulative;
    DIETARY_THIAMIN "dietary_thiamin" "HKQuantityTypeIdentifierDietaryThiamin" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_A "dietary_vitamin_a" "HKQuantityTypeIdentifierDietaryVitaminA" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_B12 "dietary_vitamin_b12" "HKQuantityTypeIdentifierDietaryVitaminB12" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_B6 "dietary_vitamin_b6" "HKQuantityTypeIdentifierDietaryVitaminB6" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_C "dietary_vitamin_c" "HKQuantityTypeIdentifierDietaryVitaminC" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_D "dietary_vitamin_d" "HKQuantityTypeIdentifierDietaryVitaminD" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_E "dietary_vitamin_e" "HKQuantityTypeIdentifierDietaryVitaminE" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DIETARY_VITAMIN_K "dietary_vitamin_k" "HKQuantityTypeIdentifierDietaryVitaminK" Quantity "ug" - 0.0 1_000_000.0 Cumulative;
    DIETARY_WATER "dietary_water" "HKQuantityTypeIdentifierDietaryWater" Quantity "L" - 0.0 50.0 Cumulative;
    DIETARY_ZINC "dietary_zinc" "HKQuantityTypeIdentifierDietaryZinc" Quantity "mg" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_CROSS_COUNTRY_SKIING "distance_cross_country_skiing" "HKQuantityTypeIdentifierDistanceCrossCountrySkiing" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_CYCLING "distance_cycling" "HKQuantityTypeIdentifierDistanceCycling" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_DOWNHILL_SNOW_SPORTS "distance_downhill_snow_sports" "HKQuantityTypeIdentifierDistanceDownhillSnowSports" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_PADDLE_SPORTS "distance_paddle_sports" "HKQuantityTypeIdentifierDistancePaddleSports" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_ROWING "distance_rowing" "HKQuantityTypeIdentifierDistanceRowing" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_SKATING_SPORTS "distance_skating_sports" "HKQuantityTypeIdentifierDistanceSkatingSports" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_SWIMMING "distance_swimming" "HKQuantityTypeIdentifierDistanceSwimming" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_WALKING_RUNNING "distance_walking_running" "HKQuantityTypeIdentifierDistanceWalkingRunning" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    DISTANCE_WHEELCHAIR "distance_wheelchair" "HKQuantityTypeIdentifierDistanceWheelchair" Quantity "m" - 0.0 1_000_000.0 Cumulative;
    ELECTRODERMAL_ACTIVITY "electrodermal_activity" "HKQuantityTypeIdentifierElectrodermalActivity" Quantity "uS" - 0.0 200.0 Discrete;
    ENVIRONMENTAL_AUDIO_EXPOSURE "environmental_audio_exposure" "HKQuantityTypeIdentifierEnvironmentalAudioExposure" Quantity "dB[SPL]" - 0.0 200.0 Discrete;
    ENVIRONMENTAL_SOUND_REDUCTION "environmental_sound_reduction" "HKQuantityTypeIdentifierEnvironmentalSoundReduction" Quantity "dB[SPL]" - 0.0 200.0 Discrete;
    ESTIMATED_WORKOUT_EFFORT_SCORE "estimated_workout_effort_score" "HKQuantityTypeIdentifierEstimatedWorkoutEffortScore" Quantity "{score}" - 0.0 10.0 Discrete;
    FLIGHTS_CLIMBED "flights_climbed" "HKQuantityTypeIdentifierFlightsClimbed" Quantity "{flights}" - 0.0 2000.0 Cumulative;
    FORCED_EXPIRATORY_VOLUME_1 "forced_expiratory_volume_1" "HKQuantityTypeIdentifierForcedExpiratoryVolume1" Quantity "L" "20150-9" 0.0 15.0 Discrete;
    FORCED_VITAL_CAPACITY "forced_vital_capacity" "HKQuantityTypeIdentifierForcedVitalCapacity" Quantity "L" "19870-5" 0.0 15.0 Discrete;
    HEADPHONE_AUDIO_EXPOSURE "headphone_audio_exposure" "HKQuantityTypeIdentifierHeadphoneAudioExposure" Quantity "dB[SPL]" - 0.0 200.0 Discrete;
    HEART_RATE "heart_rate" "HKQuantityTypeIdentifierHeartRate" Quantity "/min" "8867-4" 20.0 300.0 Discrete;
    HEART_RATE_RECOVERY_ONE_MINUTE "heart_rate_recovery_one_minute" "HKQuantityTypeIdentifierHeartRateRecoveryOneMinute" Quantity "/min" - -100.0 200.0 Discrete;
    HEART_RATE_VARIABILITY_SDNN "heart_rate_variability_sdnn" "HKQuantityTypeIdentifierHeartRateVariabilitySDNN" Quantity "ms" "80404-7" 0.0 1000.0 Discrete;
    HEIGHT "height" "HKQuantityTypeIdentifierHeight" Quantity "m" "8302-2" 0.2 2.8 Discrete;
    INHALER_USAGE "inhaler_usage" "HKQuantityTypeIdentifierInhalerUsage" Quantity "{puffs}" - 0.0 500.0 Cumulative;
    INSULIN_DELIVERY "insulin_delivery" "HKQuantityTypeIdentifierInsulinDelivery" Quantity "[IU]" - 0.0 1000.0 Cumulative;
    LEAN_BODY_MASS "lean_body_mass" "HKQuantityTypeIdentifierLeanBodyMass" Quantity "kg" - 0.2 400.0 Discrete;
    NIKE_FUEL "nike_fuel" "HKQuantityTypeIdentifierNikeFuel" Quantity "{score}" - 0.0 100_000.0 Cumulative;
    NUMBER_OF_ALCOHOLIC_BEVERAGES "number_of_alcoholic_beverages" "HKQuantityTypeIdentifierNumberOfAlcoholicBeverages" Quantity "{drinks}" - 0.0 200.0 Cumulative;
    NUMBER_OF_TIMES_FALLEN "number_of_times_fallen" "HKQuantityTypeIdentifierNumberOfTimesFallen" Quantity "{falls}" - 0.0 1000.0 Cumulative;
    OXYGEN_SATURATION "oxygen_saturation" "HKQuantityTypeIdentifierOxygenSaturation" Quantity "%" "59408-5" 30.0 100.0 Discrete;
    PADDLE_SPORTS_SPEED "paddle_sports_speed" "HKQuantityTypeIdentifierPaddleSportsSpeed" Quantity "m/s" - 0.0 20.0 Discrete;
    PEAK_EXPIRATORY_FLOW_RATE "peak_expiratory_flow_rate" "HKQuantityTypeIdentifierPeakExpiratoryFlowRate" Quantity "L/min" - 0.0 1500.0 Discrete;
    PERIPHERAL_PERFUSION_INDEX "peripheral_perfusion_index" "HKQuantityTypeIdentifierPeripheralPerfusionIndex" Quantity "%" - 0.0 100.0 Discrete;
    PHYSICAL_EFFORT "physical_effort" "HKQuantityTypeIdentifierPhysicalEffort" Quantity "kcal/kg/h" - 0.0 30.0 Discrete;
    PUSH_COUNT "push_count" "HKQuantityTypeIdentifierPushCount" Quantity "{pushes}" - 0.0 200_000.0 Cumulative;
    RESPIRATORY_RATE "respiratory_rate" "HKQuantityTypeIdentifierRespiratoryRate" Quantity "/min" "9279-1" 1.0 100.0 Discrete;
    RESTING_HEART_RATE "resting_heart_rate" "HKQuantityTypeIdentifierRestingHeartRate" Quantity "/min" "40443-4" 20.0 220.0 Discrete;
    ROWING_SPEED "rowing_speed" "HKQuantityTypeIdentifierRowingSpeed" Quantity "m/s" - 0.0 20.0 Discrete;
    RUNNING_GROUND_CONTACT_TIME "running_ground_contact_time" "HKQuantityTypeIdentifierRunningGroundContactTime" Quantity "ms" - 0.0 3000.0 Discrete;
    RUNNING_POWER "running_power" "HKQuantityTypeIdentifierRunningPower" Quantity "W" - 0.0 3000.0 Discrete;
    RUNNING_SPEED "running_speed" "HKQuantityTypeIdentifierRunningSpeed" Quantity "m/s" - 0.0 40.0 Discrete;
    RUNNING_STRIDE_LENGTH "running_stride_length" "HKQuantityTypeIdentifierRunningStrideLength" Quantity "m" - 0.0 5.0 Discrete;
    RUNNING_VERTICAL_OSCILLATION "running_vertical_oscillation" "HKQuantityTypeIdentifierRunningVerticalOscillation" Quantity "cm" - 0.0 100.0 Discrete;
    SIX_MINUTE_WALK_TEST_DISTANCE "six_minute_walk_test_distance" "HKQuantityTypeIdentifierSixMinuteWalkTestDistance" Quantity "m" - 0.0 3000.0 Discrete;
    STAIR_ASCENT_SPEED "stair_ascent_speed" "HKQuantityTypeIdentifierStairAscentSpeed" Quantity "m/s" - 0.0 10.0 Discrete;
    STAIR_DESCENT_SPEED "stair_descent_speed" "HKQuantityTypeIdentifierStairDescentSpeed" Quantity "m/s" - 0.0 10.0 Discrete;
    STEP_COUNT "step_count" "HKQuantityTypeIdentifierStepCount" Quantity "{steps}" "55423-8" 0.0 200_000.0 Cumulative;
    SWIMMING_STROKE_COUNT "swimming_stroke_count" "HKQuantityTypeIdentifierSwimmingStrokeCount" Quantity "{strokes}" - 0.0 100_000.0 Cumulative;
    TIME_IN_DAYLIGHT "time_in_daylight" "HKQuantityTypeIdentifierTimeInDaylight" Quantity "min" - 0.0 1440.0 Cumulative;
    UV_EXPOSURE "uv_exposure" "HKQuantityTypeIdentifierUVExposure" Quantity "{index}" - 0.0 50.0 Discrete;
    UNDERWATER_DEPTH "underwater_depth" "HKQuantityTypeIdentifierUnderwaterDepth" Quantity "m" - 0.0 350.0 Discrete;
    VO2_MAX "vo2_max" "HKQuantityTypeIdentifierVO2Max" Quantity "mL/kg/min" - 5.0 100.0 Discrete;
    WAIST_CIRCUMFERENCE "waist_circumference" "HKQuantityTypeIdentifierWaistCircumference" Quantity "m" - 0.1 4.0 Discrete;
    WALKING_ASYMMETRY_PERCENTAGE "walking_asymmetry_percentage" "HKQuantityTypeIdentifierWalkingAsymmetryPercentage" Quantity "%" - 0.0 100.0 Discrete;
    WALKING_DOUBLE_SUPPORT_PERCENTAGE "walking_double_support_percentage" "HKQuantityTypeIdentifierWalkingDoubleSupportPercentage" Quantity "%" - 0.0 100.0 Discrete;
    WALKING_HEART_RATE_AVERAGE "walking_heart_rate_average" "HKQuantityTypeIdentifierWalkingHeartRateAverage" Quantity "/min" - 20.0 300.0 Discrete;
    WALKING_SPEED "walking_speed" "HKQuantityTypeIdentifierWalkingSpeed" Quantity "m/s" - 0.0 10.0 Discrete;
    WALKING_STEP_LENGTH "walking_step_length" "HKQuantityTypeIdentifierWalkingStepLength" Quantity "m" - 0.0 3.0 Discrete;
    WATER_TEMPERATURE "water_temperature" "HKQuantityTypeIdentifierWaterTemperature" Quantity "Cel" - -5.0 60.0 Discrete;
    WORKOUT_EFFORT_SCORE "workout_effort_score" "HKQuantityTypeIdentifierWorkoutEffortScore" Quantity "{score}" - 0.0 10.0 Discrete;
    WORKOUT "workout" "HKWorkoutTypeIdentifier" Category "{code}" - 1.0 3000.0 Discrete;
}
