//! Compressed record blocks.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::mem;

use bytes::Bytes;
use zstd_safe::zstd_sys::{ZSTD_EndDirective, ZSTD_ErrorCode};
use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::batch::{COPY_BELOW, FOOTER_LEN, LENGTH_LEN, length_prefix};
use super::error::{EncodeError, FormatReason};
use crate::store::Rope;

/// The level that version 1 is written at.
const LEVEL: i32 = 3;

/// Small records go to the compressor this many bytes at a time.
const STAGE_LEN: usize = 128 * 1024;

/// Compressed bytes come out in pieces of at most this length.
const PIECE_LEN: usize = 1024 * 1024;

/// No block stands for more bytes than this, and none is shorter than 3 bytes.
const MAX_BLOCK_LEN: usize = 128 * 1024;

/// What (de)compression needs beside its input and output, each made when it is first needed.
#[derive(Default)]
pub(super) struct Contexts {
    compressor: Option<CCtx<'static>>,
    decompressor: Option<DCtx<'static>>,
}

impl Contexts {
    pub(super) const fn new() -> Self {
        Self { compressor: None, decompressor: None }
    }

    /// A compressor that knows nothing of what it did before.
    fn compressor(&mut self) -> Result<&mut CCtx<'static>, EncodeError> {
        let no_memory = EncodeError::Zstd { detail: "there is no memory for a compressor" };
        let mut context = match self.compressor.take() {
            Some(context) => context,
            None => CCtx::try_create().ok_or(no_memory)?,
        };
        context.reset(ResetDirective::SessionAndParameters).map_err(failed)?;
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(failed)?;
        context.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
        Ok(self.compressor.insert(context))
    }

    fn decompressor(&mut self) -> Result<&mut DCtx<'static>, FormatReason> {
        if self.decompressor.is_none() {
            self.decompressor = DCtx::try_create();
        }
        // What it takes is the same for every frame.
        self.decompressor.as_mut().ok_or(FormatReason::NoMemory { needed: 128 << 10 })
    }
}

/// Compresses records into one frame, followed by the footer.
///
/// The frame says how long its content is (`block_len`) and carries a checksum.
/// Large records are read where they lie.
pub(super) fn compress<R: Borrow<Bytes>>(
    contexts: &mut Contexts,
    records: impl Iterator<Item = R>,
    block_len: u64,
    footer: [u8; FOOTER_LEN],
) -> Result<Rope, EncodeError> {
    let mut compressor = Compressor::new(contexts, block_len)?;
    let stage_len = usize::try_from(block_len).map_or(STAGE_LEN, |len| len.min(STAGE_LEN));
    let mut stage = Vec::with_capacity(stage_len);
    for record in records {
        let record = record.borrow();
        let is_copied = record.len() < COPY_BELOW;
        let next = LENGTH_LEN + if is_copied { record.len() } else { 0 };
        if stage.len() + next > stage_len {
            compressor.feed(&stage, ZSTD_EndDirective::ZSTD_e_continue)?;
            stage.clear();
        }
        stage.extend_from_slice(&length_prefix(record));
        if is_copied {
            stage.extend_from_slice(record);
        } else {
            compressor.feed(&stage, ZSTD_EndDirective::ZSTD_e_continue)?;
            stage.clear();
            compressor.feed(record, ZSTD_EndDirective::ZSTD_e_continue)?;
        }
    }
    compressor.feed(&stage, ZSTD_EndDirective::ZSTD_e_end)?;
    Ok(compressor.finish(footer))
}

/// Decompresses any number of frames into one buffer of at most `limit` bytes.
///
/// The frames are decompressed straight into that buffer, never through a
/// window, so that no frame header can make the decompressor allocate one. A
/// buffer that turns out to be too small is given up before a larger one is
/// made: there is never more than one, and never more than `limit`.
pub(super) fn decompress(
    contexts: &mut Contexts,
    frames: &[u8],
    limit: usize,
) -> Result<Vec<u8>, FormatReason> {
    let declared = zstd_safe::get_frame_content_size(frames).ok().flatten();
    if let Some(needed) = declared.filter(|declared| *declared > limit as u64) {
        return Err(FormatReason::RecordsTooLarge { needed, limit: limit as u64 });
    }
    let declared = declared.and_then(|declared| usize::try_from(declared).ok());
    // However much is declared: so many bytes cannot stand for more than this.
    let plausible = (frames.len() / 3).saturating_mul(MAX_BLOCK_LEN);
    let mut capacity = declared.unwrap_or(frames.len().saturating_mul(4)).min(plausible).min(limit);
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(capacity).is_err() {
            return Err(FormatReason::NoMemory { needed: capacity as u64 });
        }
        let Err(code) = contexts.decompressor()?.decompress(&mut block, frames) else {
            // What was declared fits. A guess leaves room, which is given back
            // where the move that this may take stays within the limit, too.
            if block.len() <= limit - capacity {
                block.shrink_to_fit();
            }
            return Ok(block);
        };
        if !zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
            return Err(FormatReason::BadZstd { detail: zstd_safe::get_error_name(code) });
        }
        if capacity == limit {
            let limit = limit as u64;
            return Err(FormatReason::RecordsTooLarge { needed: limit.saturating_add(1), limit });
        }
        capacity = capacity.saturating_mul(4).max(MAX_BLOCK_LEN).min(limit);
    }
}

/// One frame in the making.
struct Compressor<'a> {
    context: &'a mut CCtx<'static>,
    done: Rope,
    piece: Vec<u8>,
    piece_len: usize,
}

impl<'a> Compressor<'a> {
    fn new(contexts: &'a mut Contexts, block_len: u64) -> Result<Self, EncodeError> {
        let context = contexts.compressor()?;
        context.set_pledged_src_size(Some(block_len)).map_err(failed)?;
        let piece_len = usize::try_from(block_len)
            .map_or(PIECE_LEN, |len| zstd_safe::compress_bound(len.min(PIECE_LEN)).min(PIECE_LEN))
            + FOOTER_LEN;
        let piece = Vec::with_capacity(piece_len);
        Ok(Self { context, done: Vec::new(), piece, piece_len })
    }

    /// Takes all of `bytes` in, and with `ZSTD_e_end` gives all of the frame out.
    fn feed(&mut self, bytes: &[u8], end: ZSTD_EndDirective) -> Result<(), EncodeError> {
        let mut input = InBuffer::around(bytes);
        loop {
            if self.piece.len() == self.piece.capacity() {
                let full = mem::replace(&mut self.piece, Vec::with_capacity(self.piece_len));
                self.done.push(full.into());
            }
            let at = self.piece.len();
            let mut output = OutBuffer::around_pos(&mut self.piece, at);
            let unwritten =
                self.context.compress_stream2(&mut output, &mut input, end).map_err(failed)?;
            let is_done = match end {
                ZSTD_EndDirective::ZSTD_e_continue => input.pos() == bytes.len(),
                ZSTD_EndDirective::ZSTD_e_flush | ZSTD_EndDirective::ZSTD_e_end => unwritten == 0,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    fn finish(mut self, footer: [u8; FOOTER_LEN]) -> Rope {
        if self.piece.capacity() - self.piece.len() < FOOTER_LEN {
            self.done.push(mem::take(&mut self.piece).into());
        }
        self.piece.extend_from_slice(&footer);
        self.piece.shrink_to_fit();
        self.done.push(self.piece.into());
        self.done
    }
}

fn failed(code: zstd_safe::ErrorCode) -> EncodeError {
    EncodeError::Zstd { detail: zstd_safe::get_error_name(code) }
}
