//! Bytes that are not what was stored, changed in ways that the format can tell.

use bytes::Bytes;

use super::Random;

/// The length of a manifest's footer, and of a batch's; see FORMAT.
const MANIFEST_FOOTER: usize = 22;
const BATCH_FOOTER: usize = 7;

/// Changes them in one of these ways, and names it.
pub(super) fn show(bytes: &Bytes, is_manifest: bool, random: &mut Random) -> (Bytes, &'static str) {
    let mut changed = bytes.to_vec();
    let fault = match (random.u32(..3) > 0, is_manifest) {
        (true, true) if repeat_sequence(&mut changed, random) => "repeated-sequence",
        (true, false) if change_count(&mut changed, random) => "wrong-record-count",
        (_, is_manifest) => {
            if let Some(last) = changed.last_mut() {
                // The version's high byte.
                *last ^= 0x40;
            }
            if is_manifest { "newer-format/read-manifest" } else { "newer-format/read-batch" }
        }
    };
    (changed.into(), fault)
}

/// An entry says the sequence of the one after it; `false` where there is but one.
fn repeat_sequence(bytes: &mut [u8], random: &mut Random) -> bool {
    let Some(end) = bytes.len().checked_sub(MANIFEST_FOOTER) else { return false };
    let (mut at, mut places) = (0, Vec::new());
    while at < end {
        let Some(length) = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()) else {
            return false;
        };
        places.push(at + 4);
        at += 4 + usize::try_from(u32::from_le_bytes(length)).unwrap_or(end);
    }
    let Some(others) = places.len().checked_sub(1).filter(|others| *others > 0) else {
        return false;
    };
    let index = random.usize(..others);
    bytes.copy_within(places[index + 1]..places[index + 1] + 8, places[index]);
    true
}

/// The footer counts one record less than there are, or some more.
fn change_count(bytes: &mut [u8], random: &mut Random) -> bool {
    let Some(at) = bytes.len().checked_sub(BATCH_FOOTER - 1) else { return false };
    let Some(word) = bytes.get_mut(at..at + 4) else { return false };
    let count = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    let other = if random.bool() { count.checked_sub(1) } else { Some(count + random.u32(1..9)) };
    word.copy_from_slice(&other.unwrap_or(1).to_le_bytes());
    true
}
