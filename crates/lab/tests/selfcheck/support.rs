//! What the checks have in common: labs, plain sockets in them, and waiting.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use redial_lab::{Lab, LabOptions};

pub(crate) const ENDPOINT: &str = "10.77.0.100:6379";
/// How long an answer may take that must come.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// How long silence is listened to that must last.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// A check's own assertion: it ends the check with a sentence.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

pub(crate) fn lab() -> Result<Lab, Failed> {
    Ok(Lab::start(LabOptions::default())?)
}

pub(crate) fn lab_with(change: impl FnOnce(&mut LabOptions)) -> Result<Lab, Failed> {
    let mut options = LabOptions::default();
    change(&mut options);
    Ok(Lab::start(options)?)
}

/// A connection of the client, without any of the client's cleverness.
pub(crate) struct Plain(pub(crate) TcpStream);

impl Plain {
    pub(crate) fn dial(lab: &Lab) -> Result<Self, Failed> {
        Self::dial_within(lab, ENDPOINT, SOON)
    }

    pub(crate) fn dial_within(lab: &Lab, to: &str, patience: Duration) -> Result<Self, Failed> {
        let address: SocketAddr = to.parse()?;
        let stream = lab.on_client_host(|| TcpStream::connect_timeout(&address, patience))??;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    pub(crate) fn port(&self) -> Result<u16, Failed> {
        Ok(self.0.local_addr()?.port())
    }

    pub(crate) fn send(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(format!("{line}\r\n").as_bytes())
    }

    /// What arrives first within the patience; a time-out is `WouldBlock`.
    pub(crate) fn hear(&mut self, patience: Duration) -> io::Result<String> {
        self.0.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 65_536];
        let length = self.0.read(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    pub(crate) fn ask(&mut self, line: &str) -> Result<String, Failed> {
        self.send(line)?;
        Ok(self.hear(SOON)?)
    }

    /// Listens for [`QUIET`] to nothing.
    pub(crate) fn ensure_silent(&mut self) -> Result<(), Failed> {
        match self.hear(QUIET) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            heard => Err(format!("silence was expected, not {heard:?}").into()),
        }
    }

    /// The `run_id` of whoever answers.
    pub(crate) fn run_id(&mut self) -> Result<String, Failed> {
        let info = self.ask("INFO server")?;
        let line = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(line.ok_or("INFO without run_id")?.to_owned())
    }
}

/// Waits until it is so, and fails with the sentence otherwise.
pub(crate) fn eventually(
    what: &str,
    mut so: impl FnMut() -> Result<bool, Failed>,
) -> Result<(), Failed> {
    let deadline = Instant::now() + SOON;
    while !so()? {
        ensure(Instant::now() < deadline, || format!("it did not come about that {what}"))?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One counter of `/proc/…/net/snmp` or `netstat`, where a line of names is followed by one of values.
pub(crate) fn counter(table: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
    let at = lines.next()?.split_whitespace().position(|column| column == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}
