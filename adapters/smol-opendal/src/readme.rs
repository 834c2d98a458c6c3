//! The package's README, so that its Rust is compiled and run as doctests.

#![doc = include_str!("../README.md")]
