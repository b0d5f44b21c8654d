//! Which nodes there are, and which of them a command goes to. The only part that knows the kind of deployment.

mod standalone;

pub(crate) use standalone::Standalone;

use crate::command::Body;
use crate::config::Endpoint;
use crate::connection::identity::Role;

/// One of the nodes that a topology knows; the numbers are the topology's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeId(pub(crate) u32);

/// A kind of deployment. Boxed once, from the configuration; the core alone calls it.
pub(crate) trait Topology: std::fmt::Debug + Send {
    /// The node that takes this command.
    fn route(&self, command: Body<'_>) -> NodeId;

    /// Where that node is reached.
    fn endpoint(&self, node: NodeId) -> &Endpoint;

    /// True if a server in this role may be used as the node that was dialed.
    fn judge(&self, role: Role) -> bool;
}
