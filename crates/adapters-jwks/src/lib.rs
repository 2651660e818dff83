//! Verifies the access tokens of external issuers (RFC 7519, RFC 9068) by the keys they publish (RFC 7517).
//!
//! A token decides nothing about how it is verified: its issuer is looked up in a table, its algorithm must be one that the
//! issuer is configured for *and* the one of the key it names, and keys come from the configured address alone.

mod cache;
mod claims;
mod json;
mod key;
mod key_set;
mod settings;
mod source;
mod token;
mod verifier;

pub use key::{Algorithm, PublicKey};
pub use settings::{FetchSettings, IssuerSettings};
pub use verifier::{Issuers, JwksVerifier};
