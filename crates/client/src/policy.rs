//! What the program supplied for the driver to ask, beside the numbers that the core was told.

#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::credentials::Provider;
use crate::retry::RetryStrategy;
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) retry: Option<RetryStrategy>,
    pub(crate) credentials: Option<Provider>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Arc<TlsConfig>,
    /// For those that tell where servers are; `None`: the same.
    #[cfg(feature = "tls")]
    pub(crate) directory_tls: Option<Arc<TlsConfig>>,
}
