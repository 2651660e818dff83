//! The tests over the whole house: one module per question.

// Under `cfg(test)`, so that the helpers between the tests may `expect` as the tests do.
#[cfg(test)]
mod access;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod accounts_codes;
#[cfg(test)]
mod accounts_lockout;
#[cfg(test)]
mod accounts_mail;
#[cfg(test)]
mod accounts_mfa;
#[cfg(test)]
mod accounts_operator;
#[cfg(test)]
mod accounts_profile;
#[cfg(test)]
mod accounts_sessions;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod compat;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod conventions;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod dependency_rule;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod events;
#[cfg(test)]
mod export;
#[cfg(test)]
mod external;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod http;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod imports_announced;
#[cfg(test)]
mod insights;
#[cfg(test)]
mod kill_drill;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod measures;
#[cfg(test)]
mod models;
#[cfg(test)]
mod normalisation;
#[cfg(test)]
mod open_inference;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod people;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod report;
#[cfg(test)]
mod retina;
#[cfg(test)]
mod robustness;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
#[path = "../../../crates/adapters-mail/tests/it/server.rs"]
mod smtp_server;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod workers;
#[cfg(test)]
mod write_units;
