//! A server in this process that answers as a test tells it: for what no real server would do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redial_resp::{Bytes, Frame, Limits, Scanner};
#[cfg(feature = "tls")]
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the fake does with a command; the first argument is how many connections there were before this one.
pub(crate) enum Answer {
    /// Answer as a healthy primary would.
    Usual,
    Bytes(Vec<u8>),
    Silence,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    /// `answer(connection, words)` is asked for each command.
    pub(crate) async fn start(
        answer: impl Fn(usize, &[String]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move { serve(stream, number, &*answer).await });
            }
        });
        Self { url, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Answers a client's handshake on a stream of any kind.
#[cfg(feature = "tls")]
pub(crate) async fn answer_handshake(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut scanner = Scanner::new(Limits::default());
    let mut read = bytes::BytesMut::new();
    loop {
        while let Ok(Some(len)) = scanner.scan(&read) {
            let frame = Frame::from_scanned(Bytes::from(read.split_to(len)));
            let words: Vec<String> = frame.decode().unwrap();
            stream.write_all(&usual(&words)).await.unwrap();
            if words == ["PING"] {
                return stream.flush().await.unwrap();
            }
        }
        assert!(stream.read_buf(&mut read).await.unwrap() > 0);
    }
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    answer: &(dyn Fn(usize, &[String]) -> Answer + Send + Sync),
) {
    let mut scanner = Scanner::new(Limits::default());
    let mut read = bytes::BytesMut::new();
    while stream.read_buf(&mut read).await.is_ok_and(|n| n > 0) {
        while let Ok(Some(len)) = scanner.scan(&read) {
            let frame = Frame::from_scanned(Bytes::from(read.split_to(len)));
            let words: Vec<String> = frame.decode().unwrap();
            let reply = match answer(number, &words) {
                Answer::Usual => usual(&words),
                Answer::Bytes(bytes) => bytes,
                Answer::Silence => continue,
            };
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn usual(words: &[String]) -> Vec<u8> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["HELLO", ..] => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        ["INFO", "server"] => bulk("run_id:fake\r\nredis_version:7.0.0\r\n"),
        ["INFO", "replication"] => bulk("role:master\r\nmaster_replid:history\r\n"),
        ["CLIENT", "ID"] => b":7\r\n".to_vec(),
        ["PING"] => b"+PONG\r\n".to_vec(),
        ["ECHO", text] => bulk(text),
        _ => b"+OK\r\n".to_vec(),
    }
}
