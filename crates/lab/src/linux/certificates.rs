//! Certificates for a lab whose servers speak TLS: an authority and one certificate for both servers, made anew for each lab. Whom a client trusts
//! is its own affair; it is told where the authority's certificate is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::HostId;
use crate::options::{ENDPOINT_IP, ENDPOINT_NAME, PORT};

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// What was made, as PEM.
#[derive(Debug)]
pub(super) struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

impl Certificates {
    /// For the endpoint's name and address, and the hosts' own addresses, by which they replicate.
    pub(super) fn make() -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "the authority of a drill");
        let authority_key = KeyPair::generate()?;
        let signed = authority.self_signed(&authority_key)?.pem();
        let mut names = vec![ENDPOINT_NAME.to_owned(), ENDPOINT_IP.to_string()];
        names.extend(HostId::range(0, HostId::MOST).iter().map(|host| host.ip().to_string()));
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority, authority_key);
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        Ok(Self { authority: signed, certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Puts them where a server finds them: into the directory that it runs in.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let files = [(CA, &self.authority), (CERTIFICATE, &self.certificate), (KEY, &self.key)];
        files.into_iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
    }

    /// The arguments of a server that speaks nothing but TLS, to its replica and primary too.
    pub(super) fn arguments() -> Vec<String> {
        let port = PORT.to_string();
        let options = [
            ["--port", "0"],
            ["--tls-port", &port],
            ["--tls-replication", "yes"],
            ["--tls-auth-clients", "no"],
            ["--tls-ca-cert-file", CA],
            ["--tls-cert-file", CERTIFICATE],
            ["--tls-key-file", KEY],
        ];
        options.into_iter().flatten().map(str::to_owned).collect()
    }

    /// The same for a configuration file, without the ports, which are its owner's.
    pub(super) fn directives() -> String {
        format!(
            "tls-auth-clients no\ntls-ca-cert-file {CA}\ntls-cert-file {CERTIFICATE}\n\
             tls-key-file {KEY}\n"
        )
    }

    /// Where a client finds the authority's certificate, of those in `directory`.
    pub(super) fn authority_in(directory: &Path) -> PathBuf {
        directory.join(CA)
    }
}
