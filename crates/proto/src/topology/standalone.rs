//! One endpoint, whoever is behind it.

use super::{NodeId, Topology};
use crate::command::Body;
use crate::config::{Config, Endpoint, WantedRole};
use crate::connection::identity::Role;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Standalone {
    endpoint: Endpoint,
    wanted: WantedRole,
}

impl Standalone {
    pub(crate) fn new(config: &Config) -> Self {
        Self { endpoint: config.endpoint.clone(), wanted: config.wanted_role }
    }
}

impl Topology for Standalone {
    fn route(&self, _: Body<'_>) -> NodeId {
        NodeId::default()
    }

    fn endpoint(&self, _: NodeId) -> &Endpoint {
        &self.endpoint
    }

    fn judge(&self, role: Role) -> bool {
        self.wanted == WantedRole::Any || role != Role::Replica
    }
}
