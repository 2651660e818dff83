//! Keeps the adapters to the calls that the manifest's policies allow.

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept, SharedInterceptor, context::BeforeSerializationInterceptorContextRef,
            dyn_dispatch_hint,
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

use crate::resources::is_foreseen;

/// Fails a call that is in no policy: on AWS it would be denied, on an emulator nobody would notice. Only debug builds have it.
#[derive(Debug)]
pub(crate) struct Foreseen;

impl Foreseen {
    pub(crate) fn into_shared(self) -> SharedInterceptor {
        SharedInterceptor::new(self)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Foreseen {
    fn name(&self) -> &'static str {
        "Foreseen"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let call = config.load::<Metadata>().ok_or("a call without a name")?;
        let (service, operation) = (call.service(), call.name());
        assert!(is_foreseen(service, operation), "{service}.{operation} is in no policy of the manifest");
        Ok(())
    }
}
