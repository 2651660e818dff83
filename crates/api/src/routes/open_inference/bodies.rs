//! How many bytes of requests are in memory at once, in all of the process.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;

/// A permit stands for so many bytes.
const UNIT: usize = 1024;
/// Bodies of the largest size that there is room for.
const LARGEST_MAX: usize = 16;
/// How long a request waits for room before it is told to ask again.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Bodies(Arc<Semaphore>);

/// The room of one body, until it is dropped.
pub(super) struct Room(OwnedSemaphorePermit);

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// How large the body will be, decoded: what it says, if it is not coded.
fn announced(headers: &HeaderMap, bytes_max: usize) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_coded = headers.contains_key(header::CONTENT_ENCODING);
    length.filter(|_| !is_coded).unwrap_or(bytes_max).min(bytes_max)
}

impl Bodies {
    /// Room for some bodies of `bytes_max`, and so for many smaller ones.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units = bytes_max.div_ceil(UNIT).saturating_mul(LARGEST_MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// Room for the body of `request`, before any of it is read.
    pub(super) async fn room(&self, request: &HttpRequest, bytes_max: usize) -> Result<Room, Refusal> {
        self.take(announced(request.headers(), bytes_max), PATIENCE).await
    }

    async fn take(&self, bytes: usize, patience: Duration) -> Result<Room, Refusal> {
        let taken = Arc::clone(&self.0).acquire_many_owned(units(bytes));
        match tokio::time::timeout(patience, taken).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            Ok(Err(_)) | Err(_) => Err(Refusal::unavailable("too many large requests are being answered")),
        }
    }
}

impl Room {
    /// The body has `bytes`: the rest is for others.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let more = self.0.num_permits().saturating_sub(usize::try_from(units(bytes)).unwrap_or(usize::MAX));
        drop(self.0.split(more));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError, http::header::HeaderValue};

    use super::*;

    #[test]
    fn only_the_length_of_what_is_not_coded_is_believed() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced(&headers, 1_000), 1_000);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("10"));
        assert_eq!(announced(&headers, 1_000), 10);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(announced(&headers, 1_000), 1_000);
        headers.remove(header::CONTENT_ENCODING);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5000"));
        assert_eq!(announced(&headers, 1_000), 1_000);
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_told_to_ask_again_until_there_is() {
        let (largest, bodies) = (1 << 20, Bodies::new(1 << 20));
        let mut rooms = Vec::new();
        for _ in 0..LARGEST_MAX {
            rooms.push(bodies.take(largest, Duration::ZERO).await.unwrap());
        }
        let Err(refused) = bodies.take(1, Duration::ZERO).await else { panic!("there is no room") };
        assert_eq!(refused.status_code(), 503);
        // It was smaller than it might have been.
        rooms[0].shrink(largest / 2);
        let half = bodies.take(largest / 2, Duration::ZERO).await.unwrap();
        assert!(bodies.take(1, Duration::ZERO).await.is_err());
        drop((half, rooms));
        assert_eq!(bodies.0.available_permits(), LARGEST_MAX * largest / UNIT);
    }
}
