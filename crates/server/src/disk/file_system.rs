//! Syncing all of a file system at once.

pub(super) use system::FileSystem;

#[cfg(all(target_os = "linux", not(natterjack_portable)))]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Of ext4, XFS, Btrfs and F2FS (`linux/magic.h`) it is known that a sync tells of each write that
    /// failed. That of an overlay, or over a network, does not.
    const KNOWN: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];
    /// Since then a sync of a file system tells of them at all (`syncfs(2)`).
    const TELLS: (u32, u32) = (5, 8);

    /// The file system of the store.
    pub(in super::super) struct FileSystem {
        /// The root, open from the beginning: a sync tells of writes that failed since this was opened.
        root: Option<File>,
        device: u64,
        /// A file lies elsewhere.
        mixed: AtomicBool,
    }

    impl FileSystem {
        pub(in super::super) fn of(root: &Path) -> FileSystem {
            let root = File::open(root).ok().filter(|root| tells() && is_known(root));
            let device =
                root.as_ref().and_then(|root| root.metadata().ok()).map_or(0, |it| it.dev());
            FileSystem { root, device, mixed: AtomicBool::new(false) }
        }

        /// Looks at a file of the store that was opened.
        pub(in super::super) fn note(&self, file: &File) {
            if self.root.is_some() && !file.metadata().is_ok_and(|it| it.dev() == self.device) {
                self.mixed.store(true, Ordering::Relaxed);
            }
        }

        /// Syncs it; `None` where that cannot be done, or would not tell of everything.
        pub(in super::super) fn sync(&self) -> Option<io::Result<()>> {
            let root = self.root.as_ref().filter(|_| !self.mixed.load(Ordering::Relaxed))?;
            Some(rustix::fs::syncfs(root).map_err(io::Error::from))
        }
    }

    fn is_known(root: &File) -> bool {
        // The type of the field differs between processors.
        let magic = |it: rustix::fs::StatFs| u32::try_from(it.f_type).unwrap_or(0);
        rustix::fs::fstatfs(root).is_ok_and(|it| KNOWN.contains(&magic(it)))
    }

    fn tells() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        numbers.next().zip(numbers.next()).is_some_and(|version| version >= TELLS)
    }
}

#[cfg(not(all(target_os = "linux", not(natterjack_portable))))]
mod system {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    /// The file system of the store, which is synced file by file.
    pub(in super::super) struct FileSystem;

    impl FileSystem {
        pub(in super::super) fn of(_: &Path) -> FileSystem {
            FileSystem
        }

        pub(in super::super) fn note(&self, _: &File) {}

        pub(in super::super) fn sync(&self) -> Option<io::Result<()>> {
            None
        }
    }
}
