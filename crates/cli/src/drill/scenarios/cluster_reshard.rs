//! Slots move from one primary to another under load, and back.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::bail;
use redial_lab::{Deployment, HostId, Reply, slot_of};

use super::{Drill, Limits};
use crate::drill::limits;
use crate::drill::stage::Stage;

/// Of A, so many that the callers' own are among them.
const MOVED: Range<u16> = 0..2000;

pub(crate) struct ClusterReshard;

impl ClusterReshard {
    /// Sets one key in each slot that will move, as data that nobody uses.
    fn fill(stage: &Stage<'_>) -> anyhow::Result<()> {
        let mut keys: HashMap<u16, String> = HashMap::new();
        for key in (0..).map(|n| format!("filler:{n}")) {
            if keys.len() == MOVED.len() {
                break;
            }
            let slot = slot_of(&key);
            if MOVED.contains(&slot) {
                keys.entry(slot).or_insert(key);
            }
        }
        for key in keys.values() {
            if let Reply::Error(text) = stage.lab().server(HostId::A).command(&["SET", key, "1"])? {
                bail!("A refused SET {key}: {text}");
            }
        }
        Ok(())
    }
}

impl Drill for ClusterReshard {
    fn name(&self) -> &'static str {
        "cluster-reshard"
    }

    fn summary(&self) -> &'static str {
        "no fault: 2,000 slots of a cluster move to another primary, and back"
    }

    fn story(&self) -> &'static str {
        "2,000 slots with keys in them, those of some callers among them, are moved from the first \
         primary to the second and back while all of them are in use: SETSLOT IMPORTING and MIGRATING, \
         MIGRATE, SETSLOT NODE, slot by slot. A server that no longer has a key answers ASK, then \
         MOVED; no caller is to hear of it."
    }

    fn limits(&self) -> Limits {
        limits::CLUSTER_RESHARD
    }

    fn deployment(&self) -> Deployment {
        Deployment::Cluster
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        Self::fill(stage)?;
        stage.fault("2,000 slots move from A to B", || {
            Ok(stage.lab().move_slots(MOVED, HostId::A, HostId::B)?)
        })?;
        stage.step("2,000 slots move from B to A");
        stage.lab().move_slots(MOVED, HostId::B, HostId::A)?;
        stage.step("all slots are where they were");
        Ok(())
    }
}
