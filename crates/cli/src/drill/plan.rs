//! What is to be done in one drill: the options, checked and resolved.

use std::path::PathBuf;
use std::time::Duration;

use redial_lab::{Deployment, Endpoint, LabOptions};

use super::client::ClientProgram;
use super::workload::Spread;

/// Load before the fault, so that there is a steady state to fall from.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);
/// A command without an answer after this is never answered: redial's default deadline and a margin.
pub(crate) const DEADLINE: Duration = Duration::from_secs(11);
/// With `--seconds auto`: load after everybody has recovered.
pub(crate) const AFTER_RECOVERY: Duration = Duration::from_secs(3);
/// With `--seconds auto`: the longest that is waited for recovery.
pub(crate) const AUTO_AT_MOST: Duration = Duration::from_secs(30);

/// How long the load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Fixed(Duration),
    /// Until everybody has recovered, and a little longer.
    Auto,
}

/// Who is put through the drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Adapter(ClientProgram),
    /// The user's own program and its arguments.
    Program(Vec<std::ffi::OsString>),
}

/// One drill's options.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) deployment: Deployment,
    pub(crate) subject: Subject,
    pub(crate) label: Option<String>,
    pub(crate) rtt: Duration,
    pub(crate) replication_delay: Duration,
    pub(crate) spread: Spread,
    pub(crate) callers: usize,
    pub(crate) pause: Duration,
    /// Whether a client listens to messages beside the load.
    pub(crate) listener: bool,
    pub(crate) length: Length,
    pub(crate) promote_after: Duration,
    pub(crate) endpoint: Endpoint,
    pub(crate) tcp_retries2: Option<u32>,
    pub(crate) tls: bool,
    pub(crate) server_bin: Option<PathBuf>,
    pub(crate) variant: Option<&'static str>,
}

impl Plan {
    /// What the lab is to be.
    pub(crate) fn lab_options(&self) -> LabOptions {
        let mut options = LabOptions::default();
        options.deployment = self.deployment;
        options.rtt = self.rtt;
        options.endpoint = self.endpoint;
        options.tcp_retries2 = self.tcp_retries2;
        options.tls = self.tls;
        options.server_bin.clone_from(&self.server_bin);
        options
    }

    /// Load before the fault; less where the whole drill is short.
    pub(crate) fn warm_up(&self) -> Duration {
        match self.length {
            Length::Fixed(all) => WARM_UP.min(all / 4),
            Length::Auto => WARM_UP,
        }
    }

    /// How long the drill is expected to take at least, for the progress bar.
    pub(crate) fn expected(&self) -> Duration {
        match self.length {
            Length::Fixed(all) => all,
            Length::Auto => WARM_UP + self.promote_after + AFTER_RECOVERY,
        }
    }
}
