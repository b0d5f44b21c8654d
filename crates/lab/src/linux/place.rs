//! One end of the wire: a network namespace with a TUN device, whose other side the wire reads.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::enter::{Session, c_path, doing};
use super::sys::{self, Setting};
use super::{forbidden, scratch};
use crate::LabError;

const DEVICE: &str = "wire0";
/// All addresses of the lab are in one network, so the kernel makes the only route there is, and a
/// program that asks for the Internet hears at once that there is none.
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);
/// Ethernet's, so that segments have the size that they have in production.
const MTU: i32 = 1500;
/// What a kernel may send while the wire's thread is not running, above any congestion window here.
/// At the default of 500 the device itself would drop packets.
const QUEUE: u32 = 10_000;

/// What one end of the wire is to be.
pub(super) struct Plan {
    /// The address of its device.
    pub(super) ip: Ipv4Addr,
    /// A further address that it takes packets for.
    pub(super) also: Option<Ipv4Addr>,
    /// Its `net.ipv4.tcp_retries2`, where not the kernel's default.
    pub(super) tcp_retries2: Option<u32>,
}

/// A network namespace, kept by this descriptor and the processes in it; it has no name anywhere.
#[derive(Debug)]
pub(super) struct Network {
    namespace: Arc<OwnedFd>,
    /// As `/proc/PID/ns/net` shows it.
    identity: PathBuf,
}

impl Network {
    /// Makes the namespace and its device. Returns the wire's side of the device too.
    pub(super) fn make(session: &Session, plan: &Plan) -> Result<(Self, File), LabError> {
        // On a thread of its own: a thread that has left the process's namespace can't come back
        // without being privileged there, and must not run anything else.
        on_thread(|| make_here(session, plan))?
    }

    pub(super) fn namespace(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.namespace)
    }

    pub(super) fn identity(&self) -> &PathBuf {
        &self.identity
    }

    /// Runs the closure on a thread inside of the namespace.
    pub(super) fn run<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        on_thread(|| {
            sys::enter_network(self.namespace.as_fd())
                .map_err(doing("enter a network namespace"))?;
            Ok(run())
        })?
    }
}

fn on_thread<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, LabError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, run);
        let thread = thread.map_err(doing("start a thread"))?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn make_here(session: &Session, plan: &Plan) -> Result<(Network, File), LabError> {
    sys::unshare(libc::CLONE_NEWNET).map_err(|error| forbidden::namespaces(&error))?;
    let tun = open_tun(&session.scratch)?;
    sys::make_tun(tun.as_fd(), DEVICE).map_err(|error| forbidden::tun(&error))?;
    configure(plan).map_err(doing("configure a host's network"))?;
    if let Some(retries) = plan.tcp_retries2 {
        // Read and written of the calling thread's namespace.
        std::fs::write("/proc/sys/net/ipv4/tcp_retries2", retries.to_string())
            .map_err(doing(format!("set net.ipv4.tcp_retries2={retries} on the client's host")))?;
    }
    let own = "/proc/thread-self/ns/net";
    let namespace = File::open(own).map_err(doing("open a network namespace"))?;
    let identity = std::fs::read_link(own).map_err(doing("read a network namespace"))?;
    Ok((Network { namespace: Arc::new(namespace.into()), identity }, tun))
}

fn configure(plan: &Plan) -> io::Result<()> {
    sys::set_interface("lo", &Setting::Up)?;
    if let Some(ip) = plan.also {
        sys::set_interface("lo:also", &Setting::Address(ip))?;
        sys::set_interface("lo:also", &Setting::Netmask(Ipv4Addr::BROADCAST))?;
    }
    sys::set_interface(DEVICE, &Setting::Mtu(MTU))?;
    sys::set_queue_length(DEVICE, QUEUE)?;
    sys::set_interface(DEVICE, &Setting::Address(plan.ip))?;
    sys::set_interface(DEVICE, &Setting::Netmask(NETMASK))?;
    sys::set_interface(DEVICE, &Setting::Up)
}

/// Opens the TUN control device; where there is no device file, one in the scratch file system.
pub(super) fn open_tun(scratch: &File) -> Result<File, LabError> {
    let open = |path: &std::path::Path| {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
    };
    let missing = match open("/dev/net/tun".as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        opened => return opened.map_err(|error| forbidden::tun(&error)),
    };
    let own = scratch::path(scratch).join("tun");
    let make = || -> io::Result<File> {
        if !own.exists() {
            sys::make_device(&c_path(&own)?, 10, 200)?;
        }
        open(&own)
    };
    make().map_err(|_| forbidden::tun(&missing))
}
