//! The wire: what lies between the hosts, as a thread that takes packets from TUN devices and gives
//! them to others.
//!
//! [`Switch`] decides, without I/O; `forwarder` moves bytes and wakes in time; `Wire` is the handle by
//! which the lab sets faults.

mod dns;
mod flows;
mod forwarder;
mod packet;
mod switch;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub(super) use forwarder::Devices;
pub(super) use switch::Switch;

use super::sys;

/// The client's only address.
pub(super) const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
/// The name server, which the wire itself plays.
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 53);

/// A running wire; ends when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    switch: Mutex<Switch>,
    /// Set once, when the thread is to end.
    ending: std::sync::atomic::AtomicBool,
    wakeup: File,
}

impl Shared {
    fn switch(&self) -> MutexGuard<'_, Switch> {
        // The switch holds no invariant that a panic could break half-way and that matters after it.
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    pub(super) fn start(switch: Switch, devices: Devices) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            switch: Mutex::new(switch),
            ending: false.into(),
            wakeup: sys::wakeup()?,
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("redial-wire".to_owned())
            .spawn(move || forwarder::run(&of_thread, &devices))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Looks at the switch or changes it; the change holds for every packet that enters from now on.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Switch) -> T) -> T {
        let result = act(&mut self.shared.switch());
        self.wake();
        result
    }

    fn wake(&self) {
        // Can fail only where the counter is full, and then the thread is awake.
        let _ = (&self.shared.wakeup).write(&1_u64.to_ne_bytes());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.ending.store(true, std::sync::atomic::Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
