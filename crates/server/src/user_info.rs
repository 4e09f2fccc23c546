//! `$SYS.REQ.USER.INFO`: who am I, and what may I do?

use std::sync::Weak;

use natterjack_core::auth::user_info_response;
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin, Service};

use crate::hub::Hub;
use crate::server_info::ServerInfo;

/// Answers with the identity of the client that asks.
pub(crate) struct UserInfo {
    hub: Weak<Hub>,
}

impl UserInfo {
    pub(crate) fn new(hub: Weak<Hub>) -> Self {
        UserInfo { hub }
    }
}

impl Service for UserInfo {
    fn receive(
        &self,
        account: &str,
        message: &Message<'_>,
        origin: Origin<'_>,
        batch: &mut Batch,
    ) -> bool {
        let (Some(hub), Origin::Client(client)) = (self.hub.upgrade(), origin) else {
            return false;
        };
        let Some(identity) = hub.connection(client.cid).and_then(|info| info.details().identity)
        else {
            return false;
        };
        if let Some(reply) = message.reply {
            let server = ServerInfo::of(&hub);
            let body = user_info_response(&server, &identity, hub.clock().unix_ns());
            let Ok(body) = body else { return false };
            hub.publish(batch, account, reply, &body);
        }
        true
    }
}
