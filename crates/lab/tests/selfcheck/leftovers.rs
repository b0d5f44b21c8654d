//! Nothing is left behind, however a lab ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::Failed;
use redial_lab::{HostId, Lab, LabOptions};

use crate::support::{ensure, eventually, lab};

const VICTIM: &str = "REDIAL_LAB_SELFCHECK_VICTIM";
/// A program under test that starts another and does not end by itself.
const FAMILY: &str = "sleep 30 & echo $!; wait";

/// In the process that [`after_a_kill`] kills: builds a lab, tells what is in it, and waits.
pub(crate) fn as_the_victim() -> Option<ExitCode> {
    std::env::var_os(VICTIM)?;
    let told = redial_lab::enter()
        .and_then(|()| Lab::start(LabOptions::default()))
        .and_then(|lab| Ok((start_family(&lab)?, lab)));
    match told {
        Ok((family, lab)) => {
            let servers = HostId::PAIR.into_iter().filter_map(|host| lab.server(host).pid());
            let pids: Vec<String> = servers.chain(family.1).map(|pid| pid.to_string()).collect();
            println!("{}", pids.join(" "));
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        Err(error) => println!("{error}"),
    }
    Some(ExitCode::FAILURE)
}

/// Starts a client program and its child. Returns their ids.
fn start_family(lab: &Lab) -> Result<(Child, Vec<u32>), redial_lab::LabError> {
    let mut command = lab.client_command("sh");
    command.args(["-c", FAMILY]).stdout(Stdio::piped());
    let mut parent = lab.spawn(command)?;
    let mut line = String::new();
    if let Some(output) = parent.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    let pids = [Some(parent.id()), line.trim().parse().ok()].into_iter().flatten().collect();
    Ok((parent, pids))
}

/// Dead, or dead and not yet collected by whoever inherited it.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

pub(crate) fn after_a_kill() -> Result<(), Failed> {
    let before = listing()?;
    let mut victim =
        Command::new(std::env::current_exe()?).env(VICTIM, "1").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let output = victim.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let pids: Vec<u32> = line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    ensure(pids.len() == 4, || format!("two servers and two programs, not {line:?}"))?;
    ensure(!pids.iter().any(|pid| is_gone(*pid)), || "they are not running".into())?;
    victim.kill()?;
    victim.wait()?;
    eventually("all of its processes are gone", || Ok(pids.iter().all(|pid| is_gone(*pid))))?;
    ensure(listing()? == before, || format!("{before:?}, and then {:?}", listing()))
}

pub(crate) fn after_a_drop() -> Result<(), Failed> {
    let before = listing()?;
    let lab = lab()?;
    let (mut parent, mut pids) = start_family(&lab)?;
    pids.extend(HostId::PAIR.into_iter().filter_map(|host| lab.server(host).pid()));
    ensure(pids.len() == 4, || format!("{pids:?}"))?;
    drop(lab);
    parent.wait()?;
    eventually("all of its processes are gone", || Ok(pids.iter().all(|pid| is_gone(*pid))))?;
    ensure(listing()? == before, || format!("{before:?}, and then {:?}", listing()))
}

/// What a lab could leave in the system, if it did not keep to its own namespaces: named network
/// namespaces, and mounts.
fn listing() -> Result<Vec<String>, Failed> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/run/netns").into_iter().flatten() {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.extend(fs::read_to_string("/proc/self/mounts")?.lines().map(str::to_owned));
    Ok(names)
}
