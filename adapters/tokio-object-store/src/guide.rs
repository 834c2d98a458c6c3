//! The guide, so that its Rust snippets are compiled and run as doctests.

macro_rules! chapters {
    ($($chapter:ident: $file:literal,)*) => {
        $(
            #[doc = include_str!(concat!("../guide/", $file))]
            pub mod $chapter {}
        )*
    };
}

chapters! {
    index: "README.md",
    guarantees: "guarantees.md",
    sizing: "sizing.md",
    cost: "cost.md",
    operating: "operating.md",
    permissions: "permissions.md",
    recovery: "recovery.md",
    buckets: "buckets.md",
    local_directory: "local-directory.md",
    moving: "moving.md",
    promises: "promises.md",
}
