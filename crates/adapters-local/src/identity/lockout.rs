//! Failures, by account and by network address, and the locks that follow from them.

use std::{net::IpAddr, time::Duration};

use ports::{Denial, Email, Result};
use sha2::{Digest, Sha256};

use super::{
    LocalIdentity,
    accounts::denied,
    rows::{Accounts, AddressKey, Failures, Keep, address_key, after},
};

/// Failures of an account that are further apart than this are not in a row.
const ACCOUNT_WINDOW: Duration = Duration::from_hours(24);
/// Failures from a network address count together from the first one on for this long. Not for longer: whole offices share
/// one, and no success of theirs begins the count anew.
const NETWORK_WINDOW: Duration = Duration::from_hours(1);

/// Under which keys a failure is counted. Accounts count by their address, whether or not anybody has it.
pub(super) struct Counted {
    pub(super) account: AddressKey,
    network: Option<AddressKey>,
}

impl Counted {
    pub(super) fn new(email: &Email, from: Option<IpAddr>) -> Self {
        Self { account: address_key(email), network: from.map(network_key) }
    }

    fn keys(&self) -> impl Iterator<Item = &AddressKey> {
        std::iter::once(&self.account).chain(&self.network)
    }
}

/// An IPv6 address stands for the /64 that one customer is given.
fn network_key(address: IpAddr) -> AddressKey {
    let digest = Sha256::new().chain_update(b"network:");
    let digest = match address.to_canonical() {
        IpAddr::V4(address) => digest.chain_update(address.octets()),
        IpAddr::V6(address) => digest.chain_update(&address.octets()[..8]),
    };
    digest.finalize().into()
}

/// Refuses what is locked, by account or by network address, with one and the same answer.
pub(super) async fn check_unlocked(
    accounts: &mut Accounts,
    counted: &Counted,
    operation: &'static str,
) -> Result<()> {
    let now = accounts.now();
    let mut locked_until = None;
    for key in counted.keys() {
        let failures: Option<Failures> = accounts.get(key).await?;
        locked_until = locked_until.max(failures.and_then(|failures| failures.locked_until));
    }
    let Some(until) = locked_until.filter(|until| *until > now) else { return Ok(()) };
    let retry_after_seconds = u64::try_from(until.as_second() - now.as_second() + 1).unwrap_or(1);
    Err(denied(operation, Denial::Locked { retry_after_seconds }))
}

impl LocalIdentity {
    /// Counts one failure. Commit, although the caller is refused.
    pub(super) async fn count_failure(&self, accounts: &mut Accounts, counted: &Counted) -> Result<()> {
        let now = accounts.now();
        self.count(accounts, &counted.account, self.settings.lockout_failures, |_| {
            after(now, ACCOUNT_WINDOW)
        })
        .await?;
        let Some(network) = &counted.network else { return Ok(()) };
        self.count(accounts, network, self.settings.lockout_address_failures, |earlier| {
            earlier.map_or_else(|| after(now, NETWORK_WINDOW), |earlier| earlier.counted_until)
        })
        .await
    }

    async fn count(
        &self,
        accounts: &mut Accounts,
        key: &AddressKey,
        failures_max: u32,
        counted_until: impl FnOnce(Option<&Failures>) -> jiff::Timestamp + Send,
    ) -> Result<()> {
        let now = accounts.now();
        let earlier: Option<Failures> = accounts.get(key).await?;
        // A lock that is over starts the count anew.
        let earlier =
            earlier.filter(|failures| failures.locked_until.is_none() && failures.counted_until > now);
        let counted_until = counted_until(earlier.as_ref());
        let count = earlier.map_or(0, |failures| failures.count) + 1;
        let locked_until = (count >= failures_max).then(|| after(now, self.settings.lockout_duration));
        let until = Some(locked_until.unwrap_or(counted_until));
        accounts.put(key, &Failures { count, locked_until, counted_until }, Keep { owner: None, until }).await
    }
}
