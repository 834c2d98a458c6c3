//! What goes from batch to batch.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::batch::{self, Compression, Shape};
use super::error::{EncodeError, FormatError};
use super::zstd;
use crate::store::Rope;
use crate::types::Location;

/// Encodes and decodes batches, one after the other, with compression contexts that it makes when they are
/// first needed and keeps.
///
/// A context takes some megabytes and longer to make than a small batch takes to compress. What comes out does
/// not depend on what went through before. A host keeps as many as it has threads that do such work.
///
/// ```
/// use buffer_core::Location;
/// use buffer_core::format::{Codec, Compression};
/// use bytes::Bytes;
///
/// let mut codec = Codec::new();
/// let records = [Bytes::from("first"), Bytes::from("second")];
/// let object = codec.encode_batch(records.iter(), Compression::None)?.concat();
/// let location = Location::from("ingest/01JZ5V7E4D8Q3T6X9B2M5N8R1S.batch");
/// assert_eq!(codec.decode_batch(&location, &object.clone().into(), 1024)?, records);
///
/// // Two submissions of one entry each make the same batch.
/// let submissions = records.map(|record| vec![record]).to_vec();
/// let rope = codec.encode_submissions(submissions, Compression::None)?;
/// assert_eq!(rope.concat(), object);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Codec {
    contexts: zstd::Contexts,
}

impl Codec {
    /// A codec that has nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { contexts: zstd::Contexts::new() }
    }

    /// Turns records into a batch object.
    ///
    /// Without compression, records of 4 KiB and more are not copied: they are
    /// pieces of the rope, as they were given. An empty batch is a valid one.
    ///
    /// # Errors
    ///
    /// [`EncodeError::RecordTooLong`] and [`EncodeError::TooManyRecords`] for what
    /// the format cannot hold, [`EncodeError::NoZstd`] in a build without
    /// compression, and [`EncodeError::Zstd`] if the compressor gets no memory.
    pub fn encode_batch<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Bytes> + Clone,
        compression: Compression,
    ) -> Result<Rope, EncodeError> {
        let shape = Shape::of(records.clone())?;
        batch::encode(&mut self.contexts, &shape, records, compression)
    }

    /// Turns submissions into a batch object, as [`encode_batch`](Self::encode_batch) does with their entries, and lets
    /// each go once it is copied: beside what comes out no more than one of them is held.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn encode_submissions(
        &mut self,
        submissions: Vec<Vec<Bytes>>,
        compression: Compression,
    ) -> Result<Rope, EncodeError> {
        let shape = Shape::of(submissions.iter().flatten())?;
        batch::encode(&mut self.contexts, &shape, submissions.into_iter().flatten(), compression)
    }

    /// Takes a batch object apart. The records share the object's memory, or that
    /// of the decompressed block.
    ///
    /// `limit` bounds the record block, in bytes and decompressed. What is
    /// allocated, the list of records included, is never more than the larger of
    /// `limit`, twice the object and 4 KiB. (The decompressor's own state comes on
    /// top; its size is fixed, whatever the object says.)
    ///
    /// # Errors
    ///
    /// [`FormatError`] for everything that FORMAT, "What a reader must refuse",
    /// names, for what is over the limit, and for a compressed batch in a build
    /// without the feature `zstd`.
    pub fn decode_batch(
        &mut self,
        object: &Location,
        bytes: &Bytes,
        limit: usize,
    ) -> Result<Vec<Bytes>, FormatError> {
        batch::decode(&mut self.contexts, bytes, limit).map_err(|fault| fault.in_object(object))
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}
