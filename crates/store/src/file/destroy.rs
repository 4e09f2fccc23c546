//! Removing a log from the disk.

use std::sync::Arc;

use super::FileLog;
use crate::disk::{DiskOp, DiskRequest};
use crate::log::Log;

impl Log {
    /// The request that removes the log's files and directory, to be performed after all that
    /// were taken before; `None` if nothing was ever written. The log is not to be used
    /// afterwards.
    ///
    /// Files that the log does not know make the last step fail: then the directory stays, to be
    /// removed when it is next listed.
    pub fn destroy(&mut self) -> Option<DiskRequest> {
        self.file_mut()?.destroy()
    }
}

impl FileLog {
    fn destroy(&mut self) -> Option<DiskRequest> {
        if self.untouched() {
            return None;
        }
        let files = self.segments.iter().map(|segment| &segment.path).chain(&self.health.orphans);
        let files = files.chain(&self.leftovers).chain(self.compaction.writing());
        let mut ops: Vec<DiskOp> = files.map(|path| DiskOp::Remove(Arc::clone(path))).collect();
        for segment in &self.segments {
            ops.push(DiskOp::Remove(self.sidecar_path(segment.id, segment.generation)));
        }
        ops.extend(self.derived.on_disk.iter().cloned().map(DiskOp::Remove));
        for name in ["compact.tmp", "probe"] {
            ops.push(DiskOp::Remove(format!("{}/{name}", self.dir).into()));
        }
        ops.push(DiskOp::Remove(Arc::clone(&self.dir)));
        let parent = self.dir.rsplit_once('/').map_or("", |(parent, _)| parent);
        ops.push(DiskOp::SyncDir(parent.into()));
        Some(DiskRequest { id: self.request_id(), ops })
    }
}
