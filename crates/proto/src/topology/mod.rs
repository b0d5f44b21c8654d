//! Which nodes there are, and which of them a command goes to. The only part that knows the kind of deployment.

mod standalone;

pub(crate) use standalone::Standalone;

use redial_resp::Command;

use crate::config::Endpoint;
use crate::connection::identity::Role;

/// A kind of deployment. Boxed once, from the configuration; the core alone calls it.
pub(crate) trait Topology: std::fmt::Debug + Send {
    /// The endpoint of the node that takes this command.
    fn route(&self, command: &Command) -> &Endpoint;

    /// True if a server in this role may be used as the node that was dialed.
    fn judge(&self, role: Role) -> bool;
}
