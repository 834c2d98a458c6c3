//! What the simulator plants in this code, and sees of it: nothing at all in a normal build.
//!
//! With `--cfg buffer_sim` (see `.cargo/config.toml`; a `cfg` and not a cargo
//! feature, because features unify across a workspace) two macros come alive:
//!
//! - [`sometimes!`](crate::sometimes) counts how often a place is reached, so
//!   that a sweep can tell which rare states it has seen;
//! - [`planted!`](crate::planted) is true while its bug is planted, so that a
//!   sweep can show that it would find such a bug.
//!
//! Both are per thread, because a simulated world runs on one.

/// A table of places or of bugs, with a sentence about each.
macro_rules! table {
    ($(#[$about:meta])* $table:ident { $($name:ident => $text:tt,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the sentence of each is its `about`")]
        pub enum $table {
            $($name,)*
        }

        impl $table {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }

        table!(@text $table { $($name => $text,)* });
    };
    (@text $table:ident { $($name:ident => ($catches:literal, $about:literal),)* }) => {
        impl $table {
            /// What is wrong with it.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)*
                }
            }

            /// The invariant that catches it, such as `"I5"`, and after it those that it breaks in consequence.
            #[must_use]
            pub const fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$name => $catches,)*
                }
            }
        }
    };
    (@text $table:ident { $($name:ident => $about:literal,)* }) => {
        impl $table {
            /// What it means to be there.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)*
                }
            }
        }
    };
}

mod bugs;
mod points;

pub use bugs::Bug;
pub use points::Point;

/// Counts that this place was reached; with a second argument, only if that is true.
#[doc(hidden)]
#[macro_export]
macro_rules! sometimes {
    ($point:ident) => {
        $crate::hooks::reached($crate::hooks::Point::$point)
    };
    ($point:ident, $when:expr) => {
        if cfg!(buffer_sim) && $when {
            $crate::hooks::reached($crate::hooks::Point::$point)
        }
    };
}

/// Whether this bug is planted: never, in a normal build.
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::hooks::is_planted($crate::hooks::Bug::$bug)
    };
}

#[cfg(not(buffer_sim))]
mod off {
    use super::{Bug, Point};

    #[inline(always)]
    pub const fn reached(_point: Point) {}

    #[must_use]
    #[inline(always)]
    pub const fn is_planted(_bug: Bug) -> bool {
        false
    }
}

#[cfg(not(buffer_sim))]
pub use off::{is_planted, reached};

#[cfg(buffer_sim)]
mod on {
    extern crate std;

    use std::cell::Cell;
    use std::thread_local;
    use std::vec::Vec;

    use super::{Bug, Point};

    thread_local! {
        static REACHED: [Cell<u64>; Point::ALL.len()] =
            const { [const { Cell::new(0) }; Point::ALL.len()] };
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Counts a place.
    pub fn reached(point: Point) {
        REACHED.with(|counts| counts[point as usize].update(|count| count + 1));
    }

    /// How often each place was reached on this thread since this was last asked, in the order of [`Point::ALL`].
    #[must_use]
    pub fn take_reached() -> Vec<u64> {
        REACHED.with(|counts| counts.iter().map(Cell::take).collect())
    }

    /// Plants a bug on this thread in place of the one before, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(buffer_sim)]
pub use on::{is_planted, plant, reached, take_reached};
