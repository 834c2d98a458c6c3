//! Format version 1, byte for byte.
//!
//! All integers are little-endian. The page `FORMAT.md` beside this crate
//! describes the bytes; the names of its sections are used below.

mod batch;
mod error;
mod manifest;

pub use batch::{Compression, decode_batch, encode_batch};
pub use error::{Disagreement, EncodeError, FormatError, FormatReason};
pub use manifest::{Manifest, ManifestEntry, Metadata, NewEntry};

/// The version that this project writes, and the only one it reads.
pub const VERSION: u16 = 1;
