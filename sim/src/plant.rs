//! Planted bugs and coverage, where they are compiled in.

use buffer_core::hooks::Bug;

/// Whether bugs can be planted and coverage is counted: only if built with `--cfg buffer_sim`, as `cargo sim` does.
///
/// ```
/// use buffer_sim::hooks_are_on;
/// use buffer_sim::scenarios::Scenario;
///
/// let scenario = Scenario::by_name("failure_02_a_lost_reply_is_not_a_failure").expect("it is there");
/// let bugs = if hooks_are_on() { scenario.planted } else { &[] };
/// for bug in bugs {
///     assert!(scenario.fails_when_planted(*bug).is_some(), "nobody sees {}", bug.name());
/// }
/// assert!(scenario.run().is_ok(), "without a bug it passes");
/// ```
#[must_use]
pub const fn hooks_are_on() -> bool {
    cfg!(buffer_sim)
}

/// Runs `work` with this bug planted on this thread; nothing is planted before or after it.
#[cfg(buffer_sim)]
pub(crate) fn with<T>(bug: Option<Bug>, work: impl FnOnce() -> T) -> T {
    /// Also where `work` panics.
    struct Weed;

    impl Drop for Weed {
        fn drop(&mut self) {
            buffer_core::hooks::plant(None);
        }
    }

    let _weed = Weed;
    buffer_core::hooks::plant(bug);
    work()
}

/// Runs `work`.
///
/// # Panics
///
/// With a bug: nothing can be planted in this build.
#[cfg(not(buffer_sim))]
pub(crate) fn with<T>(bug: Option<Bug>, work: impl FnOnce() -> T) -> T {
    assert!(bug.is_none(), "a bug can be planted only where the hooks are on");
    work()
}

/// How often each place was reached on this thread since this was last asked; empty where nothing is counted.
#[cfg(buffer_sim)]
pub(crate) fn take_reached() -> Vec<u64> {
    buffer_core::hooks::take_reached()
}

/// Nothing is counted in this build.
#[cfg(not(buffer_sim))]
pub(crate) const fn take_reached() -> Vec<u64> {
    Vec::new()
}
