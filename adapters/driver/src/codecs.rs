//! The compression contexts of this process, passed from one batch to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use buffer_core::format::Codec;

use crate::processors;

/// Those that nobody uses, the last one used on top: its memory is the warmest.
static IDLE: Mutex<Vec<Codec>> = Mutex::new(Vec::new());

/// Does work with a codec that nobody else has meanwhile.
pub(crate) fn with<T>(work: impl FnOnce(&mut Codec) -> T) -> T {
    let taken = idle().pop();
    let mut codec = taken.unwrap_or_default();
    // One that is in use during a panic is not passed on.
    let result = work(&mut codec);
    let mut idle = idle();
    // More than this many cannot work at one time for long.
    if idle.len() < processors::usual() {
        idle.push(codec);
    }
    result
}

fn idle() -> MutexGuard<'static, Vec<Codec>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}
