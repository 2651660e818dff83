//! Cursors that clients can carry and not change: a position, signed together with the user and the filter it is for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretSlice;
use serde::{Serialize, de::DeserializeOwned};
use subtle::ConstantTimeEq;

use crate::{context::mac, problem::Problem};

const SIGNATURE_BYTES: usize = 16;

/// Signs a position for `scope`.
pub(crate) fn seal<T: Serialize>(key: &SecretSlice<u8>, scope: &str, position: &T) -> String {
    let position = serde_json::to_vec(position).unwrap_or_default();
    let mut bytes = mac(key, &[scope.as_bytes(), &position])[..SIGNATURE_BYTES].to_vec();
    bytes.extend(position);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position in a cursor that was sealed for the same scope.
pub(crate) fn open<T: DeserializeOwned>(
    key: &SecretSlice<u8>,
    scope: &str,
    cursor: &str,
) -> Result<T, Problem> {
    let fault = || Problem::field("cursor", "not a cursor of this listing");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_hidden| fault())?;
    let (signature, position) = bytes.split_at_checked(SIGNATURE_BYTES).ok_or_else(fault)?;
    let expected = mac(key, &[scope.as_bytes(), position]);
    if !bool::from(signature.ct_eq(&expected[..SIGNATURE_BYTES])) {
        return Err(fault());
    }
    serde_json::from_slice(position).map_err(|_hidden| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_scope_only() {
        let key = SecretSlice::from(b"key".to_vec());
        let sealed = seal(&key, "anna", &7_u32);
        assert_eq!(open::<u32>(&key, "anna", &sealed).unwrap(), 7);
        assert!(open::<u32>(&key, "berta", &sealed).is_err());
        assert!(open::<u32>(&SecretSlice::from(b"other".to_vec()), "anna", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character carries unused bits, which the decoder refuses.
            assert!(open::<u32>(&key, "anna", &changed).is_err(), "character {at}");
        }
    }
}
