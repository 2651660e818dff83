//! How many of a user's connections last: event streams and sockets, in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::ids::UserId;

use crate::config;

/// Who is connected.
pub struct Live {
    pub(crate) streams: Seats,
    pub(crate) sockets: Seats,
    pub(crate) imports: Seats,
}

impl Live {
    pub fn new(live: &config::Live) -> Self {
        Self {
            streams: Seats::new("streams", live.streams_per_user_max),
            sockets: Seats::new("sockets", live.sockets_per_user_max),
            // Two of one user would only wait for each other.
            imports: Seats::new("imports", 1),
        }
    }
}

type Taken = Arc<Mutex<HashMap<UserId, usize>>>;

/// A fixed number of seats for every user.
pub(crate) struct Seats {
    name: &'static str,
    max: usize,
    taken: Taken,
}

impl Seats {
    fn new(name: &'static str, max: usize) -> Self {
        Self { name, max, taken: Taken::default() }
    }

    /// A seat, or `None` where all of the user's are taken.
    pub(crate) fn take(&self, user: UserId) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        metrics::gauge!("live_connections", "kind" => self.name).increment(1);
        Some(Seat { name: self.name, user, taken: Arc::clone(&self.taken) })
    }
}

/// One connection of a user's; the seat is free when this is dropped.
pub(crate) struct Seat {
    name: &'static str,
    user: UserId,
    taken: Taken,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
        metrics::gauge!("live_connections", "kind" => self.name).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_so_many_seats_and_a_seat_that_was_left_is_free() {
        let (anna, berta) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let seats = Seats::new("streams", 2);
        let first = seats.take(anna).unwrap();
        let second = seats.take(anna).unwrap();
        assert!(seats.take(anna).is_none());
        assert!(seats.take(berta).is_some());
        drop(first);
        let third = seats.take(anna).unwrap();
        assert!(seats.take(anna).is_none());
        drop((second, third));
        assert!(seats.taken.lock().unwrap().is_empty(), "nobody is remembered who left");
    }
}
