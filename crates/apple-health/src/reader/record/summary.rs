//! The rings of a day.

use domain::{metric::Metric, unit};
use jiff::civil::Date;

use super::Fault;
use crate::{error::Reason, item::ActivitySummary, tag::Attributes, values};

#[derive(Default)]
struct Wire {
    date: Option<Date>,
    energy: (Option<f64>, Option<f64>),
    energy_unit: Option<String>,
    moved: (Option<f64>, Option<f64>),
    exercise: (Option<f64>, Option<f64>),
    stand: (Option<f64>, Option<f64>),
}

pub(super) fn read(attributes: &str) -> Result<Result<ActivitySummary, Fault>, Reason> {
    let mut wire = Wire::default();
    Attributes::new(attributes).each(|name, value| {
        let number = || values::number(&value);
        match name {
            "dateComponents" => wire.date = value.parse().ok(),
            "activeEnergyBurned" => wire.energy.0 = number(),
            "activeEnergyBurnedGoal" => wire.energy.1 = number(),
            "activeEnergyBurnedUnit" => wire.energy_unit = Some(value.into_owned()),
            "appleMoveTime" => wire.moved.0 = number(),
            "appleMoveTimeGoal" => wire.moved.1 = number(),
            "appleExerciseTime" => wire.exercise.0 = number(),
            "appleExerciseTimeGoal" => wire.exercise.1 = number(),
            "appleStandHours" => wire.stand.0 = number(),
            "appleStandHoursGoal" => wire.stand.1 = number(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(wire.summary())
}

impl Wire {
    fn summary(self) -> Result<ActivitySummary, Fault> {
        let date = self.date.ok_or(Fault::new("invalid_timestamp", "dateComponents is no date"))?;
        let unit = self.energy_unit.as_deref().unwrap_or("kcal");
        let kcal = |energy: Option<f64>| {
            let kcal = energy.map(|energy| unit::to_canonical(Metric::ACTIVE_ENERGY_BURNED, energy, unit));
            kcal.transpose()
                .map_err(|_known| Fault::new("unknown_unit", "activeEnergyBurnedUnit is no energy"))
        };
        Ok(ActivitySummary {
            date,
            active_energy_kcal: (kcal(self.energy.0)?, kcal(self.energy.1)?),
            move_minutes: self.moved,
            exercise_minutes: self.exercise,
            stand_hours: self.stand,
        })
    }
}
