//! Panics as values, without noise.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What a panic said, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Panic {
    message: String,
    place: Option<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " (a panic at {place})"))
    }
}

thread_local! {
    /// What runs on this thread under guard; nothing where that is empty.
    static GUARDED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The first panic under guard.
    static SEEN: RefCell<Option<Panic>> = const { RefCell::new(None) };
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work`, and gives its panic back instead of printing it.
///
/// `name` is printed if the process is about to abort: a panic on the way out of a panic is one that cannot be caught.
pub(crate) fn catch<T>(name: &str, work: impl FnOnce() -> T) -> Result<T, Panic> {
    hush();
    let outer = GUARDED.replace(Some(name.to_owned()));
    PANICS.set(0);
    SEEN.set(None);
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    ended.map_err(|panic| {
        SEEN.take().unwrap_or_else(|| Panic { message: message(&*panic), place: None })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// Keeps the panic hook quiet about what is caught.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let guarded = GUARDED.with_borrow(|name| name.clone());
            let Some(name) = guarded else { return told(info) };
            if PANICS.replace(PANICS.get() + 1) == 0 {
                let place = info.location().map(ToString::to_string);
                SEEN.set(Some(Panic { message: message(info.payload()), place }));
            } else {
                let first = SEEN.with_borrow(Clone::clone).unwrap_or_default();
                eprintln!("{name}: {first}; and on the way out: {info}");
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let panic = catch("a test", || -> u32 { panic!("{} is wrong", 7) });
        let text = panic.expect_err("it panics").to_string();
        assert!(text.starts_with("7 is wrong (a panic at "), "{text}");
        assert!(text.contains("guard.rs:"), "{text}");
        assert_eq!(catch("a test", || 7), Ok(7));
    }
}
