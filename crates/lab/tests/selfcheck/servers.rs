//! Servers, endpoint, and the client's host.

use std::net::{IpAddr, ToSocketAddrs};
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Failed;
use redial_lab::{Endpoint, HostId, Lab, LabError, LabOptions, Reply, RestartWith};

use crate::support::{Plain, SOON, ensure, eventually, lab, lab_with};

pub(crate) fn starts_in_sync() -> Result<(), Failed> {
    let lab = lab()?;
    ensure(lab.url() == "redis://10.77.0.100:6379", || lab.url())?;
    let version = lab.server_version();
    ensure(version.contains('.') && version.contains(' '), || version.to_owned())?;
    let mut client = Plain::dial(&lab)?;
    ensure(client.ask("SET key value")? == "+OK\r\n", || "SET was refused".into())?;
    let key = |host: HostId| lab.server(host).command(&["GET", "key"]);
    ensure(key(HostId::A)? == Reply::Bytes(b"value".to_vec()), || "A does not have it".into())?;
    eventually("B has what A has", || Ok(key(HostId::B)? == key(HostId::A)?))?;
    let role = |host: HostId| lab.server(host).info("replication", "role");
    ensure(role(HostId::A)?.as_deref() == Some("master"), || format!("{:?}", role(HostId::A)))?;
    ensure(role(HostId::B)?.as_deref() == Some("slave"), || format!("{:?}", role(HostId::B)))
}

pub(crate) fn client_program() -> Result<(), Failed> {
    let lab = lab()?;
    let mut command = lab.client_command("sh");
    command.args(["-c", "echo $REDIS_URL; cat /proc/net/dev"]).stdout(Stdio::piped());
    let output = lab.spawn(command)?.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure(text.starts_with("redis://10.77.0.100:6379\n"), || text.clone())?;
    let devices: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).skip(1).collect();
    ensure(devices == ["lo", "wire0"], || text.clone())?;
    let missing = lab.spawn(lab.client_command("/nowhere/program"));
    let error = missing.err().ok_or("a program that does not exist was started")?.to_string();
    ensure(error.contains("/nowhere/program"), || error.clone())
}

pub(crate) fn dns() -> Result<(), Failed> {
    let lab = lab_with(|options| options.endpoint = Endpoint::Dns)?;
    ensure(lab.url() == "redis://redis.drill:6379", || lab.url())?;
    let resolve = |name: &'static str| lab.on_client_host(|| (name, 6379).to_socket_addrs());
    let addresses = |host: HostId| -> Result<(), Failed> {
        let found: Vec<IpAddr> = resolve("redis.drill")??.map(|address| address.ip()).collect();
        ensure(found == [IpAddr::from(host.ip())], || format!("{found:?} instead of {host}"))
    };
    addresses(HostId::A)?;
    let mut before = Plain::dial_within(&lab, "10.77.0.1:6379", SOON)?;
    lab.point_endpoint(Some(HostId::B));
    addresses(HostId::B)?;
    let mut after = Plain::dial_within(&lab, "10.77.0.2:6379", SOON)?;
    ensure(before.run_id()? != after.run_id()?, || "the name leads to one server only".into())?;
    ensure(resolve("example.com")?.is_err(), || "another name was resolved".into())
}

pub(crate) fn restart() -> Result<(), Failed> {
    let lab = lab()?;
    let server = lab.server(HostId::A);
    let state = || -> Result<(Option<String>, Reply), LabError> {
        Ok((server.info("server", "run_id")?, server.command(&["DBSIZE"])?))
    };
    server.command(&["SET", "key", "value"])?;
    let first = state()?;
    server.restart(RestartWith::ItsData)?;
    let second = state()?;
    ensure(second.0 != first.0 && second.1 == Reply::Int(1), || format!("{first:?} {second:?}"))?;
    server.restart(RestartWith::Nothing)?;
    let third = state()?;
    ensure(third.0 != second.0 && third.1 == Reply::Int(0), || format!("{second:?} {third:?}"))
}

pub(crate) fn failover() -> Result<(), Failed> {
    let lab = lab()?;
    let mut client = Plain::dial(&lab)?;
    for n in 0..100 {
        client.ask(&format!("SET key{n} value"))?;
    }
    lab.failover(HostId::B, Duration::from_secs(3))?;
    let size = lab.server(HostId::B).command(&["DBSIZE"])?;
    ensure(size == Reply::Int(100), || format!("{size:?}"))?;
    let refused = client.ask("SET key value")?;
    ensure(refused.starts_with("-READONLY"), || refused.clone())?;
    lab.wait_for_sync(HostId::A, SOON)?;
    // The wire between the hosts is cut: the failover back can't be agreed upon.
    lab.power_off(HostId::A);
    let error = lab.failover(HostId::A, Duration::from_millis(500));
    ensure(error.is_err(), || "a failover to a host without power succeeded".into())
}

pub(crate) fn cannot_start() -> Result<(), Failed> {
    let options = |change: fn(&mut LabOptions)| {
        let mut options = LabOptions::default();
        change(&mut options);
        Lab::start(options).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let bad_option = options(|o| o.server_args = vec!["--no-such-option".into(), "1".into()]);
    ensure(bad_option.contains("no-such-option"), || bad_option.clone())?;
    let no_program = options(|o| o.server_bin = Some("/nowhere/redis-server".into()));
    ensure(no_program.contains("/nowhere/redis-server"), || no_program.clone())
}
