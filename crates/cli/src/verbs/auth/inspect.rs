//! `natterjack auth inspect`: what a token says, and whether its issuer has signed it.

use std::io::Read as _;

use clap::Args;
use natterjack_core::jwt::{
    Account, Activation, ClaimBody, Claims, Generic, Operator, User, decode, find_token,
};
use serde::Serialize;

use super::show;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::table::Sheet;

/// Show what a token says: type, names, who has issued it, how long it is valid, what it allows.
///
/// The signature is checked, too. Of credentials only the token is shown, never the seed.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The token, a file with one, or credentials; `-` is standard input
    // Not `token`: that is an option of all verbs.
    #[arg(value_name = "TOKEN")]
    source: String,
}

impl Inspect {
    pub(super) fn run(self, out: Output) -> Outcome {
        let text = self.text()?;
        let token = find_token(&text).ok_or_else(|| {
            Failure::usage("there is no token in it").hint(
                "a token is three texts with dots between; files may have dashed lines around",
            )
        })?;
        let any = claims::<Generic>(token)?;
        match any.nats.kind.as_str() {
            "operator" => shown::<Operator>(out, token, show::operator),
            "account" => shown::<Account>(out, token, show::account),
            "user" => shown::<User>(out, token, show::user),
            "activation" => shown::<Activation>(out, token, show::activation),
            _ => show::print(out, &any, show::generic),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        if self.source == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            return read.map(|_| text).map_err(|error| Failure::io("standard input", &error));
        }
        // A path may have two dots in it, as a token has.
        let is_file = std::path::Path::new(&self.source).is_file();
        match find_token(&self.source).filter(|_| !is_file) {
            Some(_) => Ok(self.source.clone()),
            None => std::fs::read_to_string(&self.source)
                .map_err(|error| Failure::io(&self.source, &error)),
        }
    }
}

fn claims<B: ClaimBody>(token: &str) -> Result<Claims<B>, Failure> {
    decode::<B>(token).map_err(|error| {
        Failure::new(status::FAILED, "auth.jwt", error.to_string())
            .hint("it was changed after it was signed, or not copied as a whole")
    })
}

fn shown<B: ClaimBody + Serialize>(
    out: Output,
    token: &str,
    sheet: impl FnOnce(&Claims<B>) -> Sheet,
) -> Outcome {
    show::print(out, &claims::<B>(token)?, sheet)
}
