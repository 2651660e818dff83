//! The promises of each port, as tests that every adapter runs.
//!
//! Each module holds the cases of one port: one public async function per promise of the trait's `# Contract` list, and one
//! macro that lists them. An adapter invokes the macro in a module of its own with a future that makes a fresh fixture, and
//! gets one `#[tokio::test]` per case:
//!
//! ```text
//! mod memory {
//!     mod object_store {
//!         conformance::object_store!(super::fixture());
//!     }
//! }
//! ```
//!
//! `conformance::object_store!(fixture(), ignore = "needs an emulator")` shows them as ignored, and
//! `conformance::object_store!(fixture(), skip = { case: "why" })` some of them: those that the other side cannot be believed. The
//! `durable_…!`, `shared_…!` and `deployed_…!` macros are for adapters that can be opened twice on the same data; they need the
//! fixture's `reopen`.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "all of this is tests")]
#![expect(clippy::missing_panics_doc, reason = "a case panics where the promise is broken")]

mod authenticator;
mod caller;
mod fixture;
mod support;
mod time;

pub mod event_bus;
pub mod health_data;
pub mod identity;
pub mod job_queue;
pub mod mailer;
pub mod object_store;
pub mod secret_store;
pub mod shared_state;

pub use authenticator::Authenticator;
pub use caller::Persistent;
pub use fixture::{
    EventBusFixture, Guard, HealthDataFixture, IdentityFixture, Inbox, JobQueueFixture, Mailbox,
    MailerFixture, ObjectStoreFixture, ReceivedMail, Reopen, RotateKeys, SecretStoreFixture,
    SharedStateFixture,
};
pub use time::{ManualClock, TimeControl};

/// Makes one test per case of `$port`.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of {
    ($port:ident [$($case:ident),+ $(,)?] $fixture:expr) => {
        $($crate::test_of!($port $case $fixture, []);)+
    };
    ($port:ident [$($case:ident),+ $(,)?] $fixture:expr, ignore = $reason:literal) => {
        $($crate::test_of!($port $case $fixture, [#[ignore = $reason]]);)+
    };
    (
        $port:ident [$($case:ident),+ $(,)?]
        $fixture:expr, skip = { $($skipped:ident: $reason:literal),+ $(,)? }
    ) => {
        $crate::tests_but! { ($) $port [$($case),+] $fixture, [$($skipped: $reason),+] }
    };
}

/// Makes one test per case of `$port`; those of `$skipped` are shown as ignored.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_but {
    // `$d` is a dollar sign, which a macro that makes a macro cannot write.
    (($d:tt) $port:ident [$($case:ident),+] $fixture:expr, [$($skipped:ident: $reason:literal),+]) => {
        // A name that is no case does not compile.
        const _: () = { $(let _ = $crate::$port::$skipped;)+ };
        macro_rules! unless_skipped {
            $(($skipped $d fixture:expr) => {
                $crate::test_of!($port $skipped $d fixture, [#[ignore = $reason]]);
            };)+
            ($d case:ident $d fixture:expr) => { $crate::test_of!($port $d case $d fixture, []); };
        }
        $(unless_skipped! { $case $fixture })+
    };
}

/// Makes the test of one case. Several threads, so that the cases about races do race.
#[doc(hidden)]
#[macro_export]
macro_rules! test_of {
    ($port:ident $case:ident $fixture:expr, [$($attribute:tt)*]) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $case() {
            $crate::$port::$case($fixture.await).await;
        }
    };
}
