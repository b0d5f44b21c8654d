//! Labs of more than a pair: who is primary is decided by Sentinels and cluster nodes themselves.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use redial_lab::{Deployment, HostId, Lab, Reply, first_slots, slot_of};

use crate::support::{Plain, SOON, ensure, lab_with};

/// An election takes a few seconds, on a busy machine several.
const ELECTED_WITHIN: Duration = Duration::from_secs(20);

fn within(what: &str, mut so: impl FnMut() -> bool) -> Result<(), Failed> {
    let deadline = Instant::now() + ELECTED_WITHIN;
    while !so() {
        ensure(Instant::now() < deadline, || format!("it did not come about that {what}"))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn is_primary(lab: &Lab, host: HostId) -> bool {
    // The Sentinel that promotes a server kills its clients' connections, the lab's own too.
    matches!(lab.server(host).info("replication", "role"), Ok(Some(role)) if role == "master")
}

/// The host that the Sentinel names, asked by the client.
fn named(lab: &Lab, sentinel: HostId) -> Result<Option<HostId>, Failed> {
    let mut client = Plain::dial_within(lab, &format!("{}:26379", sentinel.ip()), SOON)?;
    let reply = client.ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster")?;
    Ok(reply.lines().nth(2).and_then(|ip| HostId::at(ip.parse().ok()?)))
}

pub(crate) fn sentinels() -> Result<(), Failed> {
    let lab = lab_with(|options| options.deployment = Deployment::Sentinel)?;
    let url = "redis+sentinel://10.77.0.3:26379,10.77.0.4:26379,10.77.0.5:26379/mymaster";
    ensure(lab.url() == url, || lab.url())?;
    let all = lab.deployment().sentinels();
    for sentinel in &all {
        ensure(named(&lab, *sentinel)? == Some(HostId::A), || format!("{sentinel}"))?;
    }
    lab.power_off(HostId::A);
    within("B is primary", || is_primary(&lab, HostId::B))?;
    within("all Sentinels name B", || {
        all.iter().all(|sentinel| matches!(named(&lab, *sentinel), Ok(Some(HostId::B))))
    })
}

pub(crate) fn split() -> Result<(), Failed> {
    let lab = lab_with(|options| options.deployment = Deployment::Sentinel)?;
    let all = lab.deployment().sentinels();
    lab.split(&[HostId::A, all[0]]);
    within("B is primary", || is_primary(&lab, HostId::B))?;
    within("the other two name B", || {
        all[1..].iter().all(|sentinel| matches!(named(&lab, *sentinel), Ok(Some(HostId::B))))
    })?;
    ensure(named(&lab, all[0])? == Some(HostId::A), || "it names another".into())?;
    ensure(is_primary(&lab, HostId::A), || "A gave up".into())?;
    lab.split(&[]);
    within("A is a replica", || !is_primary(&lab, HostId::A))?;
    within("the first names B", || matches!(named(&lab, all[0]), Ok(Some(HostId::B))))
}

pub(crate) fn cluster() -> Result<(), Failed> {
    let lab = lab_with(|options| options.deployment = Deployment::Cluster)?;
    let hosts = lab.deployment().servers();
    let url = "redis+cluster://10.77.0.1:6379,10.77.0.2:6379,10.77.0.3:6379";
    ensure(lab.url() == url, || lab.url())?;
    for n in 0..50 {
        let key = format!("key:{n}");
        let slot = slot_of(&key);
        let owner =
            hosts.iter().find(|host| first_slots(**host).is_some_and(|s| s.contains(&slot)));
        let owner = *owner.ok_or("a slot without an owner")?;
        let reply = lab.server(owner).command(&["SET", &key, "value"])?;
        ensure(reply == Reply::Status("OK".into()), || format!("{key} at {owner}: {reply:?}"))?;
    }
    let moved: Vec<u16> = (0..20).map(|n| slot_of(&format!("key:{n}"))).collect();
    let of_a = |slot: &&u16| first_slots(HostId::A).is_some_and(|slots| slots.contains(slot));
    let moved: Vec<u16> = moved.iter().filter(of_a).copied().collect();
    let has = |host: HostId| lab.server(host).command(&["DBSIZE"]);
    let before = has(HostId::A)?;
    lab.move_slots(moved.clone(), HostId::A, HostId::B)?;
    ensure(has(HostId::A)? != before, || "no key has moved".into())?;
    lab.move_slots(moved, HostId::B, HostId::A)?;
    ensure(has(HostId::A)? == before, || "not every key is back".into())?;
    lab.power_off(HostId::A);
    within("A's replica is elected", || is_primary(&lab, hosts[3]))?;
    let reply = lab.server(hosts[3]).command(&["SET", "key:1", "value"])?;
    let is_own = first_slots(HostId::A).is_some_and(|slots| slots.contains(&slot_of("key:1")));
    let is_right = match &reply {
        Reply::Status(_) => is_own,
        Reply::Error(text) => !is_own && text.starts_with("MOVED"),
        _ => false,
    };
    ensure(is_right, || format!("{reply:?}"))
}
