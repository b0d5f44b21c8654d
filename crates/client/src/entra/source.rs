//! Where tokens come from: an application's secret or a Kubernetes token at the authority, or the platform's metadata service. One request each.
//!
//! Requests as in Microsoft's documentation: `v2-oauth2-client-creds-grant-flow`, `how-to-use-vm-token`, `overview-managed-identity` (App Service).

use std::fmt;
use std::path::PathBuf;

use hyper::{Request, Uri};

use super::http::{Body, Http, form};
use super::token::Token;

const AUTHORITY: &str = "https://login.microsoftonline.com";
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Source {
    kind: Kind,
    pub(super) resource: String,
}

#[derive(Clone, Debug)]
enum Kind {
    Application { authority: Uri, tenant: String, client_id: String, identity: Identity },
    Managed { endpoint: Option<Uri>, client_id: Option<String> },
}

/// How an application proves who it is.
#[derive(Clone)]
pub(super) enum Identity {
    Secret(String),
    TokenFile(PathBuf),
}

impl fmt::Debug for Identity {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::TokenFile(path) => f.debug_tuple("TokenFile").field(path).finish(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Application { authority, .. } => authority.fmt(f),
            Kind::Managed { endpoint: Some(endpoint), .. } => {
                write!(f, "the metadata service at {endpoint}")
            }
            Kind::Managed { endpoint: None, .. } => f.write_str("the metadata service"),
        }
    }
}

impl Source {
    pub(super) fn application(tenant: String, client_id: String, identity: Identity) -> Self {
        let authority = Uri::from_static(AUTHORITY);
        Self::new(Kind::Application { authority, tenant, client_id, identity })
    }

    pub(super) fn managed(client_id: Option<String>) -> Self {
        Self::new(Kind::Managed { endpoint: None, client_id })
    }

    fn new(kind: Kind) -> Self {
        Self { kind, resource: "https://redis.azure.com".to_owned() }
    }

    pub(super) fn set_authority(&mut self, url: Uri) {
        if let Kind::Application { authority, .. } = &mut self.kind {
            *authority = url;
        }
    }

    pub(super) fn set_metadata(&mut self, url: Uri) {
        if let Kind::Managed { endpoint, .. } = &mut self.kind {
            *endpoint = Some(url);
        }
    }

    pub(super) async fn fetch(&self, http: &Http) -> Result<Token, String> {
        let request = match &self.kind {
            Kind::Application { authority, tenant, client_id, identity } => {
                self.application_request(authority, tenant, client_id, identity).await?
            }
            Kind::Managed { endpoint, client_id } => {
                self.managed_request(endpoint.as_ref(), client_id.as_deref())?
            }
        };
        let answer = http.send(request).await.map_err(|error| format!("{self}: {error}"))?;
        Token::parse(answer.status, &answer.body).map_err(|error| format!("{self}: {error}"))
    }

    async fn application_request(
        &self,
        authority: &Uri,
        tenant: &str,
        client_id: &str,
        identity: &Identity,
    ) -> Result<Request<Body>, String> {
        let scope = format!("{}/.default", self.resource);
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", scope.as_str()),
        ];
        let assertion;
        match identity {
            Identity::Secret(secret) => fields.push(("client_secret", secret)),
            Identity::TokenFile(path) => {
                // Read each time: the platform renews it every hour.
                assertion = tokio::fs::read_to_string(path).await.map_err(|error| {
                    format!("can't read the workload's token {}: {error}", path.display())
                })?;
                fields.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                fields.push(("client_assertion", assertion.trim()));
            }
        }
        let base = authority.to_string();
        let url = format!("{}/{}/oauth2/v2.0/token", base.trim_end_matches('/'), form(&[], tenant));
        Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form(&fields, "")))
            .map_err(|error| format!("the tenant or authority is malformed: {error}"))
    }

    fn managed_request(
        &self,
        endpoint: Option<&Uri>,
        client_id: Option<&str>,
    ) -> Result<Request<Body>, String> {
        // App Service, Functions and Container Apps say where; everywhere else it is the same address.
        let platform = std::env::var("IDENTITY_ENDPOINT")
            .ok()
            .zip(std::env::var("IDENTITY_HEADER").ok())
            .filter(|_| endpoint.is_none());
        let version = if platform.is_some() { "2019-08-01" } else { "2018-02-01" };
        let mut fields = vec![("api-version", version), ("resource", self.resource.as_str())];
        fields.extend(client_id.map(|id| ("client_id", id)));
        let base = match (&platform, endpoint) {
            (Some((url, _)), _) => url.clone(),
            (None, Some(endpoint)) => endpoint.to_string(),
            (None, None) => METADATA.to_owned(),
        };
        let request = Request::get(format!("{base}?{}", form(&fields, "")));
        let request = match platform {
            Some((_, header)) => request.header("x-identity-header", header),
            None => request.header("metadata", "true"),
        };
        request
            .body(Body::default())
            .map_err(|error| format!("the metadata service's address is malformed: {error}"))
    }
}
