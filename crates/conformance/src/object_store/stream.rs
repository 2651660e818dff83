use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ports::{ByteStream, PutOptions, Sha256Digest, objects};
use sha2::{Digest as _, Sha256};

use super::{fresh, put, read};
use crate::{
    ObjectStoreFixture,
    support::{in_time, noise},
};

pub async fn a_body_of_many_small_pieces_reads_back_whole(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let bytes = Bytes::from(noise(4, 20_000));
    let pieces: Vec<_> = bytes.chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    // Pieces may be empty, too.
    let body = stream::iter(pieces).chain(stream::iter([Ok(Bytes::new())]));
    fixture.store.put(&key, Box::pin(body), PutOptions::default()).await.unwrap();
    assert!(read(&*fixture.store, &key, None).await == Some(bytes), "other bytes read back");
}

const SIZE_BYTES: usize = 100_000_000;
const PIECE_BYTES: usize = 100_000;

/// The most of a body that a store may hold at a time: a few parts of an upload in parts.
const HELD_BYTES_MAX: usize = 32 << 20;

/// How much of a body has been handed out and not let go of.
#[derive(Default)]
struct Held {
    now_bytes: AtomicUsize,
    most_bytes: AtomicUsize,
}

/// A piece that counts for as long as it lives.
struct Piece {
    bytes: Vec<u8>,
    held: Arc<Held>,
}

impl Piece {
    /// Piece number `number` of the large body; each is different.
    fn new(number: usize, pattern: &[u8], held: Arc<Held>) -> Self {
        let mut bytes = pattern.to_vec();
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let now_bytes = held.now_bytes.fetch_add(bytes.len(), Ordering::SeqCst) + bytes.len();
        held.most_bytes.fetch_max(now_bytes, Ordering::SeqCst);
        Self { bytes, held }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.now_bytes.fetch_sub(self.bytes.len(), Ordering::SeqCst);
    }
}

/// The large body, each piece made when it is asked for.
fn large_body(held: &Arc<Held>) -> ByteStream {
    let held = Arc::clone(held);
    let pattern = noise(5, PIECE_BYTES);
    let piece = move |number| Ok(Bytes::from_owner(Piece::new(number, &pattern, Arc::clone(&held))));
    Box::pin(stream::iter(0..SIZE_BYTES / PIECE_BYTES).map(piece))
}

async fn digest_of(mut body: ByteStream, piece_bytes_max: usize) -> (usize, Sha256Digest) {
    let (mut size_bytes, mut hash) = (0, Sha256::new());
    while let Some(piece) = in_time(body.try_next()).await.unwrap() {
        assert!(piece.len() <= piece_bytes_max, "a piece of {} bytes", piece.len());
        size_bytes += piece.len();
        hash.update(&piece);
    }
    (size_bytes, Sha256Digest(hash.finalize().into()))
}

pub async fn a_body_of_100_mb_is_put_and_read_with_bounded_memory(fixture: ObjectStoreFixture) {
    let key = fresh("large");
    let held = Arc::new(Held::default());
    let (_, expected) = digest_of(large_body(&held), PIECE_BYTES).await;
    let meta = fixture.store.put(&key, large_body(&held), PutOptions::default()).await.unwrap();
    let most_bytes = held.most_bytes.load(Ordering::SeqCst);
    assert!(most_bytes <= HELD_BYTES_MAX, "{most_bytes} bytes of the body were held at a time");
    assert_eq!((meta.size_bytes, meta.sha256), (SIZE_BYTES as u64, expected));

    // Dropped as they are read, so that only the size of a piece counts.
    let object = fixture.store.get(&key, None).await.unwrap().unwrap();
    assert_eq!(digest_of(object.body, HELD_BYTES_MAX / 4).await, (SIZE_BYTES, expected));
    fixture.store.delete(&key).await.unwrap();
}

pub async fn a_reader_may_leave_in_the_middle(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let bytes = Bytes::from(noise(6, 20_000_000));
    put(&*fixture.store, &key, bytes.clone()).await;
    for _ in 0..5 {
        let mut object = fixture.store.get(&key, None).await.unwrap().unwrap();
        let piece = in_time(object.body.try_next()).await.unwrap().unwrap();
        assert!(bytes.starts_with(&piece), "the body begins with other bytes");
    }
    let object = fixture.store.get(&key, None).await.unwrap().unwrap();
    let whole = in_time(objects::collect(object.body, bytes.len())).await.unwrap();
    assert!(whole == bytes, "other bytes read back");
}
