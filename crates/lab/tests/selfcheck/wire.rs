//! The wire itself: its delay, its rate, its order, and the kernel's arithmetic over it.

use std::fs;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use redial_lab::{HostId, Lab};

use crate::support::{Plain, counter, ensure, eventually, lab_with};

pub(crate) fn round_trip_time() -> Result<(), Failed> {
    for rtt in [2, 20].map(Duration::from_millis) {
        let lab = lab_with(|options| options.rtt = rtt)?;
        let mut client = Plain::dial(&lab)?;
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..51 {
            let start = Instant::now();
            client.ask("PING")?;
            took.push(start.elapsed());
        }
        took.sort();
        let (least, median) = (took[0], took[took.len() / 2]);
        println!("rtt {rtt:?}: a PING takes {least:?} at least, {median:?} in the median");
        ensure(least >= rtt, || format!("{least:?} is less than {rtt:?}"))?;
        ensure(median < rtt + Duration::from_millis(2), || format!("{median:?} is too late"))?;
    }
    Ok(())
}

/// A counter of the network that the process is in.
fn network_counter(pid: u32, file: &str, protocol: &str, name: &str) -> Result<u64, Failed> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/{file}"))?;
    Ok(counter(&table, protocol, name).ok_or_else(|| format!("no {protocol} {name}"))?)
}

pub(crate) fn packet_rate() -> Result<(), Failed> {
    const ATTEMPTS: usize = 4;
    let lab = lab_with(|_| {})?;
    // A packet lost is a failure at once; a machine too busy to send at the rate gets another try.
    for _ in 0..ATTEMPTS {
        if keeps_pace(&lab)? {
            return Ok(());
        }
    }
    Err(format!("the rate was not reached in {ATTEMPTS} attempts").into())
}

/// Sends 30,000 packets a second for two seconds.
fn keeps_pace(lab: &Lab) -> Result<bool, Failed> {
    const PER_SECOND: u64 = 30_000;
    const FOR: Duration = Duration::from_secs(2);
    const BURST: u64 = 300; // well below what waits in a device
    let pid = lab.server(HostId::A).pid().ok_or("A is not running")?;
    // Nobody listens there: the host's kernel counts the packet and is done with it.
    let arrived = || network_counter(pid, "snmp", "Udp", "NoPorts");
    let before = arrived()?;
    let socket = lab.on_client_host(|| UdpSocket::bind("10.77.0.50:0"))??;
    let start = Instant::now();
    let mut sent = 0;
    while sent < PER_SECOND * FOR.as_secs() {
        let due = PER_SECOND * start.elapsed().as_micros() as u64 / 1_000_000;
        let burst = BURST.min(due - sent);
        for _ in 0..burst {
            socket.send_to(&[0; 64], "10.77.0.1:9")?;
        }
        sent += burst;
        std::thread::sleep(Duration::from_micros(500));
    }
    let took = start.elapsed();
    std::thread::sleep(Duration::from_millis(100)); // what is later than this did not keep pace
    let in_time = arrived()? - before;
    eventually("every packet arrives", || Ok(arrived()? - before >= sent))?;
    let stats = lab.wire_stats();
    println!("{sent} packets in {took:?}, {in_time} arrived in time: {stats:?}");
    ensure(stats.refused_packets == 0, || format!("{stats:?}"))?;
    Ok(took < FOR + Duration::from_millis(200) && in_time >= sent)
}

pub(crate) fn upload() -> Result<(), Failed> {
    const MEGABYTE: usize = 1 << 20;
    const COUNT: usize = 200;
    let lab = lab_with(|options| options.rtt = Duration::from_millis(20))?;
    let mut client = Plain::dial(&lab)?;
    let mut command = format!("*3\r\n$6\r\nAPPEND\r\n$3\r\nkey\r\n${MEGABYTE}\r\n").into_bytes();
    command.extend(std::iter::repeat_n(b'x', MEGABYTE));
    command.extend_from_slice(b"\r\n");
    let start = Instant::now();
    for _ in 0..COUNT {
        client.0.write_all(&command)?;
    }
    let wanted = format!(":{}\r\n", COUNT * MEGABYTE);
    while !client.hear(Duration::from_secs(30))?.ends_with(&wanted) {}
    let took = start.elapsed();
    let rate = (COUNT * MEGABYTE) as f64 / 1e6 / took.as_secs_f64();
    println!("{COUNT} MB at rtt 20 ms in {took:?}: {rate:.0} MB/s");
    ensure(took < Duration::from_secs(30), || format!("it took {took:?}"))?;
    ensure_in_order(&lab)?;
    let length = lab.server(HostId::A).command(&["STRLEN", "key"])?.as_int();
    ensure(length == Some((COUNT * MEGABYTE) as i64), || format!("{length:?} bytes arrived"))
}

/// Behind a packet that is lost or late, the receiving kernel has to keep others out of order. (What was
/// sent again is no measure: on a busy machine a sender does that for an acknowledgement that is late.)
fn ensure_in_order(lab: &Lab) -> Result<(), Failed> {
    let server = lab.server(HostId::A).pid().ok_or("A is not running")?;
    let out_of_order = network_counter(server, "netstat", "TcpExt", "TCPOFOQueue")?;
    let stats = lab.wire_stats();
    ensure(out_of_order == 0, || format!("{out_of_order} segments out of order: {stats:?}"))?;
    ensure(stats.refused_packets + stats.dropped_packets == 0, || format!("{stats:?}"))
}

pub(crate) fn power_off_lasts_13_seconds() -> Result<(), Failed> {
    let lab = lab_with(|options| {
        options.tcp_retries2 = Some(5);
        options.rtt = Duration::ZERO;
    })?;
    let mut client = Plain::dial(&lab)?;
    client.ask("PING")?;
    lab.power_off(HostId::A);
    lab.promote(HostId::B)?;
    lab.point_endpoint(Some(HostId::B));
    client.send("PING")?;
    let start = Instant::now();
    let error = client.hear(Duration::from_secs(30)).err().ok_or("the dead answered")?;
    let took = start.elapsed();
    println!("{error} after {took:?}");
    ensure(error.kind() == io::ErrorKind::TimedOut, || format!("{error} after {took:?}"))?;
    let expected = Duration::from_millis(12_500)..Duration::from_millis(14_500);
    ensure(expected.contains(&took), || format!("{error} after {took:?}"))?;
    eventually("new flows reach B", || Ok(Plain::dial(&lab)?.ask("SET key value")? == "+OK\r\n"))
}
