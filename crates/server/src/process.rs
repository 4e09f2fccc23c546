//! What the process uses, as far as the system tells. Zero where it does not (all but Linux).

/// Resident memory in bytes.
pub(crate) fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

/// The threads, each with its name and state; none where the system does not tell.
pub(crate) fn threads() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let named = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // `17 (name) S …`
        let (name, rest) = stat.rsplit_once(')')?;
        Some(format!("{name}) {}", rest.split_ascii_whitespace().next()?))
    };
    entries.filter_map(|entry| named(entry.ok()?)).collect()
}

/// CPU time since the start, in percent of one core.
pub(crate) fn cpu_percent(uptime_ns: i64) -> f64 {
    // utime and stime, the 14th and 15th fields, in ticks of 10 ms; the name before may hold blanks.
    let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    let seconds = uptime_ns.max(1) as f64 / 1e9;
    (ticks.unwrap_or(0.0) / seconds * 10.0).round() / 10.0
}

/// The memory of the machine, or of the control group that the process runs in; 2 GiB where neither is
/// known.
pub(crate) fn memory_bytes() -> u64 {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let known = [
        number("/sys/fs/cgroup/memory.max"),
        number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        machine.map(|kib| kib * 1024),
    ];
    known.into_iter().flatten().min().unwrap_or(2 << 30)
}

/// What the server may hold for its clients: half of the memory.
pub(crate) fn memory_allowance() -> usize {
    usize::try_from(memory_bytes() / 2).unwrap_or(usize::MAX)
}

/// What the file system of a directory has free; `None` where the system does not tell.
#[cfg(unix)]
pub(crate) fn free_disk_bytes(directory: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What the file system of a directory has free; `None` where the system does not tell.
#[cfg(not(unix))]
pub(crate) fn free_disk_bytes(_directory: &std::path::Path) -> Option<u64> {
    None
}

/// How many files the process may open; `None` where there is no such limit, or the system does not tell.
#[cfg(unix)]
pub(crate) fn file_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many files the process may open; `None` where there is no such limit, or the system does not tell.
#[cfg(not(unix))]
pub(crate) fn file_limit() -> Option<usize> {
    None
}

/// Lets the process open as many files as it may ask for, as programs in Go do: a connection is one.
/// For programs of our own; an embedded server leaves its host's limits alone.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            // Where it is refused the old limit stays.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        }
    }
}

/// Whether a call failed because the process, or the system, can open no more files.
pub(crate) fn is_out_of_files(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        let number = |it: rustix::io::Errno| it.raw_os_error();
        let both = [number(rustix::io::Errno::MFILE), number(rustix::io::Errno::NFILE)];
        error.raw_os_error().is_some_and(|code| both.contains(&code))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
