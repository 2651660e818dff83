//! What a user's devices say to each other, by way of the event bus, so that it does not matter which instance each is on.
//! The bus may keep for a while what passes through it, and what people write is theirs: it passes sealed.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use domain::ids::UserId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::{Context, mac};

/// The name of the events that carry it.
pub(crate) const ROOM_EVENT: &str = "room";

/// Something said in a room.
#[derive(Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) room: String,
    /// The session of the device that said it.
    pub(super) session: Uuid,
    /// The message as it is sent on.
    pub(super) text: String,
}

impl Said {
    /// What goes over the bus; `None` where it cannot be sealed.
    pub(super) fn seal(&self, context: &Context, user: UserId) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).ok()?;
        let nonce = key(context)?.seal_in_place_append_tag(aad(&user), &mut bytes).ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Some(sealed)
    }

    /// What came over the bus, if this deployment sealed it for this user.
    pub(super) fn open(context: &Context, user: UserId, sealed: &[u8]) -> Option<Self> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let opened = key(context)?.open_in_place(nonce, aad(&user), &mut bytes).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

fn aad(user: &UserId) -> Aad<&[u8]> {
    Aad::from(user.0.as_bytes().as_slice())
}

/// Every instance derives the same key from a secret that they share.
fn key(context: &Context) -> Option<&'static RandomizedNonceKey> {
    static KEY: OnceLock<Option<RandomizedNonceKey>> = OnceLock::new();
    let derive = || RandomizedNonceKey::new(&AES_256_GCM, &mac(&context.cursor_key, &[b"rooms"])).ok();
    KEY.get_or_init(derive).as_ref()
}
