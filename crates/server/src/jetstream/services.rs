//! Receivers of JetStream in the accounts: streams, the API, acknowledgements.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use natterjack_core::batch::Batch;
use natterjack_core::service::{Inlet, Message, Origin, Service};
use natterjack_jetstream::{ApiRequest, ClientInfo, Inbound, StreamCell};

use super::effects::Effects;
use super::now;
use crate::hub::Hub;

/// Stores what is published on a stream's subjects. There may be several of a stream; a batch settles
/// one of them.
pub(crate) struct Ingest {
    hub: Weak<Hub>,
    cell: Arc<StreamCell>,
    me: Weak<Ingest>,
}

impl Ingest {
    pub(crate) fn new(hub: Weak<Hub>, cell: Arc<StreamCell>) -> Arc<Self> {
        Arc::new_cyclic(|me| Ingest { hub, cell, me: me.clone() })
    }
}

impl Service for Ingest {
    fn receive(
        &self,
        _account: &str,
        message: &Message<'_>,
        _: Origin<'_>,
        batch: &mut Batch,
    ) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let now = now(batch);
        let inbound = Inbound {
            subject: message.subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
        };
        self.cell.publish(&mut Effects::new(&hub, batch), now, &inbound);
        batch.settle_later(self.cell.id(), || self.me.upgrade().map(|me| me as Arc<dyn Service>));
        true
    }

    fn stream_name(&self) -> Option<String> {
        Some(self.cell.scope().stream.to_string())
    }

    fn settle(&self, batch: &mut Batch) {
        let Some(hub) = self.hub.upgrade() else { return };
        let now = now(batch);
        self.cell.settle(&mut Effects::new(&hub, batch), now);
    }

    fn key(&self) -> u64 {
        self.cell.id()
    }
}

/// What an origin sends to a mirror or a sourcing stream.
pub(crate) struct Feed {
    hub: Weak<Hub>,
    cell: Arc<StreamCell>,
    token: u64,
}

impl Feed {
    pub(crate) fn new(hub: Weak<Hub>, cell: Arc<StreamCell>, token: u64) -> Self {
        Feed { hub, cell, token }
    }
}

impl Inlet for Feed {
    fn take(&self, shown: &[u8], message: &Message<'_>) {
        let reply = message.reply.unwrap_or_default();
        self.cell.arrive(self.token, shown, reply, message.headers, message.payload);
    }

    fn key(&self) -> u64 {
        self.cell.id()
    }

    fn service(&self) -> Option<Arc<dyn Service>> {
        Some(Ingest::new(self.hub.clone(), self.cell.clone()))
    }
}

/// `$JS.API.>`.
pub(crate) struct Api {
    hub: Weak<Hub>,
}

impl Api {
    pub(crate) fn new(hub: Weak<Hub>) -> Self {
        Api { hub }
    }
}

impl Service for Api {
    fn receive(
        &self,
        account: &str,
        message: &Message<'_>,
        origin: Origin<'_>,
        batch: &mut Batch,
    ) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let Some(jetstream) = hub.jetstream() else { return false };
        let named;
        let client = if is_for_messages(message.subject) {
            &NOBODY
        } else {
            named = client_info(&hub, account, origin);
            &named
        };
        let request = ApiRequest {
            account,
            subject: message.subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
            client,
        };
        let now = now(batch);
        jetstream.engine().api(&mut Effects::new(&hub, batch), now, &request)
    }
}

static NOBODY: ClientInfo = ClientInfo::nobody();

/// Whether a request asks for stored messages. Nobody is told who sent it, and there are many.
fn is_for_messages(subject: &[u8]) -> bool {
    subject.strip_prefix(b"$JS.API.").is_some_and(|rest| {
        rest.starts_with(b"DIRECT.GET.") || rest.starts_with(b"CONSUMER.MSG.NEXT.")
    })
}

fn client_info(hub: &Hub, account: &str, origin: Origin<'_>) -> ClientInfo {
    let mut client = ClientInfo {
        acc: account.into(),
        server: hub.id().name.clone(),
        kind: "Client".into(),
        client_type: "nats".into(),
        ..ClientInfo::default()
    };
    if let Origin::Client(origin) = origin
        && let Some(info) = hub.connection(origin.cid)
    {
        let details = info.details();
        client.start = info.start_unix_ns;
        client.host = info.peer().ip().to_string();
        client.id = origin.cid;
        client.name = details.name().to_owned();
        client.lang = details.lang().to_owned();
        client.ver = details.version().to_owned();
        client.rtt = info.rtt_ns();
        // The JWT itself stays out of advisories, as in nats-server.
        client.issuer_key = details.issuer_key().unwrap_or_default().to_owned();
        client.name_tag = details.user_name().unwrap_or_default().to_owned();
        client.tags = details.tags().to_vec();
        client.client_type = details.client_type().to_owned();
        client.user = details
            .identity
            .and_then(|identity| identity.user.as_deref().map(str::to_owned))
            .unwrap_or_default();
    }
    client
}

thread_local! {
    /// The stream that took the last ack on this thread, and its server.
    static LAST: RefCell<(Weak<Hub>, Weak<StreamCell>)> = const { RefCell::new((Weak::new(), Weak::new())) };
}

/// `$JS.ACK.>` and `$JS.FC.>`.
pub(crate) struct Acks {
    hub: Weak<Hub>,
}

impl Acks {
    pub(crate) fn new(hub: Weak<Hub>) -> Self {
        Acks { hub }
    }
}

impl Service for Acks {
    fn receive(
        &self,
        account: &str,
        message: &Message<'_>,
        _: Origin<'_>,
        batch: &mut Batch,
    ) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let Some(jetstream) = hub.jetstream() else { return false };
        let now = now(batch);
        let last =
            LAST.with_borrow(|(of, cell)| if of.ptr_eq(&self.hub) { cell.upgrade() } else { None });
        let known = last.as_ref().map(Arc::as_ptr);
        let taken = jetstream.engine().take_ack(
            &mut Effects::new(&hub, batch),
            now,
            last,
            (account, message.subject),
            message.reply,
            (message.headers, message.payload),
        );
        let Some(cell) = taken else { return false };
        if known != Some(Arc::as_ptr(&cell)) {
            LAST.set((self.hub.clone(), Arc::downgrade(&cell)));
        }
        // Acks of one read buffer are settled together.
        batch.settle_later(cell.id(), || {
            Some(Ingest::new(hub.weak(), cell.clone()) as Arc<dyn Service>)
        });
        true
    }
}
