//! A thousand clients lose their server at the same moment.

use std::time::Duration;

use anyhow::bail;
use redial_lab::{HostId, Reply, RestartWith};

use super::{Crowd, Drill, Limits, Variant};
use crate::drill::limits;
use crate::drill::stage::Stage;
use crate::drill::workload::Spread;

/// 1,000 clients in 20 processes, as of a service in twenty containers.
const CROWD: Crowd =
    Crowd { spread: Spread { processes: 20, clients: 50 }, pause: Duration::from_millis(400) };
const SLEEP_SECONDS: u64 = 4;
/// A thousand first connections over TLS, on two cores that the server shares with its clients.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// How much longer a server may sleep on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Storm;

impl Drill for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn summary(&self) -> &'static str {
        "1,000 clients in 20 processes lose their server at the same moment"
    }

    fn story(&self) -> &'static str {
        "A server restarts, with its data, and 1,000 clients want it back at once: 20 processes of 50 \
         clients, each with a caller of its own that pauses about 400 ms. Connects are counted from the \
         packets on the wire, handshakes by the server. --callers and --pause are not heeded."
    }

    fn limits(&self) -> Limits {
        limits::STORM
    }

    fn crowd(&self) -> Option<Crowd> {
        Some(CROWD)
    }

    fn variants(&self) -> &'static [Variant] {
        &[
            Variant { name: "restart", summary: "the server restarts", rtt_ms: 2 },
            Variant { name: "slow", summary: "no fault: DEBUG SLEEP 4", rtt_ms: 2 },
        ]
    }

    fn run(&self, stage: &Stage<'_>) -> anyhow::Result<()> {
        if !stage.wait_for_everybody(STARTED_WITHIN)? {
            bail!(
                "not every client had an answer within {} s of the start",
                STARTED_WITHIN.as_secs()
            );
        }
        let server = stage.lab().server(HostId::A);
        if stage.plan().variant == Some("slow") {
            stage.fault("the server sleeps for 4 s", || {
                let sleep = ["DEBUG", "SLEEP", &SLEEP_SECONDS.to_string()];
                let patience = Duration::from_secs(SLEEP_SECONDS) + PATIENCE;
                match server.command_within(&sleep, patience)? {
                    Reply::Error(text) => bail!("the server refused DEBUG: {text}"),
                    _ => Ok(()),
                }
            })?;
            stage.step("the server answers again");
            return Ok(());
        }
        // Or else it waits up to a second for its replica's next word, with writes held back: a fault of
        // its own. Redis 6.2 knows neither the wait nor the option.
        server.command(&["CONFIG", "SET", "shutdown-timeout", "0"])?;
        stage.fault("the server on A restarts", || Ok(server.restart(RestartWith::ItsData)?))?;
        stage.moved_to(HostId::A, "the server is back");
        Ok(())
    }
}
