//! TLS against real servers: whom to trust, who we are, and what is said when one side does not like the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redial::{Builder, Client, Error, ErrorKind, Protocol, TlsConfig};
use redial_resp::{Frame, Limits, Scanner};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Identity, text};
use crate::process::Server;

/// True if the server under test was built without TLS; then these tests have nothing to show.
fn lacks_tls() -> bool {
    let lacks = !Server::has_tls();
    if lacks {
        eprintln!("skipped: this redis-server is built without TLS");
    }
    lacks
}

fn serve(authority: &Authority, identity: &Identity, more: &[&str]) -> Server {
    let (ca, certificate, key) =
        (text(&authority.file()), text(&identity.certificate), text(&identity.key));
    let mut args = vec!["--tls-ca-cert-file", &ca, "--tls-cert-file", &certificate];
    args.extend(["--tls-key-file", &key, "--tls-auth-clients", "no"]);
    args.extend(more);
    Server::start_tls(&args)
}

fn builder(server: &Server, tls: TlsConfig) -> Builder {
    Builder::tcp("localhost", server.port).tls(tls)
}

/// The error of a client that can't connect; it must come at once, not when time is up.
async fn refused(builder: Builder) -> Error {
    let begun = Instant::now();
    let error = builder.connect().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "{error}");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    error
}

#[tokio::test]
async fn values_of_every_size_go_over_tls_in_both_protocols() {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["localhost", "127.0.0.1"]), &[]);
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    for url in ["rediss://localhost", "rediss://127.0.0.1"] {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let url = format!("{url}:{}", server.port);
            let builder = Builder::from_url(&url).unwrap().tls(tls.clone()).protocol(protocol);
            let client = builder.connect().await.unwrap();
            for size in [0, 1, 16 * 1024, 1 << 20, 20 << 20] {
                client.cmd("SET").arg("k").arg(vec![b'x'; size]).run().await.unwrap();
                let back: bytes::Bytes = client.cmd("GET").arg("k").await.unwrap();
                assert_eq!(back.len(), size);
            }
        }
    }
}

#[tokio::test]
async fn two_thousand_concurrent_commands_over_tls_get_their_own_replies() {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["localhost"]), &[]);
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = builder(&server, tls).connect().await.unwrap();
    let tasks: Vec<_> = (0..2_000)
        .map(|i| {
            let echo =
                client.cmd::<String>("ECHO").arg(format!("{i:0>width$}", width = i * 7)).send();
            tokio::spawn(async move { echo.await.map(|echo| echo.parse() == Ok(i)) })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_is_refused_with_its_reason() {
    if lacks_tls() {
        return;
    }
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting = || TlsConfig::new().ca_file(authority.file()).unwrap();

    let server = serve(&authority, &authority.issue(&["localhost"]), &[]);
    let unknown = TlsConfig::new().ca_file(other.file()).unwrap();
    let error = refused(builder(&server, unknown)).await.to_string();
    assert!(error.contains("not trusted") && error.contains("ca_file"), "{error}");
    let error = refused(Builder::tcp("127.0.0.1", server.port).tls(trusting())).await.to_string();
    assert!(error.contains("not for \"127.0.0.1\" but for"), "{error}");
    assert!(error.contains("localhost") && error.contains("server_name"), "{error}");

    let server = serve(&authority, &authority.issue_until(&["localhost"], 2020), &[]);
    let error = refused(builder(&server, trusting())).await.to_string();
    assert!(error.contains("expired") && error.contains("days ago"), "{error}");
}

#[tokio::test]
async fn the_name_can_be_given_and_as_a_last_resort_anything_is_accepted() {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["cache.example"]), &[]);
    let named = TlsConfig::new().ca_file(authority.file()).unwrap().server_name("cache.example");
    let unchecked = TlsConfig::new().danger_accept_any_certificate();
    for tls in [named.unwrap(), unchecked] {
        let client = builder(&server, tls).connect().await.unwrap();
        client.cmd("PING").run().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_says_so_and_gets_it() {
    if lacks_tls() {
        return;
    }
    let (authority, other) = (Authority::new(), Authority::new());
    let (mine, foreign) = (authority.issue(&["me"]), other.issue(&["me"]));
    let tls = || TlsConfig::new().ca_file(authority.file()).unwrap();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let identity = authority.issue(&["localhost"]);
        let more = ["--tls-auth-clients", "yes", "--tls-protocols", version];
        let server = serve(&authority, &identity, &more);
        let error = refused(builder(&server, tls())).await.to_string();
        assert!(error.contains("client certificate"), "{version}: {error}");
        let wrong = tls().client_certificate_files(&foreign.certificate, &foreign.key).unwrap();
        let error = refused(builder(&server, wrong)).await.to_string();
        assert!(error.contains("client certificate"), "{version}: {error}");
        let right = tls().client_certificate_files(&mine.certificate, &mine.key).unwrap();
        let client = builder(&server, right).connect().await.unwrap();
        client.cmd("PING").run().await.unwrap();
    }
}

#[tokio::test]
async fn tls_asked_of_a_plain_port_and_the_reverse_is_said() {
    if lacks_tls() {
        return;
    }
    let plain = Server::start(&[]);
    let error = refused(builder(&plain, TlsConfig::new().danger_accept_any_certificate())).await;
    assert!(error.to_string().contains("speaks no TLS"), "{error}");

    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["localhost"]), &[]);
    let error = refused(Builder::tcp("localhost", server.port)).await;
    assert!(error.to_string().contains("use rediss://"), "{error}");
}

#[tokio::test]
async fn while_a_certificate_is_refused_the_endpoint_is_asked_every_two_seconds_and_used_once_it_is_mended()
 {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let good = authority.issue(&["localhost"]);
    let mut server = serve(&authority, &good, &[]);
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = builder(&server, tls).connect().await.unwrap();
    let other = Client::connect(&Server::start(&[]).url()).await.unwrap();
    server.kill();
    let expired = authority.issue_until(&["localhost"], 2020);
    let (port, args) = (server.port, server.args());
    let stale: Vec<String> = args
        .iter()
        .map(|arg| arg.replace(&text(&good.certificate), &text(&expired.certificate)))
        .map(|arg| arg.replace(&text(&good.key), &text(&expired.key)))
        .collect();
    let mut events = client.events();
    drop(server);
    let stale = Server::start_again(port, &stale);
    let waiting = tokio::spawn(client.cmd::<String>("PING").send());
    let mut refusals = Vec::new();
    while refusals.len() < 3 {
        let event = events.next().await.unwrap().unwrap();
        if let redial::EventKind::DialFailed { needs_attention: true, cause, .. } = event.kind {
            assert!(cause.contains("expired"), "{cause}");
            refusals.push(Instant::now());
        }
    }
    for pair in refusals.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause > Duration::from_millis(1700) && pause < Duration::from_secs(3), "{pause:?}");
    }
    drop(stale);
    let _good = Server::start_again(port, &args);
    assert_eq!(waiting.await.unwrap().unwrap(), "PONG", "it waited, and was not lost");
    drop(other);
}

/// A server of our own, for what is to be seen from its side.
async fn acceptor(authority: &Authority) -> (TlsAcceptor, TcpListener) {
    let acceptor = acceptor_for(&authority.issue(&["localhost"]));
    (acceptor, TcpListener::bind("127.0.0.1:0").await.unwrap())
}

pub(crate) fn acceptor_for(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn the_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new();
    let (acceptor, listener) = acceptor(&authority).await;
    let port = listener.local_addr().unwrap().port();
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = Builder::tcp("localhost", port).tls(tls).build();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        crate::fake::answer_handshake(&mut stream).await;
    }
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    drop(client);
}

#[tokio::test]
async fn a_connection_that_is_given_up_over_tls_is_reset_and_delivers_nothing_later() {
    let authority = Authority::new();
    let (acceptor, listener) = acceptor(&authority).await;
    let port = listener.local_addr().unwrap().port();
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = Builder::tcp("localhost", port).tls(tls).build();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    crate::fake::answer_handshake(&mut stream).await;
    client.ready().await.unwrap();
    let asked = tokio::spawn(client.cmd::<String>("GET").arg("k").send());
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    client.disconnect();
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), redial::Delivery::Unknown);
    let error = stream.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test]
async fn a_tls_handshake_that_nobody_answers_does_not_hold_up_the_next() {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["localhost"]), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let backend = server.port;
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if silent.is_empty() {
                silent.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut to = TcpStream::connect(("127.0.0.1", backend)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let begun = Instant::now();
    let client = Builder::tcp("localhost", port).tls(tls).connect().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    client.cmd("PING").run().await.unwrap();
}

#[tokio::test]
async fn a_large_upload_over_a_slow_line_is_no_silence() {
    if lacks_tls() {
        return;
    }
    let authority = Authority::new();
    let server = serve(&authority, &authority.issue(&["localhost"]), &[]);
    // What the line's end keeps in a buffer has been acknowledged, and takes its time to the server all the same.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(256 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let port = listener.local_addr().unwrap().port();
    let backend = server.port;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut down, mut up) = stream.into_split();
            let to = TcpStream::connect(("127.0.0.1", backend)).await.unwrap();
            let (mut from_server, mut to_server) = to.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut up).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(read @ 1..) = down.read(&mut buffer).await {
                    to_server.write_all(&buffer[..read]).await.unwrap();
                    // A line of some 16 MB/s.
                    tokio::time::sleep(Duration::from_nanos(60 * read as u64)).await;
                }
            });
        }
    });
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = Builder::tcp("localhost", port).tls(tls).connect().await.unwrap();
    let mut events = client.events();
    let begun = Instant::now();
    client.cmd("SET").arg("k").arg(vec![b'x'; 48 << 20]).run().await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2), "it was to be slow");
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        let kind = event.unwrap().kind;
        assert!(!matches!(kind, redial::EventKind::Suspected { .. }), "{kind:?}");
    }
}

/// The keys of all whole commands that come in, until none has come for a while; each is answered, if it is to be.
async fn keys(
    stream: &mut tokio_rustls::server::TlsStream<TcpStream>,
    answers: bool,
) -> Vec<String> {
    let (mut scanner, mut read) = (Scanner::new(Limits::default()), bytes::BytesMut::new());
    let mut keys = Vec::new();
    let quiet = Duration::from_millis(300);
    while let Ok(Ok(1..)) = tokio::time::timeout(quiet, stream.read_buf(&mut read)).await {
        while let Ok(Some(len)) = scanner.scan(&read) {
            let frame = Frame::from_scanned(bytes::Bytes::from(read.split_to(len)));
            keys.extend(frame.decode::<Vec<String>>().unwrap().into_iter().nth(1));
            if answers {
                stream.write_all(b":1\r\n").await.unwrap();
            }
        }
        stream.flush().await.unwrap();
    }
    keys
}

#[tokio::test]
async fn what_the_kernel_has_of_a_cut_upload_over_tls_is_not_sent_again() {
    let authority = Authority::new();
    let (acceptor, listener) = acceptor(&authority).await;
    let port = listener.local_addr().unwrap().port();
    let listener = listener.into_std().unwrap();
    let (stalled, is_stalled) = std::sync::mpsc::channel();
    let (cut, is_cut) = std::sync::mpsc::channel();
    // A thread of its own: it reads what the client's kernel has while the client stands still, and cuts the connection.
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut heard = Vec::new();
            for connection in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                crate::fake::answer_handshake(&mut stream).await;
                if connection == 0 {
                    is_stalled.recv().unwrap();
                    heard.push(keys(&mut stream, false).await);
                    let socket = socket2::SockRef::from(stream.get_ref().0);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                    drop(stream);
                    cut.send(()).unwrap();
                } else {
                    heard.push(keys(&mut stream, true).await);
                }
            }
            heard
        })
    });
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let client = Builder::tcp("localhost", port).tls(tls).connect().await.unwrap();
    let value = "x".repeat(1000);
    let mut pipeline = client.pipeline();
    for i in 0..20_000 {
        pipeline.cmd("APPEND").arg(i).arg(&value);
    }
    let replies = tokio::spawn(pipeline.send());
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    stalled.send(()).unwrap();
    is_cut.recv().unwrap();
    let unknown = replies.await.unwrap().iter().filter(|reply| reply.is_err()).count();
    let heard = server.join().unwrap();
    assert!(!heard[0].is_empty() && !heard[1].is_empty(), "the upload was to be cut");
    let first: std::collections::HashSet<_> = heard[0].iter().collect();
    let twice = heard[1].iter().filter(|key| first.contains(key)).count();
    assert_eq!(twice, 0, "of {} commands, {unknown} of them unknown", heard[0].len());
}

#[tokio::test]
async fn rubbish_instead_of_tls_is_told_from_a_server_that_goes_away() {
    for (bytes, kind, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], ErrorKind::Tls, "speaks no TLS"),
        (b"", ErrorKind::Unreachable, "closed during the TLS handshake"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut hello = [0; 4096];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        let tls = TlsConfig::new().danger_accept_any_certificate();
        let builder = Builder::tcp("localhost", port).tls(tls);
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
