//! Microsoft Entra ID as a provider of credentials, for Azure Cache for Redis and Azure Managed Redis: what it is made from, and which token is good
//! enough to be given again. How a token is fetched is in [`source`], over [`http`]; what is in it in [`token`].

mod http;
mod source;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redial_proto::Grant;
use tokio::sync::Mutex;

use self::http::Http;
use self::source::{Identity, Source};
use self::token::Token;
use crate::credentials::{CredentialsError, CredentialsProvider, CredentialsRequest};
use crate::error::Error;
use crate::tls::TlsConfig;

/// A token is given again until this part of its life is over. The core renews later than that, and so gets a new one.
const FRESH_FOR: f64 = 0.6;

/// Shorter than what a dial waits for a provider, so that its text is the one that is seen.
const WITHIN: Duration = Duration::from_secs(4);

/// Credentials from Microsoft Entra ID: the user is the object id (`oid`) of the identity, the password a token for Redis. Needs TLS to the cache, as
/// Azure does.
///
/// Clones share a token and the request for it, so that a thousand clients of a process fetch one. A token is renewed when 65 to 80 % of its life are over,
/// three minutes before its end at the latest, and told to the connections in use. No proxies.
///
/// ```no_run
/// # async fn example() -> Result<(), redial::Error> {
/// let identity = redial::EntraId::from_env()?;
/// let client = redial::Client::builder("rediss://cache.westeurope.redis.azure.net:10000")?
///     .credentials_provider(identity)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "it is asked once it is given to `Builder::credentials_provider`"]
#[derive(Clone, Debug)]
pub struct EntraId {
    source: Source,
    username: Option<String>,
    within: Duration,
    http: Http,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// The last token.
#[derive(Debug)]
struct Kept {
    token: Token,
    fetched: Instant,
    life: Duration,
}

impl EntraId {
    /// An application with a secret (a service principal).
    pub fn client_secret(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        let identity = Identity::Secret(secret.into());
        Self::new(Source::application(tenant.into(), client_id.into(), identity))
    }

    /// The identity that Azure gives to a virtual machine, a container or an App Service. `client_id` names a user-assigned one; `None`: the one that is
    /// assigned by the system.
    pub fn managed_identity(client_id: Option<&str>) -> Self {
        Self::new(Source::managed(client_id.map(str::to_owned)))
    }

    /// The identity of a Kubernetes service account (AKS workload identity): the token in `token_file`, which the platform renews, is exchanged.
    pub fn workload_identity(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        token_file: impl Into<std::path::PathBuf>,
    ) -> Self {
        let identity = Identity::TokenFile(token_file.into());
        Self::new(Source::application(tenant.into(), client_id.into(), identity))
    }

    /// From the environment, as Azure's own libraries read it: with `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` a workload identity
    /// (`AZURE_FEDERATED_TOKEN_FILE`) or a secret (`AZURE_CLIENT_SECRET`), otherwise a managed identity, that of `AZURE_CLIENT_ID` if there is one.
    /// `AZURE_AUTHORITY_HOST` names the cloud.
    ///
    /// # Errors
    /// A variable that belongs to another one is missing, or the authority is no URL.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let client_id = variable("AZURE_CLIENT_ID");
        let need = |name: &str, value: Option<String>, given: &str| {
            value.ok_or_else(|| {
                Error::config(format!("Entra ID: {given} is set and {name} is not; set both"))
            })
        };
        let (file, secret) =
            (variable("AZURE_FEDERATED_TOKEN_FILE"), variable("AZURE_CLIENT_SECRET"));
        let given =
            if file.is_some() { "AZURE_FEDERATED_TOKEN_FILE" } else { "AZURE_CLIENT_SECRET" };
        let identity = match (file, secret) {
            (Some(file), _) => Identity::TokenFile(file.into()),
            (None, Some(secret)) => Identity::Secret(secret),
            (None, None) => return Ok(Self::managed_identity(client_id.as_deref())),
        };
        let tenant = need("AZURE_TENANT_ID", variable("AZURE_TENANT_ID"), given)?;
        let client_id = need("AZURE_CLIENT_ID", client_id, given)?;
        let this = Self::new(Source::application(tenant, client_id, identity));
        match variable("AZURE_AUTHORITY_HOST") {
            Some(authority) => this.authority(&authority),
            None => Ok(this),
        }
    }

    fn new(source: Source) -> Self {
        Self { source, username: None, within: WITHIN, http: Http::default(), kept: Arc::default() }
    }

    /// Where applications and workload identities get their tokens. Default `https://login.microsoftonline.com`; China has
    /// `https://login.chinacloudapi.cn`, the US government `https://login.microsoftonline.us`.
    ///
    /// # Errors
    /// It is no `https://` URL (`http://` is taken for this machine only: a secret is sent there).
    pub fn authority(mut self, url: &str) -> Result<Self, Error> {
        self.source.set_authority(http::parse(url).map_err(wrong)?);
        Ok(self.changed())
    }

    /// Where managed identities get their tokens. Default: what `IDENTITY_ENDPOINT` says (App Service and the like), else the instance metadata service.
    ///
    /// # Errors
    /// It is no URL.
    pub fn managed_identity_endpoint(mut self, url: &str) -> Result<Self, Error> {
        self.source.set_metadata(http::parse(url).map_err(wrong)?);
        Ok(self.changed())
    }

    /// What tokens are for. Default `https://redis.azure.com`.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.source.resource = resource.into();
        self.changed()
    }

    /// The user for AUTH. Default: the `oid` of the token.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// How long a token is waited for. Default 4 s.
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// How the connection to the authority is secured. Default: as [`TlsConfig::new`]. That of the cache is not concerned.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.http = Http::new(tls);
        self.changed()
    }

    fn changed(mut self) -> Self {
        self.kept = Arc::default();
        self
    }

    async fn token(&self, anew: bool) -> Result<Grant, String> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|_| !anew)
            && kept.fetched.elapsed() < kept.life.mul_f64(FRESH_FOR)
        {
            return self.grant(kept);
        }
        let token = self.source.fetch(&self.http).await?;
        let now = Instant::now();
        let life = token.life;
        self.grant(kept.insert(Kept { token, fetched: now, life }))
    }

    fn grant(&self, kept: &Kept) -> Result<Grant, String> {
        let username = match &self.username {
            Some(username) => username.clone(),
            None => kept.token.object_id()?,
        };
        let left = kept.life.saturating_sub(kept.fetched.elapsed());
        Ok(Grant::new(Some(&username), kept.token.text.clone()).valid_for(left))
    }
}

impl CredentialsProvider for EntraId {
    async fn provide(&self, request: CredentialsRequest) -> Result<Grant, CredentialsError> {
        let source = &self.source;
        match tokio::time::timeout(self.within, self.token(request.anew)).await {
            Ok(outcome) => outcome.map_err(|text| format!("Entra ID: {text}").into()),
            Err(_) => {
                Err(format!("Entra ID: {source} gave no token within {:?}", self.within).into())
            }
        }
    }
}

fn wrong(text: String) -> Error {
    Error::config(format!("Entra ID: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<EntraId, Error> {
        EntraId::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_chooses_the_kind_of_identity_and_what_is_missing_is_said() {
        let both = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let with = |more: &[(&'static str, &'static str)]| [&both[..], more].concat();
        assert!(from(&[]).unwrap().source.to_string().contains("metadata"));
        let workload = from(&with(&[("AZURE_FEDERATED_TOKEN_FILE", "/t")])).unwrap();
        assert!(format!("{:?}", workload.source).contains("TokenFile"));
        let authority = ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/");
        let secret = from(&with(&[("AZURE_CLIENT_SECRET", "hush"), authority])).unwrap();
        assert!(secret.source.to_string().contains("login.microsoftonline.us"));
        assert!(!format!("{secret:?}").contains("hush"), "secrets are not shown");
        let error = from(&[("AZURE_CLIENT_SECRET", "hush")]).unwrap_err().to_string();
        assert!(error.contains("AZURE_TENANT_ID") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn a_secret_is_sent_in_plain_text_to_this_machine_only() {
        let identity = EntraId::client_secret("t", "c", "hush");
        for (url, fits) in [
            ("https://login.example", true),
            ("http://127.0.0.1:80", true),
            ("http://localhost", true),
            ("http://login.example", false),
            ("ftp://login.example", false),
            ("login.example", false),
        ] {
            assert_eq!(identity.clone().authority(url).is_ok(), fits, "{url}");
        }
    }
}
