//! What a user JWT says about its user. Signatures are the server's business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The claims of a user JWT that a client has a use for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserClaims {
    /// The user's public key (`U..`).
    pub user: String,
    /// The user's name.
    pub name: String,
    /// The account's public key (`A..`).
    pub account: String,
    /// When the JWT ceases to be valid, if ever.
    pub expires: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    exp: u64,
    #[serde(default)]
    nats: NatsClaims,
}

#[derive(Deserialize, Default)]
struct NatsClaims {
    /// Set when a signing key of the account signed; `iss` is that key then.
    #[serde(default)]
    issuer_account: String,
}

impl UserClaims {
    /// Reads the claims of `jwt`. Errors never quote it.
    pub(crate) fn parse(jwt: &str) -> Result<Self, String> {
        let mut parts = jwt.split('.');
        let (Some(_), Some(body), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it does not have three parts".into());
        };
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| "its claims are not base64url")?;
        let claims: Claims =
            serde_json::from_slice(&body).map_err(|_| "its claims are not a user's JSON")?;
        if !claims.sub.starts_with('U') {
            return Err("it is not for a user".into());
        }
        let account = if claims.nats.issuer_account.is_empty() {
            claims.iss
        } else {
            claims.nats.issuer_account
        };
        Ok(Self {
            user: claims.sub,
            name: claims.name,
            account,
            expires: (claims.exp > 0)
                .then(|| UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp)))
                .flatten(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A user JWT, signed by a fresh account.
    pub(crate) fn user_jwt(user: &nkeys::KeyPair, exp: Option<u64>) -> String {
        let account = nkeys::KeyPair::new_account();
        let mut claims = serde_json::json!({
            "sub": user.public_key(), "name": "alice", "iss": account.public_key(), "iat": 1,
            "nats": {"type": "user", "version": 2}
        });
        if let Some(exp) = exp {
            claims["exp"] = exp.into();
        }
        let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let body = URL_SAFE_NO_PAD.encode(claims.to_string());
        let signature = account.sign(format!("{head}.{body}").as_bytes()).unwrap();
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn name_account_and_expiry_are_read() {
        let user = nkeys::KeyPair::new_user();
        let claims = UserClaims::parse(&user_jwt(&user, Some(7))).unwrap();
        assert_eq!(claims.user, user.public_key());
        assert_eq!(claims.name, "alice");
        assert!(claims.account.starts_with('A'));
        assert_eq!(claims.expires, Some(UNIX_EPOCH + Duration::from_secs(7)));
    }

    #[test]
    fn what_is_no_user_jwt_is_refused_without_quoting_it() {
        for (jwt, why) in [
            ("abc", "three parts"),
            ("a.!!.c", "base64url"),
            ("a.e30.c", "user's JSON"),
            ("a.eyJzdWIiOiJBQkMifQ.c", "not for a user"),
        ] {
            assert!(UserClaims::parse(jwt).unwrap_err().contains(why), "{jwt}");
        }
    }
}
