//! Accounts on servers: `$SYS.REQ.CLAIMS.*`, which each server with a directory of accounts answers for
//! itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::{Error, Until};
use natterjack_core::jwt::{Account, AccountClaims, Claims, Generic, decode};
use serde_json::{Value, json};

use super::super::server::{Answer, gather};
use super::store::Held;
use super::{now, show, unsigned};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::{number, text};
use crate::table::Table;
use crate::units;

/// Nobody keeps accounts, or this user may not ask.
fn nobody(subject: &str) -> Failure {
    let text = format!("no server answers on {subject}");
    Failure::new(status::TIMEOUT, "sys.no_answer", text).hint(
        "connect as a user of the system account (natterjack auth user creds sys SYS writes its \
         credentials); servers with `resolver: MEMORY` have their accounts from the configuration",
    )
}

/// What each server says to a request, by name.
async fn ask(context: &Context, subject: &str, body: &str) -> Result<Vec<Value>, Failure> {
    let connector = context.connect().await?;
    let answers = gather(context, &connector, subject, body, None).await?;
    connector.close().await?;
    if answers.is_empty() {
        return Err(nobody(subject));
    }
    let mut answers: Vec<Value> = answers.into_iter().map(|Answer { value, .. }| value).collect();
    answers.sort_by(|one, other| text(one, "/server/name").cmp(text(other, "/server/name")));
    Ok(answers)
}

/// Shows what each server has done: all of them 0, some 8, none 1.
fn report(context: &Context, title: &str, answers: &[Value]) -> Outcome {
    let out = context.out;
    let refused = answers.iter().filter(|answer| answer.get("error").is_some()).count();
    if out.json {
        out.document(&answers);
    } else {
        let mut table = Table::new(title, &["Server", "Code", "Answer"]).right(&[1]);
        for answer in answers {
            let (part, words) = match answer.get("error") {
                Some(error) => (error, text(error, "/description")),
                None => (&answer["data"], text(answer, "/data/message")),
            };
            let server = text(answer, "/server/name").to_owned();
            table.row([server, number(part, "/code").to_string(), words.to_owned()]);
        }
        table.print(&out);
    }
    match (refused, answers.len()) {
        (0, _) => Ok(()),
        (refused, all) => {
            let exit = if refused == all { status::FAILED } else { status::PARTLY };
            let text = format!("{refused} of {all} servers refused");
            Err(Failure::new(exit, "auth.refused", text)
                .hint("the answers say why; natterjack auth inspect shows what a token holds"))
        }
    }
}

/// Gives an account to the servers.
pub(super) async fn push(context: &Context, claims: &AccountClaims, token: &str) -> Outcome {
    let answers = ask(context, "$SYS.REQ.CLAIMS.UPDATE", token).await?;
    report(context, &format!("Account {} pushed", claims.name), &answers)
}

/// Removes accounts from the servers.
pub(super) async fn delete(context: &Context, held: &Held<'_>, keys: &[String]) -> Outcome {
    // By the operator or one of its signing keys, about itself (nats-server, `not self signed`).
    let signer = held.signer()?;
    let mut claims = Claims::<Generic>::new("delete", &signer.public_key());
    claims.nats.fields.insert("accounts".to_owned(), keys.into());
    let token = claims.encode(&signer, now()).map_err(unsigned)?;
    let answers = ask(context, "$SYS.REQ.CLAIMS.DELETE", &token).await?;
    report(context, "Accounts removed", &answers)
}

/// Lists the accounts that servers have, and which servers those are.
pub(super) async fn list(context: &Context, names: &BTreeMap<String, String>) -> Outcome {
    let out = context.out;
    let answers = ask(context, "$SYS.REQ.CLAIMS.LIST", "").await?;
    if out.json {
        out.document(&answers);
        return Ok(());
    }
    let mut accounts = BTreeMap::<&str, Vec<&str>>::new();
    for answer in &answers {
        let keys = answer.get("data").and_then(Value::as_array);
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            accounts.entry(key).or_default().push(text(answer, "/server/name"));
        }
    }
    let title = format!("Accounts on {} servers", units::count(answers.len()));
    let mut table = Table::new(title, &["Account", "Name", "Servers"]);
    for (key, servers) in accounts {
        let name = names.get(key).cloned().unwrap_or_default();
        table.row([key.to_owned(), name, servers.join(", ")]);
    }
    table.print(&out);
    Ok(())
}

/// Shows an account as the servers have it. They do not say who they are, so they are counted.
pub(super) async fn query(context: &Context, key: &str, own: Option<&str>) -> Outcome {
    let out = context.out;
    let subject = format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP");
    let connector = context.connect().await?;
    let ask = connector.ask(&subject).codec(Binary).timeout(context.timeout()?);
    let mut replies =
        ask.many(Until::Idle(super::super::server::OTHERS)).stream::<[u8], Bytes>(b"").await?;
    let (mut tokens, mut empty) = (Vec::new(), 0_usize);
    while let Some(reply) = replies.next().await {
        match reply.map_err(Error::from) {
            Ok(reply) if reply.payload.is_empty() => empty += 1,
            Ok(reply) => tokens.push(String::from_utf8_lossy(&reply.payload).into_owned()),
            Err(Error::NoResponders(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    drop(replies);
    connector.close().await?;
    let Some(first) = tokens.first() else {
        return Err(match empty {
            0 => nobody(&subject),
            servers => {
                let text = format!("none of {} servers has account {key}", units::count(servers));
                Failure::new(status::NOT_FOUND, "auth.not_found", text)
                    .hint("natterjack auth account push NAME")
            }
        });
    };
    let claims = decode::<Account>(first).map_err(unsigned)?;
    let same = tokens.iter().filter(|token| *token == first).count();
    let current = own.map(|own| own == first);
    if out.json {
        out.document(&json!({
            "claims": claims,
            "servers": tokens.len() + empty,
            "servers_without": empty,
            "servers_with_another": tokens.len() - same,
            "as_stored": current,
        }));
        return Ok(());
    }
    let mut sheet = show::account(&claims);
    sheet.section("Servers");
    sheet.row("That have it so", units::count(same));
    sheet.row("That have another", units::count(tokens.len() - same));
    sheet.row("That have none", units::count(empty));
    sheet.row_if("As it is stored here", current.map(|same| if same { "yes" } else { "no" }));
    sheet.print(&out);
    Ok(())
}
