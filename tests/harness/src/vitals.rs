//! What a process uses of its machine, as the kernel tells it.

use std::fs;

/// What one process uses at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Of these, sockets: connections for the most part.
    pub sockets: usize,
    /// Threads.
    pub threads: u64,
    /// Child processes, dead ones that nobody waited for included.
    pub children: usize,
}

impl Vitals {
    /// Of the process with this id.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or_default()
        };
        let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("the process lives")
            .flatten()
            .map(|entry| fs::read_link(entry.path()).unwrap_or_default())
            .collect();
        let is_socket = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("socket:");
        Self {
            memory_kib: number("VmRSS:"),
            descriptors: open.len(),
            sockets: open.iter().filter(is_socket).count(),
            threads: number("Threads:"),
            children: children(pid).len(),
        }
    }
}

/// The processes whose parent is `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`; the name may hold anything.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').nth(1) == Some(parent.to_string().as_str())
    })
    .collect()
}
