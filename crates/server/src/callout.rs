//! Asks the authorization service about a login (core.md 3.9): the request is made, signed and sealed here,
//! and what the answer is worth is decided by `core`.

use std::sync::Arc;

use data_encoding::BASE64;
use natterjack_core::auth::{
    Answer, CALLOUT_SUBJECT, Callout, CalloutFailure, ConnInfo, ConnectionType, Identity,
};
use natterjack_core::jwt::{
    AuthorizationRequest, Claims, ClientClaims, ConnectClaims, ServerClaims, TlsClaims,
};
use natterjack_proto::connect::Connect;
use nkeys::{KeyPair, XKey};

use crate::ask::{self, Question};
use crate::connection_info::ConnectionInfo;
use crate::hub::{COMPATIBLE_VERSION, Hub};
use crate::transport::tunnel::Tunnel;

/// The audience of requests.
const AUDIENCE: &str = "nats-authorization-request";
/// Every token begins so: what does not is sealed.
const TOKEN_BEGINS: &[u8] = b"eyJ";

/// The connection that wants to log in.
pub(crate) struct Applicant<'a> {
    pub(crate) connect: &'a Connect,
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) nonce: &'a str,
    pub(crate) connection: ConnInfo,
    pub(crate) tunnel: Option<&'a Tunnel>,
}

/// Asks, and decides by the answer. The error is the text for the log.
pub(crate) async fn decide(
    hub: &Arc<Hub>,
    callout: &Callout,
    applicant: Applicant<'_>,
) -> Result<Arc<Identity>, String> {
    let account = hub.accounts().find(&callout.account).ok_or_else(|| {
        let name = &callout.account;
        format!("No valid account {name:?} for auth callout request: account missing")
    })?;
    let timeout = hub.authenticator().timeout();
    let late = || {
        let name = &callout.account;
        format!("Authorization callout response not received in time on account {name:?}")
    };
    // Each waits as long as an answer may take; more than that many at a time wait for a place, no longer.
    let place = tokio::time::timeout(timeout, hub.callouts().acquire()).await;
    let _place = place.map_err(|_| late())?.map_err(|_| late())?;
    let user = KeyPair::new_user().public_key();
    let token = request(hub, callout, &applicant, &user, timeout)?;
    let seal = callout.xkey.as_deref().map(|key| sealer(hub, key)).transpose()?;
    let (payload, headers) = match &seal {
        None => (token.into_bytes(), Vec::new()),
        Some((own, theirs)) => {
            let sealed = own.seal(token.as_bytes(), theirs).map_err(|error| {
                let name = &callout.account;
                format!("Error encrypting auth request claim on account {name:?}: {error}")
            })?;
            let headers = format!("NATS/1.0\r\nNats-Server-Xkey: {}\r\n\r\n", own.public_key());
            (sealed, headers.into_bytes())
        }
    };
    let subject = CALLOUT_SUBJECT.as_bytes();
    let question = Question { subject, headers: &headers, payload: &payload };
    let answer = ask::ask(hub, &account, question, timeout).await.ok_or_else(late)?;
    let was_sealed = seal.is_some() && !answer.is_empty() && !answer.starts_with(TOKEN_BEGINS);
    let opened = match seal.filter(|_| was_sealed) {
        None => answer,
        Some((own, theirs)) => own
            .open(&answer, &theirs)
            .map_err(|_| CalloutFailure::Sealed(callout.account.to_string()).to_string())?,
    };
    let answer = Answer {
        token: std::str::from_utf8(&opened).unwrap_or_default(),
        was_sealed,
        user_key: &user,
        server_id: &hub.id().public_key,
    };
    let now_unix = hub.clock().unix_ns() / 1_000_000_000;
    let accept = || hub.authenticator().accept(callout, answer, &applicant.connection, now_unix);
    let mut outcome = accept();
    // Perhaps it is known elsewhere.
    if let Err(CalloutFailure::NoAccount { target, .. }) = &outcome {
        let fetched = tokio::time::timeout(timeout, hub.resolver().fetch(hub, target)).await;
        if fetched.unwrap_or(false) {
            outcome = accept();
        }
    }
    outcome.map_err(|failure| failure.to_string())
}

/// Our curve key and theirs.
fn sealer(hub: &Hub, theirs: &str) -> Result<(XKey, XKey), String> {
    let theirs =
        XKey::from_public_key(theirs).map_err(|error| format!("xkey {theirs}: {error}"))?;
    Ok((hub.id().curve.clone(), theirs))
}

/// The signed request.
fn request(
    hub: &Hub,
    callout: &Callout,
    applicant: &Applicant<'_>,
    user: &str,
    timeout: std::time::Duration,
) -> Result<String, String> {
    let options = hub.options();
    let mut claims = Claims::<AuthorizationRequest>::new("", &callout.subject);
    let now_unix = hub.clock().unix_ns() / 1_000_000_000;
    AUDIENCE.clone_into(&mut claims.aud);
    claims.exp = now_unix + i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX / 2);
    let connect = applicant.connect;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let is_jwt_used = options.is_operator_mode();
    let default = options.default_sentinel.as_ref().map(|jwt| jwt.value.clone());
    let own_jwt = || given(&connect.jwt).or(default).filter(|_| is_jwt_used);
    let facts = applicant.info.facts();
    claims.nats = AuthorizationRequest {
        server_id: ServerClaims {
            name: hub.id().name.clone(),
            host: hub.ports().advertised(&options).0,
            id: hub.id().public_key.clone(),
            version: COMPATIBLE_VERSION.to_owned(),
            tags: options.server_tags.clone(),
            xkey: callout.xkey.as_ref().map(|_| hub.id().xkey.clone()).unwrap_or_default(),
        },
        user_nkey: user.to_owned(),
        client_info: ClientClaims {
            host: applicant.info.peer().ip().to_string(),
            id: applicant.info.client.cid,
            user: callout.presented().unwrap_or_default().to_owned(),
            name: connect.name.clone().unwrap_or_default(),
            kind: "Client".to_owned(),
            client_type: match applicant.connection.kind {
                ConnectionType::WebSocket => "websocket",
                _ => "nats",
            }
            .to_owned(),
            nonce: match given(&connect.sig) {
                Some(_) => applicant.nonce.to_owned(),
                None => String::new(),
            },
            ..ClientClaims::default()
        },
        connect_opts: ConnectClaims {
            jwt: own_jwt(),
            nkey: given(&connect.nkey),
            sig: given(&connect.sig),
            auth_token: given(&connect.auth_token),
            user: given(&connect.user),
            pass: given(&connect.pass),
            name: given(&connect.name),
            lang: given(&connect.lang),
            version: given(&connect.version),
            protocol: connect.protocol.unwrap_or_default(),
        },
        client_tls: facts.and_then(|facts| facts.tls.clone()).map(|tls| TlsClaims {
            version: tls.version.to_owned(),
            cipher: tls.cipher_suite.clone(),
            certs: Vec::new(),
            // Certificates are asked for only where they are verified.
            verified_chains: shown(applicant.tunnel).into_iter().collect(),
        }),
        ..AuthorizationRequest::default()
    };
    claims.encode(&hub.id().key, now_unix).map_err(|error| {
        let name = &callout.account;
        format!("Error encoding auth request claim on account {name:?}: {error}")
    })
}

/// The client's certificates as PEM.
fn shown(tunnel: Option<&Tunnel>) -> Option<Vec<String>> {
    let certificates = tunnel?.with_tls(|session| {
        let shown = session.peer_certificates().unwrap_or_default();
        shown.iter().map(|der| pem(der)).collect::<Vec<_>>()
    })?;
    (!certificates.is_empty()).then_some(certificates)
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
