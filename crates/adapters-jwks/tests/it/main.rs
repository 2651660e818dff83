//! The verifier against issuers that rotate, go away or lie, and against tokens that must not be believed.

#[cfg(test)]
mod comparison;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod vectors;
