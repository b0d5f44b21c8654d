//! The thread of the wire: reads TUN devices, asks the switch, writes TUN devices, and sleeps until
//! there is something to do. Decides nothing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Shared;
use super::switch::{End, InTransit};
use crate::HostId;
use crate::linux::sys;

/// Larger than the devices' MTU.
const LARGEST_PACKET: usize = 2048;
/// Packets moved while the lock is held, or without looking at the other devices: enough to spare
/// system calls, few enough that whoever sets a fault waits microseconds.
const BATCH: usize = 64;

/// The TUN devices, non-blocking.
#[derive(Debug)]
pub(in crate::linux) struct Devices {
    pub(in crate::linux) client: File,
    /// In the order of the hosts.
    pub(in crate::linux) hosts: Vec<File>,
}

impl Devices {
    /// `None` for a host that this lab does not have.
    fn of(&self, end: End) -> Option<&File> {
        match end {
            End::Client => Some(&self.client),
            End::Host(host) => self.hosts.get(host.index()),
        }
    }

    fn all(&self) -> impl Iterator<Item = (End, &File)> {
        let hosts = HostId::range(0, self.hosts.len()).into_iter().map(End::Host);
        std::iter::once((End::Client, &self.client)).chain(hosts.zip(&self.hosts))
    }
}

pub(super) fn run(shared: &Shared, devices: &Devices) {
    // At the usual priority: with a higher one this thread takes the processor from a sender at every
    // packet, and on a busy machine 30,000 packets a second became 7,000.
    sys::sharpen_timers();
    let mut arrived = Arrivals::new();
    let mut leaving = Vec::with_capacity(BATCH);
    let wakeup = std::iter::once(shared.wakeup.as_fd());
    let watched: Vec<_> = wakeup.chain(devices.all().map(|(_, device)| device.as_fd())).collect();
    while !shared.ending.load(Ordering::Acquire) {
        let (next_due, full) = deliver(shared, devices, &mut leaving);
        let timeout = if full {
            Some(std::time::Duration::ZERO)
        } else {
            next_due.map(|due| due.saturating_duration_since(Instant::now()))
        };
        let Ok(readable) = sys::wait_readable(&watched, timeout) else { return };
        if readable[0] {
            let _ = (&shared.wakeup).read(&mut [0; 8]);
        }
        for ((end, device), readable) in devices.all().zip(&readable[1..]) {
            if *readable {
                arrived.read_from(device);
                let mut switch = shared.switch();
                let now = Instant::now();
                for packet in arrived.iter() {
                    switch.handle_packet(now, end, packet);
                }
            }
        }
    }
}

/// Writes what is due. Returns when the next is, and whether there is more already.
fn deliver(
    shared: &Shared,
    devices: &Devices,
    leaving: &mut Vec<InTransit>,
) -> (Option<Instant>, bool) {
    {
        let mut switch = shared.switch();
        let now = Instant::now();
        while leaving.len() < BATCH
            && let Some(packet) = switch.poll_delivery(now)
        {
            leaving.push(packet);
        }
        if leaving.is_empty() {
            return (switch.poll_timeout(), false);
        }
    }
    // Without the lock: the receiving kernel's TCP runs inside of this write.
    let full = leaving.len() == BATCH;
    let taken: Vec<bool> = leaving
        .iter()
        .map(|packet| {
            let device = devices.of(packet.to);
            device.is_some_and(|mut device| {
                device.write(&packet.bytes).is_ok_and(|n| n == packet.bytes.len())
            })
        })
        .collect();
    let mut switch = shared.switch();
    for (packet, taken) in leaving.drain(..).zip(taken) {
        switch.on_delivered(packet.bytes, taken);
    }
    (switch.poll_timeout(), full)
}

/// A batch of packets as read.
struct Arrivals {
    buffer: Vec<u8>,
    lengths: Vec<usize>,
}

impl Arrivals {
    fn new() -> Self {
        Self { buffer: vec![0; BATCH * LARGEST_PACKET], lengths: Vec::with_capacity(BATCH) }
    }

    fn read_from(&mut self, mut device: &File) {
        self.lengths.clear();
        for place in self.buffer.chunks_exact_mut(LARGEST_PACKET) {
            match device.read(place) {
                Ok(length) if length > 0 => self.lengths.push(length),
                // WouldBlock: all read. The device can't end while this thread has it open.
                _ => return,
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.buffer
            .chunks_exact(LARGEST_PACKET)
            .zip(&self.lengths)
            .map(|(place, length)| &place[..*length])
    }
}
