//! The use cases over the memory adapters.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod events;
#[cfg(test)]
mod external;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lockout;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod same_readings;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod uploads;
