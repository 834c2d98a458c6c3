//! What a run takes of the machine, and how it goes.

use std::fs;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// CPU time that this process has taken so far, on all its threads.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let (seconds, nanos) =
            (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        Some(Duration::new(seconds, nanos))
    }
    #[cfg(not(unix))]
    None
}

/// Memory of this process, as the operating system counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Bytes now.
    pub(crate) resident: Option<u64>,
    /// The most there were since [`forget_peak`]; since the process began, where that is not allowed.
    pub(crate) peak: Option<u64>,
}

impl Memory {
    pub(crate) fn now() -> Self {
        // Only Linux has it.
        let Ok(status) = fs::read_to_string("/proc/self/status") else { return Self::default() };
        Self { resident: field(&status, "VmRSS:"), peak: field(&status, "VmHWM:") }
    }
}

/// Counts the peak from here on, where the operating system lets us.
pub(crate) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// A line such as `VmRSS:     1234 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// A line on stderr that tells how it goes; nothing unless that is a terminal.
pub(crate) fn progress(title: String, length: Duration) -> ProgressBar {
    const TEMPLATE: &str = "{prefix}  {bar:20} {msg}";
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    ProgressBar::new(millis)
        .with_style(ProgressStyle::with_template(TEMPLATE).expect("the template is sound"))
        .with_prefix(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(field(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(field(status, "VmNone:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_time_and_memory() {
        let before = cpu_time().expect("there is a clock");
        let memory = Memory::now();
        assert!(memory.resident.is_some_and(|bytes| bytes > 100_000));
        assert!(memory.peak >= memory.resident);
        let held = vec![1_u8; 32 << 20];
        let peak = Memory::now().peak.expect("it was there before");
        assert!(peak > 32 << 20 && held.iter().all(|byte| *byte == 1));
        assert!(cpu_time().is_some_and(|after| after > before));
    }
}
