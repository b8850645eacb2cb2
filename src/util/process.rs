//! What has to be settled while the process has one thread and few files.

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
