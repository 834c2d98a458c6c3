//! One queue in one world; what scenarios use, for tests that are none.

#![allow(unused_imports, reason = "every test binary uses a part of it")]

pub(crate) use buffer_sim::scenarios::queue::*;
