//! The system calls that the standard library does not have, each behind a safe function.
//!
//! All of the crate's unsafe code is here and in nothing else; it decides nothing.
#![expect(unsafe_code, reason = "system calls without a safe wrapper in std")]

use std::ffi::{CStr, c_int};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Fails with `errno` where a system call returned -1.
fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Moves the calling thread into new namespaces (`CLONE_NEW…`).
pub(super) fn unshare(namespaces: c_int) -> io::Result<()> {
    // SAFETY: takes no pointer; no flag is passed that unshares the file descriptor table.
    check(unsafe { libc::unshare(namespaces) }).map(drop)
}

/// Moves the calling thread into the network namespace behind `fd`.
pub(super) fn enter_network(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointer; the descriptor is borrowed, hence open.
    check(unsafe { libc::setns(fd.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// `mount(2)`.
pub(super) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    options: &CStr,
) -> io::Result<()> {
    // SAFETY: all pointers are to strings that live through the call; `options` is a string, which is
    // what the file systems mounted here (tmpfs, or none) take.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })
    .map(drop)
}

/// Takes a mount out of the tree; it lives on for whoever has it open.
pub(super) fn unmount_lazily(target: &CStr) -> io::Result<()> {
    // SAFETY: the pointer is to a string that lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Makes a character device file.
pub(super) fn make_device(path: &CStr, major: u32, minor: u32) -> io::Result<()> {
    // SAFETY: the pointer is to a string that lives through the call.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(major, minor)) })
        .map(drop)
}

/// The effective user and group.
pub(super) fn user_and_group() -> (u32, u32) {
    // SAFETY: both take nothing and can't fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// `kill(2)`.
pub(super) fn signal(pid: u32, signal: c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    if pid <= 0 {
        // 0 and below name groups of processes, or all of them.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes no pointer.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Forks, runs `child` in the child, and ends it there. The child never returns from here.
///
/// To be called while the process has one thread: only then may the child allocate.
pub(super) fn fork(child: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the process has one thread (see above), so no lock is held by a thread that the child
    // does not have.
    match check(unsafe { libc::fork() })? {
        0 => {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process without running what the parent has registered to run at exit.
            unsafe { libc::_exit(0) }
        }
        _ => Ok(()),
    }
}

/// Leaves the terminal's session and the standard streams, so that neither Ctrl-C nor a pipe's
/// reader depends on this process.
pub(super) fn detach_from_terminal() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // SAFETY: the first takes nothing; the others replace the standard streams by an open descriptor.
    unsafe {
        check(libc::setsid())?;
        for stream in 0..=2 {
            check(libc::dup2(null.as_raw_fd(), stream))?;
        }
    }
    Ok(())
}

/// A pipe, reading end first, closed on exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Lets the calling thread's timers expire on time instead of up to 50 µs late.
pub(super) fn sharpen_timers() {
    // SAFETY: takes no pointer. Failing is harmless: the default slack stays.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// A counter to wake a thread that polls: readable from a write of eight bytes until the next read.
pub(super) fn wakeup() -> io::Result<File> {
    // SAFETY: takes no pointer; the returned descriptor is new and nobody else's.
    unsafe {
        let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(File::from_raw_fd(fd))
    }
}

/// Waits until one of the descriptors is readable or the time is over. Returns which are readable.
pub(super) fn wait_readable(
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let poll =
        |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<_> = fds.iter().map(poll).collect();
    let number = libc::nfds_t::try_from(polled.len()).unwrap_or(libc::nfds_t::MAX);
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `polled` has `number` elements and `timeout` null or a timespec, both alive through the call.
    let returned = unsafe { libc::ppoll(polled.as_mut_ptr(), number, timeout, std::ptr::null()) };
    match check(returned) {
        Ok(_) => Ok(polled.iter().map(|p| p.revents != 0).collect()),
        Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {
            Ok(vec![false; fds.len()])
        }
        Err(error) => Err(error),
    }
}

/// `struct ifreq`: a name and a union, of which 24 bytes are the most that any system has.
#[repr(C, align(8))]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

fn interface_ioctl(fd: RawFd, request: libc::Ioctl, name: &str, value: &[u8]) -> io::Result<()> {
    let mut asked = InterfaceRequest { name: [0; libc::IFNAMSIZ], value: [0; 24] };
    if name.len() >= libc::IFNAMSIZ || value.len() > asked.value.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    asked.name[..name.len()].copy_from_slice(name.as_bytes());
    asked.value[..value.len()].copy_from_slice(value);
    // SAFETY: `asked` has the layout of an ifreq and at least its size, and lives through the call.
    check(unsafe { libc::ioctl(fd, request, std::ptr::from_mut(&mut asked)) }).map(drop)
}

/// Makes an opened `/dev/net/tun` the TUN device `name` (bare IP packets) of the network namespace
/// that the calling thread is in.
pub(super) fn make_tun(tun: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    interface_ioctl(tun.as_raw_fd(), libc::TUNSETIFF, name, &flags.to_ne_bytes())
}

/// What can be set of a network interface of the calling thread's namespace.
pub(super) enum Setting {
    /// Its IPv4 address.
    Address(Ipv4Addr),
    /// The mask that goes with the address; the kernel makes the route.
    Netmask(Ipv4Addr),
    /// Largest packet, in bytes.
    Mtu(i32),
    /// Up and running.
    Up,
}

/// Sets one thing of the interface; `name:label` gives it a further address.
pub(super) fn set_interface(name: &str, setting: &Setting) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let fd = socket.as_fd().as_raw_fd();
    let (request, value) = match setting {
        Setting::Address(ip) => (libc::SIOCSIFADDR, socket_address(*ip)),
        Setting::Netmask(ip) => (libc::SIOCSIFNETMASK, socket_address(*ip)),
        Setting::Mtu(bytes) => (libc::SIOCSIFMTU, bytes.to_ne_bytes().to_vec()),
        Setting::Up => {
            let flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
            (libc::SIOCSIFFLAGS, flags.to_ne_bytes().to_vec())
        }
    };
    interface_ioctl(fd, request as libc::Ioctl, name, &value)
}

/// Sets how many packets may wait at the interface. By netlink, since the ioctl for it is the one that
/// wants to be root outside of the user namespace too.
pub(super) fn set_queue_length(name: &str, packets: u32) -> io::Result<()> {
    let attribute = |kind: u16, value: &[u8]| {
        let length = 4 + u16::try_from(value.len()).unwrap_or(u16::MAX);
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value, &padding].concat()
    };
    // nlmsghdr (length, type, flags, sequence, port), then an ifinfomsg that leaves the interface to
    // its name, then the attributes.
    let name = [name.as_bytes(), &[0]].concat();
    let body = [
        vec![0; size_of::<libc::c_int>() * 4],
        attribute(libc::IFLA_IFNAME, &name),
        attribute(libc::IFLA_TXQLEN, &packets.to_ne_bytes()),
    ]
    .concat();
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let message = [
        &(16 + body.len() as u32).to_ne_bytes()[..],
        &libc::RTM_NEWLINK.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
        &body,
    ]
    .concat();
    let mut answer = [0_u8; 1024];
    // SAFETY: the descriptor is new and nobody else's; both buffers have the lengths announced.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let socket =
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE))?);
        let fd = socket.as_raw_fd();
        if libc::send(fd, message.as_ptr().cast(), message.len(), 0) < 0
            || libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) < 20
        {
            return Err(io::Error::last_os_error());
        }
    }
    // The acknowledgement: a header, and an errno negated or 0.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// The bytes of a `sockaddr_in` without port.
fn socket_address(ip: Ipv4Addr) -> Vec<u8> {
    let family = libc::AF_INET as libc::sa_family_t;
    [&family.to_ne_bytes()[..], &[0, 0], &ip.octets(), &[0; 8]].concat()
}

/// Where a child process is to run.
pub(super) struct Place {
    /// The network namespace.
    pub(super) network: Arc<OwnedFd>,
    /// The working directory, where it is not to be the parent's.
    pub(super) directory: Option<OwnedFd>,
}

/// Makes the command run in a place, and die with the thread that spawns it.
pub(super) fn run_in(command: &mut Command, place: Place) {
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure makes system calls only: it allocates nothing, takes
    // no lock, and touches no memory but what it owns.
    unsafe {
        command.pre_exec(move || {
            enter_network(place.network.as_fd())?;
            if let Some(directory) = &place.directory {
                check(libc::fchdir(directory.as_raw_fd()))?;
            }
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid().cast_unsigned() != parent {
                // The parent died before it could be asked to take us along.
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}
