//! Which endpoint a subject names.

use super::respond::Outcome;
use crate::error::ApiError;

/// An endpoint with the names from its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    AccountInfo,
    StreamCreate {
        stream: &'a str,
    },
    StreamUpdate {
        stream: &'a str,
    },
    StreamNames,
    StreamList,
    StreamInfo {
        stream: &'a str,
    },
    StreamDelete {
        stream: &'a str,
    },
    StreamPurge {
        stream: &'a str,
    },
    StreamSnapshot {
        stream: &'a str,
    },
    StreamRestore {
        stream: &'a str,
    },
    MsgGet {
        stream: &'a str,
    },
    MsgDelete {
        stream: &'a str,
    },
    DirectGet {
        stream: &'a str,
        subject: Option<&'a str>,
    },
    ConsumerCreate {
        stream: &'a str,
        consumer: Option<&'a str>,
        filter: Option<&'a str>,
    },
    DurableCreate {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerNames {
        stream: &'a str,
    },
    ConsumerList {
        stream: &'a str,
    },
    ConsumerInfo {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerDelete {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerPause {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerUnpin {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerReset {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerNext {
        stream: &'a str,
        consumer: &'a str,
    },
    /// Needs a cluster; the type of its answer.
    Cluster(&'static str),
}

/// What follows `$JS.API.` or `$JS.<domain>.API.`.
pub(super) fn strip_prefix<'a>(subject: &'a [u8], domain: Option<&str>) -> Option<&'a [u8]> {
    let rest = subject.strip_prefix(b"$JS.")?;
    rest.strip_prefix(b"API.")
        .or_else(|| rest.strip_prefix(domain?.as_bytes())?.strip_prefix(b".API."))
}

impl<'a> Endpoint<'a> {
    /// Reads the part after the prefix.
    pub(super) fn parse(rest: &'a str) -> Option<Self> {
        // What comes with each message first.
        if let Some(tail) = rest.strip_prefix("CONSUMER.MSG.NEXT.")
            && let Some((stream, consumer)) = tail.split_once('.')
            && !consumer.contains('.')
        {
            return Some(Self::ConsumerNext { stream, consumer });
        }
        if let Some(tail) = rest.strip_prefix("DIRECT.GET.") {
            // A plain loop beats a search: names are short.
            return Some(match tail.bytes().position(|byte| byte == b'.') {
                Some(dot) => {
                    Self::DirectGet { stream: &tail[..dot], subject: Some(&tail[dot + 1..]) }
                }
                None => Self::DirectGet { stream: tail, subject: None },
            });
        }
        let (family, tail) = rest.split_once('.').unwrap_or((rest, ""));
        match family {
            "INFO" if tail.is_empty() && rest == "INFO" => Some(Self::AccountInfo),
            "STREAM" => Self::parse_stream(tail),
            "CONSUMER" => Self::parse_consumer(tail),
            _ => None,
        }
    }

    fn parse_stream(tail: &'a str) -> Option<Self> {
        let tokens: Vec<&str> = tail.split('.').collect();
        Some(match tokens.as_slice() {
            ["NAMES"] => Self::StreamNames,
            ["LIST"] => Self::StreamList,
            ["CREATE", stream] => Self::StreamCreate { stream },
            ["UPDATE", stream] => Self::StreamUpdate { stream },
            ["INFO", stream] => Self::StreamInfo { stream },
            ["DELETE", stream] => Self::StreamDelete { stream },
            ["PURGE", stream] => Self::StreamPurge { stream },
            ["SNAPSHOT", stream] => Self::StreamSnapshot { stream },
            ["RESTORE", stream] => Self::StreamRestore { stream },
            ["MSG", "GET", stream] => Self::MsgGet { stream },
            ["MSG", "DELETE", stream] => Self::MsgDelete { stream },
            ["LEADER", "STEPDOWN", _] => Self::Cluster("stream_leader_stepdown_response"),
            ["PEER", "REMOVE", _] => Self::Cluster("stream_remove_peer_response"),
            ["PEER", "EVACUATE", _] => Self::Cluster("stream_evacuate_peer_response"),
            ["CANCEL_MOVE", _] => Self::Cluster("stream_cancel_move_response"),
            _ => return None,
        })
    }

    fn parse_consumer(tail: &'a str) -> Option<Self> {
        // The filter may have any number of tokens.
        if let Some(rest) = tail.strip_prefix("CREATE.") {
            let mut parts = rest.splitn(3, '.');
            let (stream, consumer, filter) = (parts.next()?, parts.next(), parts.next());
            return Some(Self::ConsumerCreate { stream, consumer, filter });
        }
        let tokens: Vec<&str> = tail.split('.').collect();
        Some(match tokens.as_slice() {
            ["DURABLE", "CREATE", stream, consumer] => Self::DurableCreate { stream, consumer },
            ["NAMES", stream] => Self::ConsumerNames { stream },
            ["LIST", stream] => Self::ConsumerList { stream },
            ["INFO", stream, consumer] => Self::ConsumerInfo { stream, consumer },
            ["DELETE", stream, consumer] => Self::ConsumerDelete { stream, consumer },
            ["PAUSE", stream, consumer] => Self::ConsumerPause { stream, consumer },
            ["UNPIN", stream, consumer] => Self::ConsumerUnpin { stream, consumer },
            ["RESET", stream, consumer] => Self::ConsumerReset { stream, consumer },
            ["MSG", "NEXT", stream, consumer] => Self::ConsumerNext { stream, consumer },
            ["LEADER", "STEPDOWN", _, _] => Self::Cluster("consumer_leader_stepdown_response"),
            _ => return None,
        })
    }

    /// Not part of the counters and advisories unless it fails.
    pub(super) fn is_uncounted(&self) -> bool {
        matches!(self, Self::MsgGet { .. } | Self::ConsumerReset { .. })
    }

    /// Its answer waits for the catalog's disk.
    pub(super) fn is_change(&self) -> bool {
        matches!(
            self,
            Self::StreamCreate { .. }
                | Self::StreamUpdate { .. }
                | Self::StreamDelete { .. }
                | Self::ConsumerCreate { .. }
                | Self::DurableCreate { .. }
                | Self::ConsumerDelete { .. }
                | Self::ConsumerPause { .. }
        )
    }

    /// The `type` of its answers without the common prefix.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::AccountInfo => "account_info_response",
            Self::StreamCreate { .. } => "stream_create_response",
            Self::StreamUpdate { .. } => "stream_update_response",
            Self::StreamNames => "stream_names_response",
            Self::StreamList => "stream_list_response",
            Self::StreamInfo { .. } => "stream_info_response",
            Self::StreamDelete { .. } => "stream_delete_response",
            Self::StreamPurge { .. } => "stream_purge_response",
            Self::StreamSnapshot { .. } => "stream_snapshot_response",
            Self::StreamRestore { .. } => "stream_restore_response",
            Self::MsgGet { .. } | Self::DirectGet { .. } => "stream_msg_get_response",
            Self::MsgDelete { .. } => "stream_msg_delete_response",
            Self::ConsumerCreate { .. } | Self::DurableCreate { .. } => "consumer_create_response",
            Self::ConsumerNames { .. } => "consumer_names_response",
            Self::ConsumerList { .. } => "consumer_list_response",
            Self::ConsumerInfo { .. } => "consumer_info_response",
            Self::ConsumerDelete { .. } => "consumer_delete_response",
            Self::ConsumerPause { .. } => "consumer_pause_response",
            Self::ConsumerUnpin { .. } => "consumer_unpin_response",
            Self::ConsumerReset { .. } => "consumer_reset_response",
            Self::ConsumerNext { .. } => "consumer_getnext_response",
            Self::Cluster(kind) => kind,
        }
    }

    /// The fields that stand beside an error.
    fn beside_error(&self) -> &'static str {
        match self {
            Self::StreamNames => r#","total":0,"offset":0,"limit":0,"streams":null"#,
            Self::StreamList => r#","total":0,"offset":0,"limit":0,"streams":[]"#,
            Self::StreamInfo { .. } => r#","total":0,"offset":0,"limit":0"#,
            Self::ConsumerNames { .. } | Self::ConsumerList { .. } => {
                r#","total":0,"offset":0,"limit":0,"consumers":[]"#
            }
            Self::StreamPurge { .. } => r#","purged":0"#,
            Self::StreamRestore { .. } => r#","deliver_subject":"""#,
            Self::ConsumerPause { .. } => r#","paused":false,"pause_until":"0001-01-01T00:00:00Z""#,
            Self::ConsumerReset { .. } => r#","reset_seq":0"#,
            _ => "",
        }
    }

    /// The complete answer for `error`.
    pub(super) fn refuse(&self, error: &ApiError) -> Outcome {
        let kind = self.kind();
        // Serializing numbers and strings cannot fail.
        let shown = serde_json::to_string(error).unwrap_or_default();
        let beside = self.beside_error();
        let text =
            format!(r#"{{"type":"io.nats.jetstream.api.v1.{kind}","error":{shown}{beside}}}"#);
        Outcome::Failed(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_endpoints() {
        for (rest, expected) in [
            ("INFO", Some(Endpoint::AccountInfo)),
            ("INFO.x", None),
            ("STREAM.INFO", None),
            ("STREAM.INFO.S.x", None),
            ("FOO.BAR", None),
            ("STREAM.NAMES", Some(Endpoint::StreamNames)),
            ("STREAM.CREATE.S", Some(Endpoint::StreamCreate { stream: "S" })),
            ("DIRECT.GET", None),
            ("DIRECT.GET.S", Some(Endpoint::DirectGet { stream: "S", subject: None })),
            ("DIRECT.GET.S.a.b", Some(Endpoint::DirectGet { stream: "S", subject: Some("a.b") })),
            (
                "CONSUMER.CREATE.S",
                Some(Endpoint::ConsumerCreate { stream: "S", consumer: None, filter: None }),
            ),
            (
                "CONSUMER.CREATE.S.c.a.>",
                Some(Endpoint::ConsumerCreate {
                    stream: "S",
                    consumer: Some("c"),
                    filter: Some("a.>"),
                }),
            ),
            ("CONSUMER.MSG.NEXT.S.c", Some(Endpoint::ConsumerNext { stream: "S", consumer: "c" })),
            ("META.LEADER.STEPDOWN", None),
        ] {
            assert_eq!(Endpoint::parse(rest), expected, "{rest}");
        }
    }

    #[test]
    fn a_domain_has_its_own_prefix() {
        assert_eq!(strip_prefix(b"$JS.API.INFO", None), Some(&b"INFO"[..]));
        assert_eq!(strip_prefix(b"$JS.hub.API.INFO", Some("hub")), Some(&b"INFO"[..]));
        assert_eq!(strip_prefix(b"$JS.other.API.INFO", Some("hub")), None);
        assert_eq!(strip_prefix(b"$JS.hub.API.INFO", None), None);
    }
}
