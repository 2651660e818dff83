//! The adapters on moto.

use std::sync::Arc;

use conformance::{HealthDataFixture, Reopen};
use futures::future::BoxFuture;
use ports::HealthDataRepository;

use crate::fixture::{Account, open};

/// Opens a port anew on the account of a fixture, with its clock.
fn reopen<T: ?Sized + 'static>(
    account: &Account,
    port: fn(adapters_aws::AwsCloud) -> ports::Result<Arc<T>>,
) -> Reopen<T> {
    let (settings, clock) = (account.settings.clone(), Arc::clone(&account.clock));
    Box::new(move || -> BoxFuture<'static, Arc<T>> {
        let (settings, clock) = (settings.clone(), Arc::clone(&clock));
        Box::pin(async move { port(open(settings, clock).await).unwrap() })
    })
}

async fn health_data_fixture() -> HealthDataFixture {
    let account = Account::fresh().await;
    let repository = account.open().await.health_data().unwrap();
    let reopen: Reopen<dyn HealthDataRepository> = reopen(&account, |cloud| cloud.health_data());
    HealthDataFixture {
        repository,
        time: Arc::clone(&account.clock) as _,
        reopen: Some(reopen),
        guard: Box::new(()),
    }
}

mod health_data {
    conformance::health_data!(super::health_data_fixture());
    conformance::durable_health_data!(super::health_data_fixture());
}
