//! A redis-server of one's own: on a free port, in a directory of its own, gone when it is dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    dir: TempDir,
    args: Vec<String>,
}

fn binary() -> String {
    std::env::var("REDIAL_SERVER").unwrap_or_else(|_| "redis-server".into())
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn with_port(port: u16, args: &[&str]) -> Vec<String> {
    let listen = ["--port".to_owned(), port.to_string()].into_iter();
    listen.chain(args.iter().map(ToString::to_string)).collect()
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on_one_of(std::iter::repeat_with(free_port), args)
    }

    /// The first of these ports that nobody else takes before the server does.
    pub(crate) fn start_on_one_of(ports: impl Iterator<Item = u16>, args: &[&str]) -> Self {
        let mut tries = ports.take(5).filter_map(|port| Self::launch(port, &with_port(port, args)));
        tries.next().unwrap_or_else(|| panic!("the server ends at once with {args:?}"))
    }

    pub(crate) fn start_on(port: u16, args: &[&str]) -> Self {
        Self::start_again(port, &with_port(port, args))
    }

    /// A server that speaks TLS only.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls(args: &[&str]) -> Self {
        let port = free_port();
        let tls_port = port.to_string();
        let listen = ["--port", "0", "--tls-port", &tls_port];
        let args: Vec<_> = listen.iter().chain(args).map(ToString::to_string).collect();
        Self::start_again(port, &args)
    }

    /// Whether the binary was built with TLS. Only a server that was speaks of certificates that are missing.
    #[cfg(feature = "tls")]
    pub(crate) fn has_tls() -> bool {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(binary())
            .args(["--port", "0", "--tls-port", "1", "--tls-cert-file", "none", "--dir"])
            .arg(dir.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).contains("Failed to configure TLS")
    }

    /// With what it was started.
    pub(crate) fn args(&self) -> Vec<String> {
        self.args.clone()
    }

    /// With all its arguments, as another had them.
    pub(crate) fn start_again(port: u16, args: &[String]) -> Self {
        Self::launch(port, args)
            .unwrap_or_else(|| panic!("the server ends at once on port {port} with {args:?}"))
    }

    /// None if it ends before it answers.
    fn launch(port: u16, args: &[String]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let binary = binary();
        let child = Command::new(&binary)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args([
                "--dir",
                dir.path().to_str().unwrap(),
                "--unixsocket",
                dir.path().join("s").to_str().unwrap(),
            ])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("can't start {binary} ({error}); `cargo xtask setup` installs it")
            });
        let mut server = Self { child, port, dir, args: args.to_vec() };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the server did not come up");
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn unix_url(&self) -> String {
        format!("redis+unix://{}", self.dir.path().join("s").display())
    }

    /// Ends it at once, as `kill -9` does; the kernel closes its connections.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
