//! The parent's end of a [`worker`](crate::worker): starts it on its cores, gives it orders, reads its answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::sys;
use crate::worker::{Flavor, Order, Setup};

/// A worker process; dropping it ends it.
pub(crate) struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    label: String,
}

impl Worker {
    pub(crate) fn start(setup: &Setup, cores: &[usize]) -> Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut command = Command::new(program);
        command.arg("worker").args(arguments(setup)).stdin(Stdio::piped()).stdout(Stdio::piped());
        sys::dies_with_us(&mut command);
        let mut child = sys::pinned(cores, || command.spawn().context("cannot start a worker"))?;
        let orders = child.stdin.take().context("the worker's standard input")?;
        let answers = child.stdout.take().context("the worker's standard output")?;
        let label = setup.client.text().to_owned();
        Ok(Self { child, orders, answers: BufReader::new(answers), label })
    }

    /// Gives an order and waits for its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, order: Order) -> Result<T> {
        let order = serde_json::to_string(&order)?;
        // A worker that ended has said why on standard error; what matters here is which one it was.
        let sent = writeln!(self.orders, "{order}");
        let mut answer = String::new();
        if sent.is_err() || self.answers.read_line(&mut answer)? == 0 {
            bail!("the worker of {} ended on {order}; its error is above", self.label);
        }
        serde_json::from_str(&answer).with_context(|| format!("{} answered {answer}", self.label))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The setup as command-line arguments.
pub(crate) fn arguments(setup: &Setup) -> Vec<String> {
    let flavor = match setup.flavor {
        Flavor::Current => "current",
        Flavor::Multi => "multi",
    };
    let value_size = setup.value_size.to_string();
    [
        "--client",
        setup.client.text(),
        "--flavor",
        flavor,
        "--url",
        &setup.url,
        "--value-size",
        &value_size,
    ]
    .map(str::to_owned)
    .to_vec()
}
