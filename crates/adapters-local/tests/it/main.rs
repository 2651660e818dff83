//! The conformance suite on each local adapter. Test names are `adapter::port::promise`.

mod embedded;
mod identity;
mod memory;
