//! The tests over the whole house: one module per question.

// Under `cfg(test)`, so that the helpers between the tests may `expect` as the tests do.
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod dependency_rule;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod export;
#[cfg(test)]
mod external;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod http;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod kill_drill;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod people;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod support;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod workers;
