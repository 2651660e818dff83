//! The catalogue of HealthKit metrics.

/// A metric of the catalogue: an index into its table, so it is cheap to copy and compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric(u8);

impl Metric {
    /// HealthKit identifier.
    pub fn identifier(self) -> &'static str {
        TABLE[usize::from(self.0)]
    }
    /// Looks an identifier up.
    pub fn from_identifier(identifier: &str) -> Option<Self> {
        TABLE.iter().position(|id| *id == identifier).and_then(|at| u8::try_from(at).ok()).map(Self)
    }
}
impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.identifier())
    }
}
const TABLE: &[&str] = &["HKQuantityTypeIdentifierHeartRate", "HKQuantityTypeIdentifierStepCount"];
