//! The conformance suite on each adapter, on moto. Test names are `adapter::port::promise`; what moto cannot be believed is
//! listed with its reason in `docs/aws.md` and shown as ignored.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod aws;
mod cognito;
mod faults;
mod fixture;
mod own;
mod replay;
mod resources;
