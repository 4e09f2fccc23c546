//! A consumer of a file log: only what is durable leaves, and reads take their time.

use std::collections::HashMap;

use natterjack_store::{DiskOp, DiskResult, FileOptions};

use super::*;

/// Files that answer when the test says so.
#[derive(Default)]
struct Files(HashMap<String, Vec<u8>>);

impl Files {
    /// Performs what the log asked for. Returns the number of requests.
    fn serve(&mut self, log: &mut Log) -> usize {
        let mut requests = Vec::new();
        log.take_requests(&mut requests);
        let count = requests.len();
        for request in requests {
            let mut result = DiskResult::Done;
            for op in request.ops {
                match op {
                    DiskOp::Write { path, offset, data } => {
                        let file = self.0.entry(path.to_string()).or_default();
                        let (start, end) = (offset as usize, offset as usize + data.len());
                        file.resize(file.len().max(end), 0);
                        file[start..end].copy_from_slice(&data);
                    }
                    DiskOp::Read { path, offset, len } => {
                        let file = &self.0[&*path];
                        let end = file.len().min(offset as usize + len as usize);
                        result = DiskResult::Read(file[offset as usize..end].to_vec().into());
                    }
                    DiskOp::Truncate { path, len } => {
                        self.0.entry(path.to_string()).or_default().resize(len as usize, 0);
                    }
                    _ => {}
                }
            }
            log.completed(request.id, result);
        }
        count
    }
}

/// A rig whose log keeps next to nothing in memory, with a durable consumer and a waiting request.
fn slow() -> (Rig, Files) {
    let mut rig = Rig::new();
    rig.log = Log::file(
        1,
        LogLimits::default(),
        FileOptions { tail_bytes: 0, block_bytes: 1, ..FileOptions::new("s", 1, 7) },
    );
    rig.durable(r#""ack_wait":1000000000"#);
    rig.pull("100");
    (rig, Files::default())
}

#[test]
fn only_durable_messages_leave() {
    let (mut rig, mut files) = slow();
    rig.publish("s.a");
    rig.sent(&[]);
    while files.serve(&mut rig.log) > 0 {
        rig.pump();
    }
    rig.sent(&[r#"in <- s.a 1.1.1+0 "1""#]);
}

#[test]
fn a_message_that_must_be_read_is_waited_for() {
    let (mut rig, mut files) = slow();
    let body = "x".repeat(200_000);
    for _ in 0..4 {
        rig.publish_with("s.a", "", &body);
        while files.serve(&mut rig.log) > 0 {}
    }
    let is_reading = |rig: &mut Rig| rig.call(|consumer, _| consumer.idle() == Idle::Reading);
    let mut reads = 0;
    // First deliveries, then, after the ack wait, the same ones again.
    for deliveries in [4, 8] {
        rig.pump();
        while is_reading(&mut rig) {
            assert!(files.serve(&mut rig.log) > 0);
            rig.pump();
            reads += 1;
        }
        rig.collect();
        assert_eq!(rig.acks.len(), deliveries);
        rig.pass(SECOND);
    }
    assert!(reads > 0);
    let seqs: Vec<u64> =
        rig.acks.iter().map(|ack| parse(ack.as_bytes()).unwrap().token.stream_seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 1, 2, 3, 4]);
}
