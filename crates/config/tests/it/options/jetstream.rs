//! The `jetstream` block.

use super::*;

#[test]
fn jetstream() {
    for (text, enabled) in [
        ("jetstream: true", true),
        ("jetstream: enabled", true),
        ("jetstream: false", false),
        ("jetstream: disabled", false),
        ("jetstream {}", true),
        ("jetstream {enabled: false}", false),
        ("store_dir: \"/d\"", false),
    ] {
        assert_eq!(options(text).jetstream.enabled, enabled, "{text}");
    }
    let o = options(
        "jetstream {
            store_dir: \"/d\", max_mem: 1G, max_file: \"10G\", domain: d, strict: false
            sync_interval: \"2m\", max_buffered_size: 1, max_buffered_msgs: 2
            request_queue_limit: 3, info_queue_limit: 4
            limits {max_ack_pending: 5, max_request_batch: 6, duplicate_window: \"1m\"
                default_max_consumers: -1
                batch {max_inflight_per_stream 7, max_inflight_total 8, max_msgs 9, timeout 10s}}
        }",
    );
    assert_eq!(
        o.jetstream,
        JetStream {
            enabled: true,
            store_dir: Some("/d".into()),
            max_memory: Some(1_000_000_000),
            max_store: Some(10 << 30),
            domain: Some("d".into()),
            sync: SyncPolicy::Every(Duration::from_secs(120)),
            strict: false,
            limits: JetStreamLimits {
                max_ack_pending: Some(5),
                max_request_batch: Some(6),
                duplicate_window: Some(Duration::from_secs(60)),
                default_max_consumers: Some(-1),
                batch: BatchLimits {
                    max_inflight_per_stream: Some(7),
                    max_inflight_total: Some(8),
                    max_msgs: Some(9),
                    timeout: Some(Duration::from_secs(10)),
                },
            },
            max_buffered_size: Some(1),
            max_buffered_msgs: Some(2),
            request_queue_limit: Some(3),
            info_queue_limit: Some(4),
        }
    );
    for text in ["jetstream {}", "jetstream {sync_interval: always}", "jetstream {sync: Always}"] {
        assert_eq!(options(text).jetstream.sync, SyncPolicy::BeforeAck, "{text}");
    }
    let o = options("store_dir: \"/d\"\njetstream {max_mem: -1}");
    assert_eq!((o.jetstream.store_dir.as_deref(), o.jetstream.max_memory), (Some("/d"), None));
}

#[test]
fn wrong_jetstream() {
    for (text, expected) in [
        ("jetstream 5", "1:0: Expected map, bool or string to define JetStream, got an integer"),
        ("jetstream foo", "1:0: Expected 'enabled' or 'disabled' for string value, got 'foo'"),
        ("jetstream {foo 1}", "1:11: unknown field \"foo\""),
        ("jetstream {limits {foo 1}}", "1:19: unknown field \"foo\""),
        ("jetstream {limits {batch {foo 1}}}", "1:26: unknown field \"foo\""),
        ("jetstream {limits 5}", "1:11: Expected a map to define JetStreamLimits, got an integer"),
        (
            "jetstream {max_mem \"1x\"}",
            "1:11: max_mem sizes defined as strings must end in K, M, G, T",
        ),
        ("jetstream {max_mem \"1.5G\"}", "1:11: max_mem: \"1.5\" is not a number of bytes"),
        (
            "jetstream {sync_interval foo}",
            "1:11: error parsing sync_interval: time: invalid duration \"foo\"",
        ),
        ("jetstream {domain \"a.b\"}", "1:11: invalid domain name: may not contain ., * or >"),
        (
            "jetstream {domain \"a b\"}",
            "1:11: invalid domain name: derived \"$JS.a b.API.>\" is not a valid subject",
        ),
        (
            "store_dir \"/a\"\njetstream {store_dir \"/b\"}",
            "2:12: Duplicate 'store_dir' configuration",
        ),
        ("jetstream {cipher foo}", "1:11: Unknown cipher type: \"foo\""),
        ("jetstream {key abc}", "1:11: \"key\" is not supported yet"),
        ("jetstream {tpm {keys_file x}}", "1:11: \"tpm\" is not supported yet"),
    ] {
        refused(text, &format!("C:{expected}"));
    }
}
