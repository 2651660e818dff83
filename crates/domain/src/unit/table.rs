//! The spellings of units. Scales are exact by definition of the units, in terms of the first unit of each dimension.

/// What a unit measures. Units of one dimension convert into each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    Count,
    Ratio,
    Percent,
    PerTime,
    Time,
    Length,
    Speed,
    Mass,
    Volume,
    Flow,
    Energy,
    Power,
    Effort,
    OxygenUptake,
    Temperature,
    Pressure,
    MassConcentration,
    GlucoseConcentration,
    Sound,
    Conductance,
    InsulinActivity,
    BodyMassIndex,
}

#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) dimension: Dimension,
    /// One of this unit in the first unit of the dimension.
    pub(super) scale: f64,
    /// What this unit reads where the first unit of the dimension reads zero; only temperatures differ.
    pub(super) zero: f64,
}

const JOULES_PER_KCAL: f64 = 4_184.0;
const KG_PER_POUND: f64 = 0.453_592_37;
const METRES_PER_MILE: f64 = 1_609.344;
const PASCALS_PER_MM_HG: f64 = 133.322_387_415;

impl Unit {
    /// Looks up a spelling: HealthKit's (`HKUnit.unitString` and that of `export.xml`) or UCUM's. Letter case counts, as
    /// it does in both: `Cal` is a thousand `cal`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let scaled = everyday(text).or_else(|| clinical(text)).or_else(|| counted(text));
        let (dimension, scale) = match text {
            "Cel" | "degC" | "°C" | "K" => (Dimension::Temperature, 1.0),
            "[degF]" | "degF" | "°F" => (Dimension::Temperature, 1.0 / 1.8),
            _ => scaled?,
        };
        let zero = match (dimension, text) {
            (Dimension::Temperature, "K") => 273.15,
            (Dimension::Temperature, "[degF]" | "degF" | "°F") => 32.0,
            _ => 0.0,
        };
        Some(Self { dimension, scale, zero })
    }
}

/// Time, length, speed, energy, power, and how often.
fn everyday(text: &str) -> Option<(Dimension, f64)> {
    Some(match text {
        "count/min" | "/min" | "1/min" | "bpm" | "min-1" | "rpm" => (Dimension::PerTime, 1.0),
        "count/s" | "/s" | "1/s" | "Hz" => (Dimension::PerTime, 60.0),
        "count/hr" | "/h" | "1/h" => (Dimension::PerTime, 1.0 / 60.0),

        "s" | "sec" => (Dimension::Time, 1.0),
        "ms" => (Dimension::Time, 1e-3),
        "min" => (Dimension::Time, 60.0),
        "hr" | "h" => (Dimension::Time, 3_600.0),
        "d" => (Dimension::Time, 86_400.0),

        "m" => (Dimension::Length, 1.0),
        "km" => (Dimension::Length, 1e3),
        "cm" => (Dimension::Length, 1e-2),
        "mm" => (Dimension::Length, 1e-3),
        "mi" | "[mi_i]" => (Dimension::Length, METRES_PER_MILE),
        "yd" | "[yd_i]" => (Dimension::Length, 0.9144),
        "ft" | "[ft_i]" => (Dimension::Length, 0.3048),
        "in" | "[in_i]" => (Dimension::Length, 0.0254),

        "m/s" => (Dimension::Speed, 1.0),
        "km/hr" | "km/h" => (Dimension::Speed, 1.0 / 3.6),
        "mi/hr" | "mi/h" | "mph" | "[mi_i]/h" => (Dimension::Speed, METRES_PER_MILE / 3_600.0),
        "ft/s" | "[ft_i]/s" => (Dimension::Speed, 0.3048),

        "J" => (Dimension::Energy, 1.0),
        "kJ" => (Dimension::Energy, 1e3),
        "kcal" | "Cal" | "[Cal]" => (Dimension::Energy, JOULES_PER_KCAL),
        "cal" => (Dimension::Energy, JOULES_PER_KCAL / 1e3),

        "W" => (Dimension::Power, 1.0),
        "kW" => (Dimension::Power, 1e3),

        // One metabolic equivalent is one kilocalorie per kilogram and hour, as HealthKit counts physical effort.
        "kcal/kg/h" | "kcal/(kg.h)" | "kcal/(kg*hr)" | "kcal/(hr*kg)" | "kcal/hr·kg" | "kcal/kg·hr" => {
            (Dimension::Effort, 1.0)
        }
        _ => return None,
    })
}

/// Mass, volume, pressure, concentration, and what is measured at a bedside.
fn clinical(text: &str) -> Option<(Dimension, f64)> {
    Some(match text {
        "g" => (Dimension::Mass, 1.0),
        "kg" => (Dimension::Mass, 1e3),
        "mg" => (Dimension::Mass, 1e-3),
        "ug" | "mcg" | "µg" | "μg" => (Dimension::Mass, 1e-6),
        "lb" | "[lb_av]" => (Dimension::Mass, KG_PER_POUND * 1e3),
        "oz" | "[oz_av]" => (Dimension::Mass, KG_PER_POUND * 1e3 / 16.0),
        "st" | "[stone_av]" => (Dimension::Mass, KG_PER_POUND * 14e3),

        "L" | "l" => (Dimension::Volume, 1.0),
        "dL" | "dl" => (Dimension::Volume, 0.1),
        "cL" | "cl" => (Dimension::Volume, 1e-2),
        "mL" | "ml" => (Dimension::Volume, 1e-3),
        "fl_oz_us" | "[foz_us]" => (Dimension::Volume, 0.029_573_529_562_5),
        "fl_oz_imp" | "[foz_br]" => (Dimension::Volume, 0.028_413_062_5),

        "L/min" | "l/min" => (Dimension::Flow, 1.0),
        "L/s" | "l/s" => (Dimension::Flow, 60.0),
        "mL/min" | "ml/min" => (Dimension::Flow, 1e-3),

        "mm[Hg]" | "mmHg" => (Dimension::Pressure, PASCALS_PER_MM_HG),
        "Pa" => (Dimension::Pressure, 1.0),
        "hPa" => (Dimension::Pressure, 1e2),
        "kPa" => (Dimension::Pressure, 1e3),

        "mg/dL" | "mg/dl" => (Dimension::MassConcentration, 1.0),
        "mg/L" | "mg/l" => (Dimension::MassConcentration, 0.1),
        "g/L" | "g/l" => (Dimension::MassConcentration, 1e2),
        "mmol/L" | "mmol/l" => (Dimension::GlucoseConcentration, 1.0),

        "mL/kg/min" | "mL/min/kg" | "mL/(kg.min)" | "mL/(min.kg)" | "mL/kg*min" | "mL/(kg*min)"
        | "mL/(min*kg)" | "ml/kg/min" | "ml/kg*min" | "ml/(kg*min)" | "mL/min·kg" | "mL/kg·min"
        | "ml/min·kg" | "ml/kg·min" => (Dimension::OxygenUptake, 1.0),
        "dB[SPL]" | "dBASPL" | "dB(SPL)" => (Dimension::Sound, 1.0),
        "uS" | "mcS" | "µS" | "μS" => (Dimension::Conductance, 1.0),
        "S" => (Dimension::Conductance, 1e6),
        "[IU]" | "[iU]" | "IU" => (Dimension::InsulinActivity, 1.0),
        "kg/m2" | "kg/m^2" | "kg/m²" => (Dimension::BodyMassIndex, 1.0),
        _ => return None,
    })
}

/// Pure numbers. UCUM writes what was counted in braces, which say nothing about the unit: `{steps}`, `{beats}/min`.
fn counted(text: &str) -> Option<(Dimension, f64)> {
    match text {
        "count" => return Some((Dimension::Count, 1.0)),
        "1" => return Some((Dimension::Ratio, 1.0)),
        "%" | "percent" => return Some((Dimension::Percent, 1.0)),
        _ => {}
    }
    let (counted, rest) = text.strip_prefix('{')?.split_once('}')?;
    match rest {
        _ if counted.is_empty() => None,
        "" => Some((Dimension::Count, 1.0)),
        "/min" => Some((Dimension::PerTime, 1.0)),
        "/s" => Some((Dimension::PerTime, 60.0)),
        "/h" => Some((Dimension::PerTime, 1.0 / 60.0)),
        _ => None,
    }
}
