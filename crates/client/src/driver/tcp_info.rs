//! `TCP_INFO`: what the kernel knows of the peer, without a packet.

use redial_proto::TcpInfo;
use tokio::net::TcpStream;

/// Reads it; `None` where the system has none, or an older one.
#[cfg(target_os = "linux")]
pub(super) fn read(stream: &TcpStream) -> Option<TcpInfo> {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    // Offsets in `struct tcp_info` of include/uapi/linux/tcp.h, which only ever grows at its end.
    const RETRANSMITS: usize = 2;
    const UNACKED: usize = 24;
    const RTT: usize = 68;
    const BYTES_ACKED: usize = 120;

    let mut info = [0_u8; 256];
    let mut len = info.len() as libc::socklen_t;
    #[expect(unsafe_code, reason = "neither std, tokio nor socket2 has TCP_INFO")]
    // SAFETY: the descriptor is open as long as `stream` is borrowed, and `len` is the length of `info`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return None;
    }
    let info = info.get(..len as usize)?;
    let u32_at = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(TcpInfo {
        unacked: u32_at(UNACKED)?,
        retransmits: *info.get(RETRANSMITS)?,
        bytes_acked: u64_at(BYTES_ACKED).unwrap_or(0),
        rtt: Duration::from_micros(u64::from(u32_at(RTT)?)),
    })
}

/// Reads it; `None` where the system has none.
#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &TcpStream) -> Option<TcpInfo> {
    None
}
