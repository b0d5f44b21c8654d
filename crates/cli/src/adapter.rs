//! `redial adapter`: the redial client, spoken to over the adapter protocol.

use anyhow::{Result, bail};

pub(crate) fn run() -> Result<()> {
    bail!("the redial client is not built in yet")
}
