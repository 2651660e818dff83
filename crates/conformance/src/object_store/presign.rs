use std::{collections::BTreeSet, time::Duration};

use ports::{ErrorKind, PresignedMethod};

use super::{fresh, put};
use crate::{ObjectStoreFixture, support::assert_refused};

const AN_HOUR: Duration = Duration::from_hours(1);
const PUT: PresignedMethod = PresignedMethod::Put { size_bytes_max: 1000 };

/// The signature in `url`: every store has a query parameter whose name ends so.
fn signature(url: &str) -> String {
    let (_, query) = url.split_once('?').expect("a presigned URL has a query");
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters
        .find(|(name, _)| name.to_lowercase().ends_with("signature"))
        .expect("a signature parameter");
    value.to_owned()
}

pub async fn a_presigned_url_names_its_object_and_is_signed(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    put(&*fixture.store, &key, "x").await;
    for method in [PresignedMethod::Get, PUT] {
        let url = fixture.store.presign(&key, method, AN_HOUR).await.unwrap();
        let (scheme, rest) = url.split_once("://").expect("an absolute URL");
        assert!(matches!(scheme, "http" | "https"), "{scheme}");
        let path = rest.split('?').next().unwrap();
        assert!(path.ends_with(key.as_str()), "the path does not name the object");
        // Of 128 bits at least, in whatever alphabet.
        assert!(signature(&url).len() >= 22, "the signature is short");
    }
}

pub async fn each_presigned_permission_has_a_signature_of_its_own(fixture: ObjectStoreFixture) {
    let (key, other) = (fresh("object"), fresh("other"));
    let roomier = PresignedMethod::Put { size_bytes_max: 2000 };
    let permissions = [
        (&key, PresignedMethod::Get, AN_HOUR),
        (&key, PresignedMethod::Get, AN_HOUR * 2),
        (&other, PresignedMethod::Get, AN_HOUR),
        (&key, PUT, AN_HOUR),
        (&key, roomier, AN_HOUR),
    ];
    let mut signatures = BTreeSet::new();
    for (key, method, valid_for) in permissions {
        let url = fixture.store.presign(key, method, valid_for).await.unwrap();
        assert!(
            signatures.insert(signature(&url)),
            "{method:?} of {key} has the signature of another permission"
        );
    }
}

pub async fn a_presigned_url_is_issued_for_1_second_to_7_days(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let second = Duration::from_secs(1);
    let week = Duration::from_hours(7 * 24);
    for valid_for in [second, week] {
        fixture.store.presign(&key, PresignedMethod::Get, valid_for).await.unwrap();
    }
    for valid_for in [Duration::ZERO, Duration::from_millis(999), week + second, Duration::MAX] {
        let refused = fixture.store.presign(&key, PresignedMethod::Get, valid_for).await;
        assert_refused(refused, ErrorKind::InvalidInput);
    }
}
