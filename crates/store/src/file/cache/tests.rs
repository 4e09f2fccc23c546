//! How often a reader has to wait for the disk.

use std::collections::HashMap;

use crate::{
    DiskError, DiskErrorKind, DiskOp, DiskResult, FileOptions, Get, Limits, Log, NewMessage,
};

struct Rig {
    log: Log,
    files: HashMap<String, Vec<u8>>,
    reads: usize,
    /// Reads of the first file that touch these bytes fail.
    bad: std::ops::Range<usize>,
}

impl Rig {
    /// A log of 100-byte messages whose newest records are not kept.
    fn new(messages: usize) -> Rig {
        let mut options = FileOptions::new("s", 1, 7);
        options.segment_bytes = 1 << 20;
        options.tail_bytes = 0;
        let mut rig = Rig {
            log: Log::file(1, Limits::default(), options),
            files: HashMap::new(),
            reads: 0,
            bad: 0..0,
        };
        for n in 0..messages {
            let payload = &[n as u8; 100];
            let m = NewMessage { subject: b"a", headers: b"", payload, time: 1, flags: 0 };
            rig.log.append(m);
            if n % 100 == 0 {
                rig.serve();
            }
        }
        rig.serve();
        rig
    }

    fn serve(&mut self) {
        let mut requests = Vec::new();
        self.log.take_requests(&mut requests);
        for request in requests {
            let mut result = DiskResult::Done;
            for op in request.ops {
                match op {
                    DiskOp::Write { path, offset, data } => {
                        let file = self.files.entry(path.to_string()).or_default();
                        file.resize(file.len().max(offset as usize + data.len()), 0);
                        file[offset as usize..][..data.len()].copy_from_slice(&data);
                    }
                    DiskOp::Read { path, offset, len } => {
                        self.reads += 1;
                        let file = &self.files[&*path];
                        let end = file.len().min(offset as usize + len as usize);
                        let start = end.min(offset as usize);
                        result = DiskResult::Read(file[start..end].to_vec().into());
                        if start < self.bad.end && end > self.bad.start {
                            let (kind, op) = (DiskErrorKind::Other, "read");
                            let message = "bad".to_owned();
                            let path = path.to_string();
                            let error = DiskError { kind, op, path, message };
                            result = DiskResult::Failed { step: 0, error };
                        }
                    }
                    _ => {}
                }
            }
            self.log.completed(request.id, result);
        }
    }

    /// Whether the message was at hand; what was asked for is read afterwards.
    fn get(&mut self, seq: u64) -> bool {
        let found = match self.log.get(seq) {
            Get::Found(message) => {
                assert_eq!(message.payload, &[(seq - 1) as u8; 100]);
                true
            }
            got => {
                assert_eq!(got, Get::Pending);
                false
            }
        };
        self.serve();
        assert!(matches!(self.log.get(seq), Get::Found(_)), "{seq}");
        found
    }
}

#[test]
fn who_reads_on_waits_once_for_each_reader() {
    let mut rig = Rig::new(40_000);
    let waits = (1..=40_000).filter(|seq| !rig.get(*seq)).count();
    // The first record, and the second block: the first one was too short to tell.
    assert!(waits <= 2, "{waits}");
    // Five megabytes in quarters, and where segments end.
    assert!(rig.reads < 40, "{}", rig.reads);
    let ahead = (30_000..=40_000).filter(|seq| !rig.get(*seq)).count();
    assert!(ahead <= 2, "{ahead}");
}

#[test]
fn what_fits_the_cache_is_read_once_in_any_order() {
    let mut rig = Rig::new(10_000);
    let mut at = 1;
    let mut waits = 0;
    for _ in 0..30_000 {
        at = at * 48_271 % 10_007;
        if at <= 10_000 {
            waits += usize::from(!rig.get(at));
        }
    }
    // 1.4 MB in cells of 16 KB.
    assert!(waits <= 100 && rig.reads <= 100, "{waits} {}", rig.reads);
}

#[test]
fn who_reads_here_and_there_reads_little() {
    let mut rig = Rig::new(40_000);
    for n in 0..200 {
        rig.get(1 + n * 7_919 % 40_000);
    }
    let bytes: usize = rig.log.cache_bytes();
    assert!(rig.reads <= 210 && bytes <= 3 << 20, "{} {bytes}", rig.reads);
}

#[test]
fn going_back_reads_no_further_ahead() {
    let mut rig = Rig::new(20_000);
    for seq in (1..=20_000).rev() {
        rig.get(seq);
    }
    // 2.8 MB in cells of 16 KB.
    assert!(rig.reads <= 190, "{}", rig.reads);
}

impl Rig {
    /// Whether the message is there, after so many reads as it takes.
    fn is_there(&mut self, seq: u64) -> bool {
        for _ in 0..10 {
            match self.log.get(seq) {
                Get::Found(message) => {
                    assert_eq!(message.payload, &[(seq - 1) as u8; 100]);
                    return true;
                }
                Get::Pending => self.serve(),
                Get::Damaged => return false,
                Get::Missing => panic!("{seq}"),
            }
        }
        panic!("{seq} is read for ever");
    }
}

#[test]
fn a_bad_place_takes_what_lies_there_and_not_its_neighbours() {
    for seq in [1, 50, 51, 60, 99] {
        let mut rig = Rig::new(1_000);
        // All are alike.
        let len = rig.files.values().map(Vec::len).sum::<usize>() / 1_000;
        rig.bad = 64 + len * 50 + 60..64 + len * 50 + 61;
        let bad = (1..=99).filter(|seq| !rig.is_there(*seq)).count();
        assert_eq!(bad, 1);
        // Whoever asks for another first, too.
        let mut rig = Rig { bad: rig.bad.clone(), ..Rig::new(1_000) };
        rig.is_there(seq);
        assert_eq!((1..=200).filter(|seq| !rig.is_there(*seq)).count(), 1);
    }
}

#[test]
fn what_was_cut_off_a_file_is_gone_and_the_rest_is_there() {
    let mut rig = Rig::new(1_000);
    for file in rig.files.values_mut() {
        file.truncate(file.len() / 2);
    }
    let there = (1..=1_000).filter(|seq| rig.is_there(*seq)).count();
    assert!((450..=500).contains(&there), "{there}");
}
