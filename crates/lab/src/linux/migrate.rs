//! Slots on the move between two primaries of a cluster, by the commands that operators' tools use.

use super::lab::Lab;
use crate::options::PORT;
use crate::slots::first_slots;
use crate::{HostId, LabError, Reply};

/// Keys of one MIGRATE: few enough that the source, which stands still for it, is soon back.
const KEYS_AT_ONCE: &str = "100";
/// What one MIGRATE may take, in milliseconds.
const MIGRATE_MS: &str = "5000";

impl Lab {
    /// Moves slots with their keys from one primary of a cluster to another, one after the other, while clients use them.
    ///
    /// # Errors
    /// [`LabError::Server`] if a server refuses; the slot that it was about may then be left half-way.
    pub fn move_slots(
        &self,
        slots: impl IntoIterator<Item = u16>,
        from: HostId,
        to: HostId,
    ) -> Result<(), LabError> {
        let id = |host: HostId| -> Result<String, LabError> {
            let reply = self.server(host).expect_ok(&["CLUSTER", "MYID"])?;
            Ok(reply.as_str().unwrap_or_default().to_owned())
        };
        let (from_id, to_id) = (id(from)?, id(to)?);
        let mut informed = vec![to, from];
        let servers = self.deployment().servers();
        let others = servers.into_iter().filter(|host| *host != from && *host != to);
        informed.extend(others.filter(|host| first_slots(*host).is_some()));
        for slot in slots {
            let slot = slot.to_string();
            let set = |host: HostId, state: &str, id: &str| {
                self.server(host).expect_ok(&["CLUSTER", "SETSLOT", &slot, state, id]).map(drop)
            };
            set(to, "IMPORTING", &from_id)?;
            set(from, "MIGRATING", &to_id)?;
            while self.migrate_some(&slot, from, to)? {}
            for host in &informed {
                set(*host, "NODE", &to_id)?;
            }
        }
        Ok(())
    }

    /// Whether there may be more keys in the slot.
    fn migrate_some(&self, slot: &str, from: HostId, to: HostId) -> Result<bool, LabError> {
        let source = self.server(from);
        let keys = source.expect_ok(&["CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE])?;
        let keys: Vec<&str> =
            keys.as_array().into_iter().flatten().filter_map(Reply::as_str).collect();
        if keys.is_empty() {
            return Ok(false);
        }
        let (ip, port) = (to.ip().to_string(), PORT.to_string());
        let mut migrate = vec!["MIGRATE", &ip, &port, "", "0", MIGRATE_MS, "KEYS"];
        migrate.extend(keys);
        source.expect_ok(&migrate)?;
        Ok(true)
    }
}
