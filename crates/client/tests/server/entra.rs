//! Entra ID against a token endpoint on this machine: what it is asked, and what becomes of a program when it is down or slow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use redial::{
    Builder, CredentialsProvider, CredentialsRequest, EntraId, EventKind, Purpose, TlsConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::certificates::Authority;
use crate::credentials::{event_of, server_of};

const OBJECT_ID: &str = "6a1e4c2f-0000-4000-8000-0123456789ab";

/// A token as Entra makes them, as far as anybody looks into it.
fn token(number: usize) -> String {
    let claims = format!(r#"{{"oid":"{OBJECT_ID}","n":{number}}}"#);
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
    format!("eyJhbGciOiJub25lIn0.{payload}.sig{number}")
}

/// What the endpoint does with its nth request, from 0.
#[derive(Clone)]
enum Reply {
    Token { life: u64 },
    Status(&'static str, &'static str),
    Silence,
}

struct Endpoint {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(reply, None).await
    }

    async fn serve(
        reply: impl Fn(usize) -> Reply + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let count = AtomicUsize::new(0);
            while let Ok((stream, _)) = listener.accept().await {
                let reply = reply(count.fetch_add(1, Ordering::Relaxed));
                let seen = Arc::clone(&seen);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => answer(tls.accept(stream).await.unwrap(), reply, &seen).await,
                        None => answer(stream, reply, &seen).await,
                    }
                });
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    reply: Reply,
    seen: &Mutex<Vec<String>>,
) {
    let mut read = Vec::new();
    let request = loop {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            break text;
        }
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        seen.len()
    };
    let (status, body) = match reply {
        Reply::Silence => return std::future::pending().await,
        Reply::Status(status, body) => (status, body.to_owned()),
        Reply::Token { life } => {
            let token = token(number);
            (
                "200 OK",
                format!(
                    r#"{{"token_type":"Bearer","expires_in":{life},"access_token":"{token}"}}"#
                ),
            )
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // The client closes when it has what it wants.
    let _ = stream.read(&mut [0; 1]).await;
}

fn application(endpoint: &Endpoint) -> EntraId {
    EntraId::client_secret("a-tenant", "an-app", "hush & hush").authority(&endpoint.url).unwrap()
}

async fn ask(identity: &EntraId, anew: bool) -> Result<redial::Grant, String> {
    let mut request = CredentialsRequest::default();
    request.anew = anew;
    identity.provide(request).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_program_comes_in_with_a_token_and_goes_on_with_the_next_one() {
    let user = format!("{OBJECT_ID} on ~* &* +@all >{} >{}", token(1), token(2));
    let server = server_of(&[&user, "default off"]);
    let endpoint =
        Endpoint::start(|number| Reply::Token { life: if number == 0 { 2 } else { 3600 } }).await;
    let client = Builder::tcp("127.0.0.1", server.port)
        .credentials_provider(application(&endpoint))
        .connect()
        .await
        .unwrap();
    let mut events = client.events();
    let who: String = client.cmd("ACL WHOAMI").await.unwrap();
    assert_eq!(who, OBJECT_ID);
    let renewed = |kind: &EventKind| matches!(kind, EventKind::Reauthenticated { .. });
    event_of(&mut events, Purpose::Shared, renewed).await;
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 2);
    let first = &requests[0];
    assert!(first.starts_with("POST /a-tenant/oauth2/v2.0/token HTTP/1.1\r\n"), "{first}");
    for part in [
        "grant_type=client_credentials",
        "client_id=an-app",
        "client_secret=hush%20%26%20hush",
        "scope=https%3A%2F%2Fredis.azure.com%2F.default",
        "host: localhost:",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

#[tokio::test]
async fn a_token_is_given_again_while_it_is_young_and_fetched_anew_when_it_was_refused() {
    let endpoint = Endpoint::start(|_| Reply::Token { life: 3600 }).await;
    let identity = application(&endpoint);
    let asked = (0..20).map(|_| {
        let identity = identity.clone();
        tokio::spawn(async move { ask(&identity, false).await.unwrap().credentials.password })
    });
    for password in asked.collect::<Vec<_>>() {
        assert_eq!(password.await.unwrap(), token(1));
    }
    assert_eq!(endpoint.requests().len(), 1, "one request for all of them");
    assert_eq!(ask(&identity, true).await.unwrap().credentials.password, token(2));
}

#[tokio::test]
async fn a_workload_shows_its_own_token_as_it_is_now_and_a_machine_asks_its_metadata_service() {
    let endpoint = Endpoint::start(|_| Reply::Token { life: 3600 }).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let workload = EntraId::workload_identity("t", "c", &file).authority(&endpoint.url).unwrap();
    let error = ask(&workload, false).await.unwrap_err();
    assert!(error.contains(&file.display().to_string()), "{error}");
    for projected in ["first", "second"] {
        std::fs::write(&file, format!("{projected}\n")).unwrap();
        ask(&workload, true).await.unwrap();
        let request = endpoint.requests().pop().unwrap();
        assert!(request.ends_with(&format!("client_assertion={projected}")), "{request}");
        assert!(request.contains("client-assertion-type%3Ajwt-bearer"), "{request}");
    }
    let url = format!("{}/metadata/identity/oauth2/token", endpoint.url);
    let machine = EntraId::managed_identity(Some("mine")).managed_identity_endpoint(&url).unwrap();
    ask(&machine, false).await.unwrap();
    let request = endpoint.requests().pop().unwrap();
    let line = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fredis.azure.com&client_id=mine HTTP/1.1";
    assert!(request.starts_with(line), "{request}");
    assert!(request.contains("metadata: true"), "{request}");
}

#[tokio::test]
async fn an_authority_over_https_is_believed_only_with_a_certificate_that_is_trusted() {
    let authority = Authority::new();
    let acceptor = crate::tls::acceptor_for(&authority.issue(&["localhost"]));
    let endpoint = Endpoint::serve(|_| Reply::Token { life: 60 }, Some(acceptor)).await;
    let tls = TlsConfig::new().ca_file(authority.file()).unwrap();
    let grant = ask(&application(&endpoint).tls(tls), false).await.unwrap();
    assert_eq!(grant.credentials.username.as_deref(), Some(OBJECT_ID));
    let tls = TlsConfig::new().ca_file(Authority::new().file()).unwrap();
    let error = ask(&application(&endpoint).tls(tls), false).await.unwrap_err();
    assert!(error.contains("not trusted"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_down_or_slow_is_named_and_no_secret_is_shown() {
    let refusal =
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}"#;
    let endpoint = Endpoint::start(move |number| match number {
        0 => Reply::Status("401 Unauthorized", refusal),
        1 => Reply::Status("503 Service Unavailable", "<html>busy</html>"),
        _ => Reply::Silence,
    })
    .await;
    let identity = application(&endpoint).within(Duration::from_millis(300));
    for expected in ["AADSTS7000215", "503", "no token within 300ms"] {
        let error = ask(&identity, false).await.unwrap_err();
        assert!(error.contains(expected) && error.contains("localhost"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let down = EntraId::client_secret("t", "c", "hush").authority("http://127.0.0.1:1").unwrap();
    let error = ask(&down, false).await.unwrap_err();
    assert!(error.contains("can't connect to 127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn while_the_endpoint_is_silent_a_failover_is_as_fast_as_ever() {
    let user = format!("{OBJECT_ID} on ~* &* +@all >{}", token(1));
    let mut server = server_of(&[&user, "default off"]);
    // Sixty per cent of its life are over by then, so that a dial would like another.
    let endpoint = Endpoint::start(|number| match number {
        0 => Reply::Token { life: 4 },
        _ => Reply::Silence,
    })
    .await;
    let client = Builder::tcp("127.0.0.1", server.port)
        .credentials_provider(application(&endpoint))
        .connect()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (port, args) = (server.port, server.args());
    server.kill();
    drop(server);
    let _again = crate::process::Server::start_again(port, &args);
    let begun = Instant::now();
    client.cmd("PING").run().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}
