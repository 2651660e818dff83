//! A binary of its own, since the peak memory of a process is measured.

// Under `cfg(test)`, so that the helpers between the tests may `unwrap` as the tests do.
#[cfg(test)]
mod decompression;
