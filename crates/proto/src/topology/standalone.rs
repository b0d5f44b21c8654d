//! One endpoint, whoever is behind it.

use super::{Node, NodeId, Topology};
use crate::command::Body;
use crate::config::{Config, Endpoint, WantedRole};
use crate::connection::identity::Role;
use crate::error::Error;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Standalone {
    endpoint: Endpoint,
    tls: bool,
    wanted: WantedRole,
}

impl Standalone {
    pub(crate) fn new(config: &Config) -> Self {
        Self { endpoint: config.endpoint.clone(), tls: config.tls, wanted: config.wanted_role }
    }
}

impl Topology for Standalone {
    fn route(&self, _: Body<'_>) -> Result<NodeId, Error> {
        Ok(NodeId::default())
    }

    fn is_single(&self) -> bool {
        true
    }

    fn node(&self, _: NodeId) -> Node<'_> {
        Node::at(Some(&self.endpoint), self.tls)
    }

    fn judge(&self, node: NodeId, role: Role) -> bool {
        !self.wants_primary(node) || role != Role::Replica
    }

    fn wants_primary(&self, _: NodeId) -> bool {
        self.wanted == WantedRole::Primary
    }
}
