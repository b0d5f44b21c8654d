//! TLS options: whom to trust, who we are, and which name the server must prove. What happens with them on a socket is in `driver/tls.rs`.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;

/// How connections are secured: [`Builder::tls`](crate::Builder::tls). The default is what `rediss://` means: TLS 1.2 or 1.3, the authorities that
/// this system trusts, and a certificate for the host as it was configured.
///
/// Sessions are resumed. Clones share them, and what was read of certificates.
///
/// ```no_run
/// # async fn example() -> Result<(), redial::Error> {
/// let tls = redial::TlsConfig::new().ca_file("/etc/redis/ca.pem")?;
/// let client = redial::Builder::tcp("redis.internal", 6380).tls(tls).connect().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "options do nothing until they are given to `Builder::tls`"]
#[derive(Clone, Default)]
pub struct TlsConfig {
    /// Own authorities; none: the system's.
    authorities: Vec<CertificateDer<'static>>,
    with_system: bool,
    identity: Option<Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>>,
    name: Option<ServerName<'static>>,
    accepts_any: bool,
    /// Made at the first dial; every change begins with an empty one.
    made: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl TlsConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trust the authorities in this PEM text, and no others. Several calls add up.
    ///
    /// # Errors
    /// It holds no certificate, or one that is malformed.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        self.authorities.extend(certificates(pem.as_ref(), "the authorities' PEM text")?);
        Ok(self.changed())
    }

    /// As [`Self::ca_pem`], from a file, which is read now.
    ///
    /// # Errors
    /// As [`Self::ca_pem`], or the file can't be read.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        self.authorities.extend(certificates(&read(path)?, &path.display().to_string())?);
        Ok(self.changed())
    }

    /// Trust the system's authorities beside those of [`Self::ca_pem`] or [`Self::ca_file`]. Default: only where no others are given.
    pub fn with_system_authorities(mut self) -> Self {
        self.with_system = true;
        self.changed()
    }

    /// Present this certificate (with its chain) to servers that ask for one; `key` is its private key. Both PEM.
    ///
    /// # Errors
    /// One of them is missing or malformed. Whether the key is the certificate's shows at the first dial.
    pub fn client_certificate_pem(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        let chain = certificates(chain.as_ref(), "the client certificate's PEM text")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|error| wrong(&format!("the client's private key can't be read: {error}")))?;
        self.identity = Some(Arc::new((chain, key)));
        Ok(self.changed())
    }

    /// As [`Self::client_certificate_pem`], from files, which are read now.
    ///
    /// # Errors
    /// As [`Self::client_certificate_pem`], or a file can't be read.
    pub fn client_certificate_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let (chain, key) = (read(chain.as_ref())?, read(key.as_ref())?);
        self.client_certificate_pem(chain, key)
    }

    /// The name (or address) that the server's certificate must have. Default: the configured host, never an address that it resolved to.
    ///
    /// # Errors
    /// It is no DNS name and no IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, Error> {
        let parsed = ServerName::try_from(name.to_owned())
            .map_err(|_| wrong(&format!("{name:?} is neither a DNS name nor an IP address")))?;
        self.name = Some(parsed);
        Ok(self.changed())
    }

    /// Take whatever certificate the server presents, from whomever. **Danger:** whoever can put themselves between this program and the server reads and
    /// changes everything, the password first. It is for a test that can't have certificates; a self-signed server is trusted with
    /// [`Self::ca_file`] instead.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.accepts_any = true;
        self.changed()
    }

    fn changed(mut self) -> Self {
        self.made = Arc::default();
        self
    }

    pub(crate) const fn configured_name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }

    pub(crate) const fn has_client_certificate(&self) -> bool {
        self.identity.is_some()
    }

    /// What rustls needs, made once.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, String> {
        self.made.get_or_init(|| self.make().map(Arc::new)).clone()
    }

    fn make(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.accepts_any {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match self.identity.as_deref() {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| {
                    format!(
                        "the client certificate and its private key don't fit together: {error}"
                    )
                })
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.authorities {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("an authority's certificate is of no use: {error}"))?;
        }
        if self.authorities.is_empty() || self.with_system {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "this system has no certificate authorities ({}): install its package of them (ca-certificates), or give one with `TlsConfig::ca_file`",
                    if why.is_empty() { "none found".to_owned() } else { why.join("; ") }
                ));
            }
        }
        Ok(roots)
    }
}

impl fmt::Debug for TlsConfig {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("authorities", &self.authorities.len())
            .field("client_certificate", &self.identity.is_some())
            .field("server_name", &self.name)
            .field("danger_accept_any_certificate", &self.accepts_any)
            .finish_non_exhaustive()
    }
}

fn wrong(what: &str) -> Error {
    Error::config(format!("TLS options: {what}"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| wrong(&format!("can't read {}: {error}", path.display())))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(&format!(
            "{what} has no certificate; PEM is the form with -----BEGIN CERTIFICATE-----"
        ))),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(&format!("{what} can't be read: {error}"))),
    }
}

/// Trusts every certificate, but asks for the proof that the server has its key: else not even a passive listener would be shut out.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_said_and_keys_are_not_shown() {
        for (result, expected) in [
            (TlsConfig::new().ca_pem("rubbish"), "no certificate"),
            (TlsConfig::new().ca_pem("-----BEGIN CERTIFICATE-----\n!\n"), "can't be read"),
            (TlsConfig::new().ca_file("/nonexistent/ca.pem"), "/nonexistent/ca.pem"),
            (TlsConfig::new().server_name("a b"), "neither a DNS name"),
            (TlsConfig::new().client_certificate_pem("", ""), "no certificate"),
        ] {
            let text = result.expect_err(expected).to_string();
            assert!(text.contains(expected), "{text}");
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["h".into()]).unwrap().self_signed(&key).unwrap();
        let config = TlsConfig::new()
            .client_certificate_pem(certificate.pem(), key.serialize_pem())
            .unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("client_certificate: true") && !shown.contains("KEY"), "{shown}");
        let other = rcgen::KeyPair::generate().unwrap();
        let config = TlsConfig::new()
            .danger_accept_any_certificate()
            .client_certificate_pem(certificate.pem(), other.serialize_pem())
            .unwrap();
        assert!(config.client().unwrap_err().contains("don't fit together"));
    }

    #[test]
    fn clones_share_sessions_and_a_change_begins_anew() {
        let first = TlsConfig::new().danger_accept_any_certificate();
        let same = first.clone();
        assert!(Arc::ptr_eq(&first.client().unwrap(), &same.client().unwrap()));
        let other = first.clone().server_name("h").unwrap();
        assert!(!Arc::ptr_eq(&first.client().unwrap(), &other.client().unwrap()));
    }
}
