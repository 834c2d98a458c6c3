//! Random worlds: what their seeds decide, what lives in them, and what must hold.

mod consumers;
mod database;
mod faults;
mod oracles;
mod plan;
mod producers;
mod tap;
mod world;

pub(crate) use world::{Report, run};
