//! Operator mode: logins by JWT.

use natterjack_config::Options;
use natterjack_core::auth::Method;

use crate::start::StartError;

/// The login method of operator mode.
pub(crate) fn method(_options: &Options) -> Result<Method, StartError> {
    Err(StartError::Operator("operator mode is being connected".into()))
}

/// The accounts whose JWTs are preloaded.
pub(crate) fn preloaded(options: &Options) -> Vec<String> {
    options.resolver_preload.iter().map(|(id, _)| id.clone()).collect()
}
