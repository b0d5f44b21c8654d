//! What a token endpoint answers, and what is in a token. A token is not verified: the server that it is shown to does that.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// A token, and how long it is good for.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) life: Duration,
}

impl fmt::Debug for Token {
    /// Never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("life", &self.life).finish_non_exhaustive()
    }
}

/// All kinds of endpoints; some write numbers as strings, and some say when instead of how long.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
    error: Option<String>,
    error_description: Option<String>,
}

fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Token {
    pub(super) fn parse(status: StatusCode, body: &[u8]) -> Result<Self, String> {
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
            return Err(format!("answered {status}, and not with the JSON of a token"));
        };
        let Some(text) = answer.access_token.filter(|_| status.is_success()) else {
            let error = answer.error.unwrap_or_else(|| "no token".to_owned());
            let description = answer.error_description.unwrap_or_default();
            let first = description.lines().next().unwrap_or_default();
            return Err(format!("answered {status}: {error}: {first}"));
        };
        let until = |at: u64| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_secs(at).saturating_sub(now)
        };
        let life = seconds(&answer.expires_in).map(Duration::from_secs);
        let life = life.or_else(|| seconds(&answer.expires_on).map(until));
        let life = life.ok_or("answered with a token, and not when it expires")?;
        Ok(Self { text, life })
    }

    /// The `oid` claim: the object id of the identity, which is the name of its user in Redis.
    pub(super) fn object_id(&self) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Claims {
            oid: Option<String>,
        }
        let payload = self.text.split('.').nth(1).unwrap_or_default().trim_end_matches('=');
        let claims = URL_SAFE_NO_PAD.decode(payload).ok();
        let claims = claims.and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
        claims.and_then(|claims| claims.oid).ok_or_else(|| {
            "the token names no object id (claim `oid`); set `EntraId::username`".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Token, String> {
        Token::parse(StatusCode::OK, body.as_bytes())
    }

    #[test]
    fn every_way_of_saying_when_a_token_expires_is_read() {
        for body in [
            r#"{"access_token":"t","expires_in":3599}"#,
            r#"{"access_token":"t","expires_in":"3599","expires_on":"1"}"#,
        ] {
            assert_eq!(parse(body).unwrap().life, Duration::from_secs(3599));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for on in [format!("{}", now + 100), format!("\"{}\"", now + 100)] {
            let life = parse(&format!(r#"{{"access_token":"t","expires_on":{on}}}"#)).unwrap().life;
            assert!(life <= Duration::from_secs(100) && life > Duration::from_secs(95), "{life:?}");
        }
        assert!(parse(r#"{"access_token":"t"}"#).unwrap_err().contains("expires"));
    }

    #[test]
    fn what_an_authority_refuses_is_told_in_its_own_words_and_rubbish_is_called_so() {
        let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}"#;
        let error = Token::parse(StatusCode::UNAUTHORIZED, refusal.as_bytes()).unwrap_err();
        assert!(error.ends_with("invalid_client: AADSTS7000215: Invalid client secret provided."));
        for rubbish in ["", "<html>", "[]", "{}"] {
            parse(rubbish).unwrap_err();
        }
    }

    #[test]
    fn the_user_is_the_object_id_in_the_token() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"oid":"0000-1","aud":"x"}"#);
        let token = |text: String| Token { text, life: Duration::ZERO };
        assert_eq!(token(format!("h.{payload}.s")).object_id().unwrap(), "0000-1");
        for text in ["", "h", "h.!.s", "h.e30.s"] {
            assert!(token(text.into()).object_id().unwrap_err().contains("username"), "{text}");
        }
    }
}
