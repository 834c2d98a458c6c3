//! What an object can hold.

use buffer_core::{Condition, Rope};
use bytes::Bytes;

use super::super::bench::{Bench, excerpt};
use super::super::report::Violation;

type Result = std::result::Result<(), Violation>;

pub(super) async fn an_object_can_be_empty(bench: &Bench) -> Result {
    let ropes = [Rope::new(), vec![Bytes::new()], vec![Bytes::new(); 3]];
    for (number, rope) in ropes.into_iter().enumerate() {
        let key = bench.key(format_args!("object-{number}"));
        let outcome = bench.write_rope(&key, rope, Condition::Absent).await?;
        let version = bench.stored(outcome, "an empty object")?;
        bench.contents(&key, "").await?;
        bench
            .expect_conflict(
                &key,
                "",
                Condition::Absent,
                "creating what is there, though it is empty",
            )
            .await?;
        let version = bench.swap(&key, "no longer empty", &version).await?;
        bench.contents(&key, "no longer empty").await?;
        bench.swap(&key, "", &version).await?;
        bench.contents(&key, "").await?;
    }
    Ok(())
}

pub(super) async fn an_object_of_many_pieces_is_their_bytes_in_order(bench: &Bench) -> Result {
    let piece = |number: usize| -> Bytes {
        // Every eleventh is empty; the others have lengths of their own.
        if number.is_multiple_of(11) { Bytes::new() } else { noise(number as u64, number % 97) }
    };
    let rope: Rope = (0..bench.contract.rope_pieces).map(piece).collect();
    let whole: Bytes = rope.concat().into();
    let key = bench.key("object");
    let outcome = bench.write_rope(&key, rope, Condition::Absent).await?;
    bench.stored(outcome, "an object of many pieces")?;
    bench.contents(&key, whole).await?;
    Ok(())
}

pub(super) async fn a_large_object_comes_back_as_it_went(bench: &Bench) -> Result {
    let contents = noise(7, bench.contract.large_object_bytes);
    let key = bench.key("object");
    // In a few large pieces, as a batch is.
    let third = contents.len() / 3;
    let rope = vec![
        contents.slice(..third),
        contents.slice(third..2 * third),
        contents.slice(2 * third..),
    ];
    let outcome = bench.write_rope(&key, rope, Condition::Absent).await?;
    let version = bench.stored(outcome, "a large object")?;
    let object = bench.object(&key).await?;
    let is_same = object.bytes == contents;
    bench.expect(is_same, excerpt(&contents), excerpt(&object.bytes))?;
    bench.swap(&key, "small again", &version).await?;
    bench.contents(&key, "small again").await?;
    Ok(())
}

/// Bytes in which nothing repeats, and which are the same for one seed.
fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = length.div_ceil(8);
    let mut bytes = Vec::with_capacity(words * 8);
    for _ in 0..words {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
