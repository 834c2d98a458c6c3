//! Format version 1, byte for byte.
//!
//! All integers are little-endian. The page `FORMAT.md` beside this crate
//! describes the bytes; the names of its sections are used below.
//!
//! Nothing here trusts a byte: what is damaged, cut short or hostile is a
//! [`FormatError`] that names the object, the place and the reason. Lengths and
//! counts are held against the bytes that are there before anything is
//! allocated for them.

mod batch;
mod error;
mod manifest;
mod reader;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(not(feature = "zstd"))]
#[path = "no_zstd.rs"]
mod zstd;

pub use batch::{Compression, decode_batch, encode_batch};
pub use error::{Disagreement, EncodeError, Field, FormatError, FormatReason, Section};
pub use manifest::{Manifest, ManifestEntry, Metadata, NewEntry};

/// The version that this project writes, and the only one it reads.
pub const VERSION: u16 = 1;
