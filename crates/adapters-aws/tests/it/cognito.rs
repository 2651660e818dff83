//! Accounts in a user pool, on cognito-local and on moto. Which emulator is believed for what, and what neither can show, is in
//! `docs/aws-cognito.md`.

mod conformance;
mod faults;
mod fixture;
mod local;
mod moto;
