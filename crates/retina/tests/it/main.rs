//! Photographs as cameras, phones and attackers send them. The pictures are drawn: `models/make_retina_tests.py`.

// Under `cfg(test)`, so that the helpers between the tests may `unwrap` as the tests do.
#[cfg(test)]
mod grades;
#[cfg(test)]
mod photographs;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod vectors;
