//! Every fault does what it says, and can be taken back where it says so.

use std::io;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use redial_lab::{FlowState, HostId, Lab, RestartWith};

use crate::support::{ENDPOINT, Plain, QUIET, SOON, ensure, eventually, lab};

fn value(lab: &Lab, key: &str) -> Result<Option<i64>, Failed> {
    Ok(lab.server(HostId::A).command(&["GET", key])?.as_int())
}

pub(crate) fn pinned() -> Result<(), Failed> {
    let lab = lab()?;
    let mut old = Plain::dial(&lab)?;
    let first = old.run_id()?;
    lab.promote(HostId::B)?;
    lab.point_endpoint(Some(HostId::B));
    let mut new = Plain::dial(&lab)?;
    ensure(new.run_id()? != first, || "the new flow went to the old host".into())?;
    ensure(old.run_id()? == first, || "the old flow was moved".into())?;
    lab.power_off(HostId::A);
    old.send("INCR counter")?;
    old.ensure_silent()?;
    ensure(new.ask("PING")? == "+PONG\r\n", || "B is affected".into())?;
    lab.point_endpoint(None);
    let vanished = Plain::dial_within(&lab, ENDPOINT, QUIET);
    ensure(vanished.is_err(), || "an endpoint that leads nowhere was reached".into())?;
    let hosts: Vec<_> = lab.flows().iter().map(|flow| flow.host).collect();
    ensure(hosts == [HostId::A, HostId::B], || format!("{hosts:?}"))?;
    ensure(value(&lab, "counter")?.is_none(), || "a command reached a dead host".into())
}

pub(crate) fn freeze() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.server(HostId::A).stop_process()?;
    client.send("INCR counter")?;
    client.ensure_silent()?;
    let mut accepted = Plain::dial(&lab)?; // by the kernel
    accepted.send("PING")?;
    accepted.ensure_silent()?;
    let control = lab.server(HostId::A).command_within(&["PING"], QUIET);
    let error = control.err().ok_or("a frozen server answered")?.to_string();
    ensure(error.contains("did not answer within 200 ms"), || error.clone())?;
    lab.server(HostId::A).resume_process()?;
    ensure(client.hear(SOON)? == ":1\r\n", || "the command did not run after waking".into())?;
    ensure(accepted.hear(SOON)? == "+PONG\r\n", || "the new one was not answered".into())
}

pub(crate) fn partition() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.partition(true);
    client.send("INCR counter")?;
    client.ensure_silent()?;
    ensure(Plain::dial_within(&lab, ENDPOINT, QUIET).is_err(), || "a dial got through".into())?;
    lab.server(HostId::A).command(&["SET", "replicated", "1"])?;
    eventually("replication goes on", || {
        Ok(lab.server(HostId::B).command(&["GET", "replicated"])?.as_int() == Some(1))
    })?;
    ensure(value(&lab, "counter")?.is_none(), || "a command got through".into())?;
    lab.partition(false);
    ensure(client.hear(SOON)? == ":1\r\n", || "the flow did not survive".into())
}

pub(crate) fn dropped_replies() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.drop_replies(HostId::A, true);
    for _ in 0..10 {
        client.send("INCR counter")?;
    }
    eventually("the commands are applied", || Ok(value(&lab, "counter")? == Some(10)))?;
    client.ensure_silent()?;
    let mut new = Plain::dial(&lab)?; // SYN-ACKs pass
    new.send("PING")?;
    new.ensure_silent()?;
    let flow = lab.flows().remove(0);
    ensure(flow.to_client.dropped_packets > 0, || format!("{flow:?}"))?;
    lab.drop_replies(HostId::A, false);
    ensure(client.hear(SOON)?.starts_with(":1\r\n"), || "the replies were not sent again".into())?;
    ensure(value(&lab, "counter")? == Some(10), || "TCP delivered something twice".into())
}

pub(crate) fn hold() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.hold(HostId::A, true);
    client.send("INCR counter")?;
    client.ensure_silent()?;
    ensure(value(&lab, "counter")?.is_none(), || "it was not held".into())?;
    lab.hold(HostId::A, false);
    ensure(client.hear(SOON)? == ":1\r\n", || "it was not released".into())?;
    let stats = lab.wire_stats();
    ensure(stats.dropped_packets == 0, || format!("{stats:?}"))
}

/// Whether the server still has a client with this port.
fn knows(lab: &Lab, port: u16) -> Result<bool, Failed> {
    let list = lab.server(HostId::A).command(&["CLIENT", "LIST"])?;
    Ok(list.as_str().unwrap_or_default().contains(&format!("10.77.0.50:{port} ")))
}

fn ensure_reset(lab: &Lab, client: &mut Plain) -> Result<(), Failed> {
    let port = client.port()?;
    ensure(knows(lab, port)?, || "the server does not know the connection".into())?;
    let flows = lab.reset_flows(HostId::A);
    ensure(flows == 1, || format!("{flows} flows were reset"))?;
    let error = client.hear(SOON).err().ok_or("the client heard something else")?;
    ensure(error.kind() == io::ErrorKind::ConnectionReset, || format!("{error:?}"))?;
    eventually("the server dropped the connection", || Ok(!knows(lab, port)?))?;
    let state = lab.flows()[0].state;
    ensure(state == FlowState::Reset, || format!("{state:?}"))?;
    ensure(Plain::dial(lab)?.ask("PING")? == "+PONG\r\n", || "new flows suffer".into())
}

pub(crate) fn reset() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    ensure_reset(&lab, &mut client)
}

pub(crate) fn reset_after_losses() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    // Losses both ways: neither end has what the other sent last.
    lab.drop_replies(HostId::A, true);
    client.send("INCR counter")?;
    eventually("the command is applied", || Ok(value(&lab, "counter")? == Some(1)))?;
    lab.partition(true);
    client.send("INCR counter")?;
    std::thread::sleep(QUIET);
    lab.partition(false);
    lab.drop_replies(HostId::A, false);
    ensure_reset(&lab, &mut client)
}

pub(crate) fn half_dead() -> Result<(), Failed> {
    let lab = lab()?;
    let mut before = Plain::dial(&lab)?;
    lab.half_dead_dials(1);
    let mut half_dead = Plain::dial(&lab)?;
    let mut after = Plain::dial(&lab)?;
    half_dead.send("INCR counter")?;
    half_dead.ensure_silent()?;
    ensure(before.ask("PING")? == "+PONG\r\n", || "an older flow is dead".into())?;
    ensure(after.ask("PING")? == "+PONG\r\n", || "the second dial is dead too".into())?;
    ensure(value(&lab, "counter")?.is_none(), || "the command arrived".into())
}

pub(crate) fn blackhole() -> Result<(), Failed> {
    let lab = lab()?;
    let mut before = Plain::dial(&lab)?;
    let closed_for = Duration::from_millis(500);
    lab.blackhole_new_flows(closed_for);
    let start = Instant::now();
    let mut late = Plain::dial(&lab)?; // its kernel's second SYN, after a second
    ensure(start.elapsed() > closed_for, || format!("through after {:?}", start.elapsed()))?;
    ensure(late.ask("PING")? == "+PONG\r\n", || "it is not answered".into())?;
    ensure(before.ask("PING")? == "+PONG\r\n", || "an older flow suffers".into())?;
    let stats = lab.wire_stats();
    ensure(stats.vanished_syns == 1, || format!("{stats:?}"))
}

pub(crate) fn kill() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.server(HostId::A).kill()?;
    ensure(!lab.server(HostId::A).is_running(), || "it is still running".into())?;
    let end = client.hear(SOON);
    ensure(end.as_ref().is_ok_and(String::is_empty) || end.is_err(), || format!("{end:?}"))?;
    ensure(Plain::dial(&lab).is_err(), || "a dead server accepted".into())?;
    let error = lab.server(HostId::A).command(&["PING"]).err().ok_or("a dead server answered")?;
    ensure(error.to_string().contains("it is not running"), || error.to_string())?;
    lab.server(HostId::A).restart(RestartWith::Nothing)?;
    ensure(Plain::dial(&lab)?.ask("PING")? == "+PONG\r\n", || "it did not come back".into())
}

pub(crate) fn reboot() -> Result<(), Failed> {
    let lab = lab()?;
    let (mut idle, mut busy) = (Plain::dial(&lab)?, Plain::dial(&lab)?);
    let first = idle.run_id()?;
    busy.ask("SET key value")?;
    lab.power_off(HostId::A);
    busy.send("INCR counter")?;
    busy.ensure_silent()?;
    lab.reboot(HostId::A, RestartWith::Nothing)?;
    let error = busy.hear(SOON).err().ok_or("the flow survived a reboot")?;
    ensure(error.kind() == io::ErrorKind::ConnectionReset, || format!("{error:?}"))?;
    idle.ensure_silent()?;
    idle.send("PING")?;
    let error = idle.hear(SOON).err().ok_or("the idle flow survived a reboot")?;
    ensure(error.kind() == io::ErrorKind::ConnectionReset, || format!("{error:?}"))?;
    let mut new = Plain::dial(&lab)?;
    ensure(new.run_id()? != first, || "the server was not started anew".into())?;
    ensure(new.ask("DBSIZE")? == ":0\r\n", || "the server has kept its data".into())
}
