//! Reading fields, one after the other, without trusting any of them.

use super::error::{Field, FormatError, FormatReason, Section};
use crate::types::Location;

/// What is wrong and where, before it is known in which object.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: u64,
    pub(super) reason: FormatReason,
}

impl Fault {
    pub(super) fn new(offset: u64, reason: FormatReason) -> Self {
        Self { offset, reason }
    }

    /// The same fault, for whoever asked for the object.
    pub(super) fn in_object(self, object: &Location) -> FormatError {
        FormatError { object: object.clone(), offset: self.offset, reason: self.reason }
    }
}

/// Refuses a count of things that take at least `least` bytes each, of which
/// `remaining` are there: before anything is allocated for them.
pub(super) fn check_count(
    count: u32,
    field: Field,
    offset: u64,
    least: u64,
    remaining: u64,
) -> Result<(), Fault> {
    if u64::from(count) * least > remaining {
        return Err(Fault::new(offset, FormatReason::CountTooHigh { field, count, remaining }));
    }
    Ok(())
}

/// A place in a run of bytes that knows how far it is from the object's start.
///
/// Takes never go past the end of the run, however large the length that is
/// asked for.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, the first of which is `offset` bytes into its object.
    pub(super) fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { rest: bytes, offset }
    }

    /// How far the next byte is from the object's start.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> u64 {
        self.rest.len() as u64
    }

    /// The next `needed` bytes, as a part of `field`.
    pub(super) fn take(&mut self, needed: u32, field: Field) -> Result<&'a [u8], Fault> {
        match usize::try_from(needed).ok().and_then(|at| self.rest.split_at_checked(at)) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += u64::from(needed);
                Ok(taken)
            }
            None => Err(self.overrun(u64::from(needed), field)),
        }
    }

    /// A reader of the next `length` bytes alone; this one goes on behind them.
    pub(super) fn part(&mut self, length: u32, field: Field) -> Result<Self, Fault> {
        let offset = self.offset;
        Ok(Self::new(self.take(length, field)?, offset))
    }

    pub(super) fn u8(&mut self, field: Field) -> Result<u8, Fault> {
        self.array(field).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, field: Field) -> Result<u16, Fault> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, field: Field) -> Result<u32, Fault> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: Field) -> Result<u64, Fault> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self, field: Field) -> Result<i64, Fault> {
        self.array(field).map(i64::from_le_bytes)
    }

    /// Refuses bytes that nothing speaks for.
    pub(super) fn finish(&self, section: Section) -> Result<(), Fault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let bytes = self.remaining();
        Err(Fault::new(self.offset, FormatReason::LeftOver { section, bytes }))
    }

    fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], Fault> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += N as u64;
                Ok(*taken)
            }
            None => Err(self.overrun(N as u64, field)),
        }
    }

    #[cold]
    fn overrun(&self, needed: u64, field: Field) -> Fault {
        let remaining = self.remaining();
        Fault::new(self.offset, FormatReason::Overrun { field, needed, remaining })
    }
}
