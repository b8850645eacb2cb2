//! What has to be settled while the process has one thread and few files, what it uses, and what it
//! gives back.

use std::time::{Duration, SystemTime};

/// Read by ONNX Runtime when it is loaded.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Keeps ONNX Runtime from calling its maker. Version 1.32 looks up a host of its maker after each
/// start and keeps a device id and a database of events in the home folder; switching that off in
/// its API comes after the first event. Call it first thing in `main`.
pub fn keep_quiet() {
    #[expect(
        unsafe_code,
        reason = "the environment can only be changed unsafely; nothing else runs yet"
    )]
    // SAFETY: the process has one thread, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var(NO_TELEMETRY, "1");
    }
}

/// Raises the number of files that the process may have open to what the system allows it, and says
/// how many that is; `None` when there is no bound. Most shells and systemd start a process with
/// 1,024, which as many connections use up.
pub fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Lets all other threads go before the calling one, for good: it gets what they leave of the
/// processor. Where the system does not allow it the thread competes as any other, no more.
pub fn give_way() {
    // On Linux a priority is a thread's own.
    let _ = rustix::process::nice(LOWEST_PRIORITY);
}

/// What `nice` can ask for at most.
const LOWEST_PRIORITY: i32 = 19;
/// What the process uses of the system.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time, of the user and of the system.
    pub cpu: Duration,
    /// Bytes of memory that are resident.
    pub resident: u64,
    /// Bytes of memory that are mapped.
    pub mapped: u64,
    pub threads: u64,
    pub open_files: u64,
    /// `None`: without a bound.
    pub most_files: Option<u64>,
    /// Since 1970.
    pub started: Duration,
}

/// What the process uses now; `None` where the system has no `/proc`.
#[must_use]
pub fn usage() -> Option<Usage> {
    use rustix::process::{Resource, getrlimit};
    use rustix::time::{ClockId, clock_gettime};
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let clock = |id| Duration::try_from(clock_gettime(id)).ok();
    // The one that lists the files is open too.
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(Usage {
        cpu: clock(ClockId::ProcessCPUTime)?,
        resident: number("VmRSS:")? * 1024,
        mapped: number("VmSize:")? * 1024,
        threads: number("Threads:")?,
        open_files: files.saturating_sub(1),
        most_files: getrlimit(Resource::Nofile).current,
        started: started(clock(ClockId::Boottime)?)?,
    })
}

/// When the process started, since 1970; `up`: how long the system runs.
fn started(up: Duration) -> Option<Duration> {
    /// What Linux counts in for programs, whatever the kernel's own clock is.
    const TICKS: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything. The 22nd field of all is the 20th after it.
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let age = up.checked_sub(Duration::from_millis(ticks * 1000 / TICKS))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok()?.checked_sub(age)
}

/// Gives the system the memory that is free in the process. An allocator keeps what was freed between
/// what was not, and after a large part of the memory was replaced that may be as much as is in use.
/// It takes some milliseconds.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "the allocator is the C library's")]
        // SAFETY: it takes a number, any thread may call it, and it touches free memory alone.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_what_it_uses() {
        let held = [(); 8].map(|()| std::fs::File::open("/proc/self/stat").expect("a file"));
        let usage = usage().expect("Linux");
        assert!(
            usage.open_files > 8 && usage.most_files > Some(8),
            "{usage:?}"
        );
        drop(held);
        assert!(usage.resident > 1 << 20 && usage.mapped >= usage.resident);
        assert!(usage.cpu > Duration::ZERO && usage.threads > 0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let age = now.expect("after 1970").checked_sub(usage.started);
        assert!(
            age.is_some_and(|age| age < Duration::from_hours(24)),
            "{usage:?}"
        );
    }
}
