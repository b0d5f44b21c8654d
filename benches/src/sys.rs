//! What the measurements need of Linux: which cores a process may use, the CPU time it spent, its file limit, its memory.
//!
//! It decides nothing about what is measured.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The cores that this process may use, ascending.
pub(crate) fn allowed_cores() -> Result<Vec<usize>> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: `set` is a valid cpu_set_t (all zeroes is an empty set) of the size that is passed.
    #[expect(unsafe_code, reason = "sched_getaffinity has no safe wrapper in std")]
    let set = unsafe {
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error()).context("sched_getaffinity");
        }
        set.assume_init()
    };
    // SAFETY: the index stays below CPU_SETSIZE, the number of bits in the set.
    #[expect(unsafe_code, reason = "CPU_ISSET reads a bit of the set")]
    let is_set = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_set).collect())
}

/// Lets the calling thread, and what it spawns from now on, run on `cores` only.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    if let Some(core) = cores.iter().find(|core| **core >= libc::CPU_SETSIZE as usize) {
        bail!("core {core} is out of range; name one of {:?}", allowed_cores()?);
    }
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: all zeroes is an empty set, the indices were checked above, and the size is the set's own.
    #[expect(unsafe_code, reason = "sched_setaffinity has no safe wrapper in std")]
    let result = unsafe {
        for core in cores {
            libc::CPU_SET(*core, set.assume_init_mut());
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set.as_ptr())
    };
    if result != 0 {
        bail!(
            "cannot run on cores {cores:?} ({}); name others with --server-core and --client-core, of {:?}",
            io::Error::last_os_error(),
            allowed_cores()?
        );
    }
    Ok(())
}

/// Runs `f` pinned to `cores`, so that the process it spawns inherits them, and takes the old cores back.
pub(crate) fn pinned<T>(cores: &[usize], f: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = allowed_cores()?;
    pin(cores)?;
    let result = f();
    pin(&before)?;
    result
}

/// CPU time, user and system, that all threads of this process have spent.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec; the clock exists on every Linux, so the call cannot fail.
    #[expect(unsafe_code, reason = "clock_gettime of another clock than std's two")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Raises the limit of open files to `files`, the hard limit too where that is allowed.
pub(crate) fn raise_file_limit(files: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid rlimit.
    #[expect(unsafe_code, reason = "rlimits have no safe wrapper in std")]
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_cur.max(files);
        limit.rlim_max = limit.rlim_max.max(files);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    if result != 0 {
        bail!(
            "cannot raise the limit of open files to {files}: {}; run `ulimit -n {files}` first, or ask for fewer clients",
            io::Error::last_os_error()
        );
    }
    Ok(())
}

/// Has the kernel end the child when we end, however that happens: a server left behind would hold its port and core.
pub(crate) fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent's state.
    #[expect(unsafe_code, reason = "the death signal can only be set in the child before exec")]
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }
}

/// A process's memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident now (VmRSS).
    pub(crate) resident: u64,
    /// The most that was ever resident (VmHWM).
    pub(crate) peak: u64,
}

/// This process's memory as the kernel sees it.
pub(crate) fn memory() -> Result<Memory> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("/proc/self/status has no {name}"))
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Processor, cores and kernel in one line, for a report that can be judged elsewhere.
pub(crate) fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}
