//! The conformance suite on the Redis adapter, and what is its alone. Test names are `adapter::port::promise`.

mod redis;
