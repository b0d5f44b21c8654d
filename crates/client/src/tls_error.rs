//! What went wrong in TLS, in words that say what to do, and whether another dial can help before somebody has done it.

use std::io;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};

use crate::driver::dial::Failure;
use crate::driver::other_way::SPEAKS_NO_TLS;
use crate::tls::TlsConfig;

/// Of a handshake that failed.
pub(crate) fn of_handshake(
    error: &io::Error,
    name: &ServerName<'_>,
    config: &TlsConfig,
) -> Failure {
    match rustls_error(error) {
        Some(error) => Failure::Refused(text(error, name, config)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Failure::Failed(
            "the connection was closed during the TLS handshake; if this port speaks no TLS, use redis://".to_owned(),
        ),
        None => Failure::Failed(format!("the TLS handshake was broken off: {error}")),
    }
}

/// Of a connection that was secured. `Some` if the server refuses our certificate: in TLS 1.3 it says so only when the client has begun to talk.
pub(crate) fn of_refusal(error: &io::Error) -> Option<String> {
    match rustls_error(error)? {
        Error::AlertReceived(alert) => of_alert(*alert, None),
        _ => None,
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn text(error: &Error, name: &ServerName<'_>, config: &TlsConfig) -> String {
    match error {
        Error::InvalidMessage(_) => SPEAKS_NO_TLS.to_owned(),
        Error::InvalidCertificate(error) => of_certificate(error, &name.to_str()),
        Error::AlertReceived(alert) => of_alert(*alert, Some(config)).unwrap_or_else(|| {
            format!("the server refused the TLS handshake: {alert:?}; its log may say more")
        }),
        Error::PeerIncompatible(what) => format!(
            "the server offers no TLS version or cipher that is safe (TLS 1.2 or 1.3 is needed): {what:?}"
        ),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError, name: &str) -> String {
    use CertificateError as E;
    match error {
        E::Expired => "the server's certificate has expired: renew it (or check this machine's clock)".to_owned(),
        E::ExpiredContext { time, not_after } => format!(
            "the server's certificate expired {} ago: renew it (or check this machine's clock)",
            between(*not_after, *time)
        ),
        E::NotValidYet => "the server's certificate is not valid yet: check the clocks of both machines".to_owned(),
        E::NotValidYetContext { time, not_before } => format!(
            "the server's certificate becomes valid only in {}: check the clocks of both machines",
            between(*time, *not_before)
        ),
        E::UnknownIssuer => "the server's certificate was issued by an authority that is not trusted here: give the authority's certificate with `TlsConfig::ca_file`, or install it in the system".to_owned(),
        E::NotValidForName => format!(
            "the server's certificate is not for {name:?}: connect by a name that it is for, or give that with `TlsConfig::server_name`"
        ),
        E::NotValidForNameContext { presented, .. } => format!(
            "the server's certificate is not for {name:?} but for {}: connect by such a name, or give it with `TlsConfig::server_name`",
            if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
        ),
        E::Revoked => "the server's certificate was revoked: replace it".to_owned(),
        other => format!("the server's certificate is refused: {other}"),
    }
}

/// Of an alert about a certificate of ours, or the lack of one. `config`: none where the handshake is through.
fn of_alert(alert: AlertDescription, config: Option<&TlsConfig>) -> Option<String> {
    use AlertDescription as A;
    let lacks_one = config.is_some_and(|config| !config.has_client_certificate());
    Some(match alert {
        A::CertificateRequired => "the server asks for a client certificate: give one with `TlsConfig::client_certificate_files`".to_owned(),
        // TLS 1.2 has no word of its own for it.
        A::HandshakeFailure | A::BadCertificate if lacks_one => format!(
            "the server refused the TLS handshake ({alert:?}): it may ask for a client certificate (`TlsConfig::client_certificate_files`), or share no cipher with this client"
        ),
        A::UnknownCA => "the server does not trust the authority of the client certificate: use one that its tls-ca-cert-file has issued".to_owned(),
        A::CertificateExpired => "the server finds the client certificate expired: renew it".to_owned(),
        A::BadCertificate | A::DecryptError | A::CertificateUnknown | A::CertificateRevoked | A::UnsupportedCertificate | A::AccessDenied => {
            format!("the server refuses the client certificate ({alert:?}): use another one")
        }
        A::UnrecognisedName => "the server knows nothing of the name that it was asked for: check the host, or `TlsConfig::server_name`".to_owned(),
        A::ProtocolVersion => "the server speaks none of the TLS versions 1.2 and 1.3: enable one with its tls-protocols".to_owned(),
        _ => return None,
    })
}

/// In the largest unit that says something.
fn between(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
