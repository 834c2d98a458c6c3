//! The project's README, so that its Rust snippets are compiled and run as doctests.

#![doc = include_str!("../../../README.md")]
