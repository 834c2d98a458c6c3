//! A database with a bug in it, which the simulator finds, and the same one without it, which passes.
//!
//! `database.rs` is the database, `simulated.rs` is all that the simulator needs besides.
//! `cargo run -p opendata-buffer-sim --features object-store --example key_value -- SEEDS`

mod database;
mod simulated;

use std::error::Error;

use buffer_sim::kit;

use database::Design;
use simulated::Simulated;

fn main() -> Result<(), Box<dyn Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(500), |seeds| seeds.parse())?;
    match kit::check(0..seeds, |_| Simulated(Design::SequenceAfterBatch)) {
        Ok(met) => println!("the bug was not found in {met}"),
        Err(failure) => println!("{failure}"),
    }
    println!();
    let met = kit::check(0..seeds, |_| Simulated(Design::SequenceWithBatch))?;
    println!("mended: {met}");
    Ok(())
}
