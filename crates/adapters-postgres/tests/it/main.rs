//! The conformance suite on the PostgreSQL adapters, and what is theirs alone. Test names are `adapter::port::promise`.

mod postgres;
