//! What is wrong with a configuration: all of it at once, each with its key and where the value came from.

use std::fmt;

use serde::Serialize;

/// One thing to put right. Never holds the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// The dotted key, such as `server.listen`.
    pub key: String,
    /// The file, environment variable or `command line` that the value came from.
    pub source: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.key, self.problem, self.source)
    }
}

/// Everything that is wrong, one line each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn push(
        &mut self,
        key: impl Into<String>,
        source: impl Into<String>,
        problem: impl Into<String>,
    ) {
        self.0.push(Fault { key: key.into(), source: source.into(), problem: problem.into() });
    }

    pub(super) fn concerns(&self, key: &str) -> bool {
        self.0.iter().any(|fault| fault.key == key)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
