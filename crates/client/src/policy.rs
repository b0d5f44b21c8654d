//! What the program supplied for the driver to ask, beside the numbers that the core was told.

#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::retry::RetryStrategy;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) retry: Option<RetryStrategy>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Arc<TlsConfig>,
}
