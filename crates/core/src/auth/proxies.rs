//! Proxies whose word counts: they sign the nonce of the connections that they pass on (nats-server 2.12).

use super::authenticator::decode_signature;
use super::{AuthConfigError, AuthFailure};
use nkeys::KeyPair;
use std::sync::Arc;

/// `proxies { trusted }`, ready to verify.
#[derive(Debug)]
pub(super) struct TrustedProxies(Vec<(Arc<str>, KeyPair)>);

impl TrustedProxies {
    pub(super) fn new(keys: &[String]) -> Result<Self, AuthConfigError> {
        let pair = |key: &String| {
            let pair = KeyPair::from_public_key(key);
            let pair = pair.map_err(|_| AuthConfigError::InvalidProxyKey(key.clone()))?;
            Ok((Arc::from(key.as_str()), pair))
        };
        keys.iter().map(pair).collect::<Result<_, _>>().map(TrustedProxies)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of the proxy that signed the nonce. Without trusted proxies no signature is looked at.
    pub(super) fn check(
        &self,
        signature: Option<&str>,
        nonce: &str,
    ) -> Result<Option<Arc<str>>, AuthFailure> {
        let Some(signature) = signature.filter(|_| !self.is_empty()) else { return Ok(None) };
        let signature = decode_signature(signature).map_err(|_| AuthFailure::ProxyNotTrusted)?;
        // An empty nonce was never sent: a signature of it proves nothing.
        let signed = |(_, pair): &&(Arc<str>, KeyPair)| {
            !nonce.is_empty() && pair.verify(nonce.as_bytes(), &signature).is_ok()
        };
        let signer = self.0.iter().find(signed).ok_or(AuthFailure::ProxyNotTrusted)?;
        Ok(Some(signer.0.clone()))
    }

    /// Whether a proxy that vouched for somebody may still do so.
    pub(super) fn still_trusts(&self, key: Option<&str>) -> Result<(), AuthFailure> {
        let is_trusted = |key: &str| self.0.iter().any(|(known, _)| **known == *key);
        key.is_none_or(is_trusted).then_some(()).ok_or(AuthFailure::ProxyNotTrusted)
    }
}
