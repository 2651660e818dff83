//! What hostile and broken clients do on the wire, byte by byte.

mod framing;
mod handover;
mod slow;
pub(crate) mod wire;
