//! Format version 1, byte for byte.
//!
//! All integers are little-endian. The page `FORMAT.md` beside this crate
//! describes the bytes; the names of its sections are used below.
//!
//! Nothing here trusts a byte: what is damaged, cut short or hostile is a
//! [`FormatError`] that names the object, the place and the reason. Lengths and
//! counts are held against the bytes that are there before anything is
//! allocated for them.
//!
//! ```
//! use buffer_core::Location;
//! use buffer_core::format::{Compression, Manifest, NewEntry, decode_batch, encode_batch};
//! use bytes::Bytes;
//!
//! let records = [Bytes::from("first"), Bytes::from("second")];
//! let object = encode_batch(records.iter(), Compression::None)?.concat();
//! let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
//! assert_eq!(decode_batch(&location, &object.into(), 1024)?, records);
//!
//! let listed = Manifest::absent().append(&[NewEntry { location: &location, metadata: &[] }])?;
//! let object = listed.to_rope().concat();
//! assert_eq!(Manifest::parse(&Location::from("ingest/manifest"), object.into())?, listed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod codec;
mod entry;
mod error;
mod manifest;
mod reader;
mod salvage;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(not(feature = "zstd"))]
#[path = "no_zstd.rs"]
mod zstd;

pub(crate) use batch::is_compressed;
pub use batch::{BatchFooter, Compression, decode_batch, encode_batch};
pub use codec::Codec;
pub use entry::{ManifestEntry, Metadata, NewEntry, check_metadata};
pub use error::{Disagreement, EncodeError, Field, FormatError, FormatReason, Section};
pub use manifest::Manifest;
pub use salvage::salvage_records;

/// The version that this project writes, and the only one it reads.
///
/// ```
/// use buffer_core::format::{Compression, Manifest, VERSION, encode_batch};
/// use bytes::Bytes;
///
/// // It stands at the end of each object.
/// let batch = encode_batch([Bytes::from("a record")].iter(), Compression::None)?.concat();
/// let manifest = Manifest::absent().to_rope().concat();
/// assert!(batch.ends_with(&VERSION.to_le_bytes()) && manifest.ends_with(&VERSION.to_le_bytes()));
/// # Ok::<(), buffer_core::format::EncodeError>(())
/// ```
pub const VERSION: u16 = 1;
