//! A story as it is printed: what is told again and again is told once.

use std::borrow::Cow;

/// How many lives that are all alike are told of at their beginning and at their end.
const FIRST_LIVES: usize = 3;
const LAST_LIVES: usize = 2;

/// How many lines are printed of a story at the most, at its beginning and at its end.
const FIRST_LINES: usize = 80;
const LAST_LINES: usize = 40;

/// The lines to print. A consumer that fails at once is started a thousand times in half an hour.
pub(super) fn shortened(story: &[String]) -> Vec<Cow<'_, str>> {
    let mut lines = Vec::new();
    let lives = lives(story);
    for alike in lives.chunk_by(|one, next| is_alike(one, next)) {
        let left_out = alike.len().saturating_sub(FIRST_LIVES + LAST_LIVES);
        // Instead of a single one its lines may as well stand.
        if left_out < 2 {
            lines.extend(alike.iter().copied().flatten().map(Cow::from));
            continue;
        }
        let (first, rest) = alike.split_at(FIRST_LIVES);
        let (same, last) = rest.split_at(left_out);
        lines.extend(first.iter().copied().flatten().map(Cow::from));
        let of = |life: Option<&&[String]>| life.and_then(|life| number(life)).unwrap_or_default();
        let (from, to) = (of(same.first()), of(same.last()));
        lines.push(format!("          ... consumers {from} to {to} did the same").into());
        lines.extend(last.iter().copied().flatten().map(Cow::from));
    }
    let left_out = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
    if left_out > 1 {
        let told = format!("          ... {left_out} lines are left out: `failure.story` has them");
        lines.splice(FIRST_LINES..FIRST_LINES + left_out, [told.into()]);
    }
    lines
}

/// The story from one life's beginning to that of the next; first what was before all of them.
fn lives(story: &[String]) -> Vec<&[String]> {
    let mut begins: Vec<usize> =
        (0..story.len()).filter(|&at| number(&story[at..]).is_some()).collect();
    begins.push(story.len());
    let before = &story[..begins[0]];
    let lives = begins.windows(2).map(|ends| &story[ends[0]..ends[1]]);
    [before].into_iter().chain(lives).collect()
}

/// Which life begins with the first line.
fn number(life: &[String]) -> Option<u64> {
    let who = text(life.first()?).strip_suffix(": starts")?;
    who.strip_prefix("consumer ")?.parse().ok()
}

/// Whether the same happens in both, but for times and numbers.
fn is_alike(one: &[String], other: &[String]) -> bool {
    let is_same = |(one, other): (&String, &String)| {
        let is_digit = |it: char| it.is_ascii_digit();
        let (one, other) = (text(one).split(is_digit), text(other).split(is_digit));
        let is_word = |part: &&str| !part.is_empty();
        one.filter(is_word).eq(other.filter(is_word))
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// A line without its time.
fn text(line: &str) -> &str {
    let line = line.trim_start();
    line.split_once("  ").map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let lines = lines.into_iter().enumerate();
        lines.map(|(at, line)| format!("{at:>4}.000  {line}")).collect()
    }

    fn life(number: u64, end: &str) -> [String; 2] {
        [format!("consumer {number}: starts"), format!("consumer {number}: {end}")]
    }

    #[test]
    fn lives_that_are_alike_are_told_of_by_their_numbers() {
        let lives =
            (1..=9).flat_map(|number| life(number, if number < 3 { "hopes" } else { "ends" }));
        let story = story(["producer: lists sequence 0".to_owned()].into_iter().chain(lives));
        let lines = shortened(&story);
        let texts: Vec<&str> = lines.iter().map(|line| text(line)).collect();
        assert_eq!(texts.len(), 1 + 2 * 2 + 2 * 3 + 1 + 2 * 2, "{texts:#?}");
        assert_eq!(
            texts[..3],
            ["producer: lists sequence 0", "consumer 1: starts", "consumer 1: hopes"]
        );
        assert_eq!(
            texts[10..13],
            ["consumer 5: ends", "... consumers 6 to 7 did the same", "consumer 8: starts"]
        );
        assert_eq!(texts.last(), Some(&"consumer 9: ends"));
    }

    #[test]
    fn a_few_lives_are_told_in_full() {
        let story = story((1..=6).flat_map(|number| life(number, "ends")));
        assert_eq!(shortened(&story), story);
        assert_eq!(shortened(&[]), [""; 0]);
    }

    #[test]
    fn what_is_long_and_not_alike_is_cut() {
        let story =
            story((1..=500).map(|number| format!("consumer 1: stores {}", "x".repeat(number))));
        let lines = shortened(&story);
        assert_eq!(lines.len(), FIRST_LINES + 1 + LAST_LINES);
        assert!(
            lines[FIRST_LINES].contains("... 380 lines are left out"),
            "{}",
            lines[FIRST_LINES]
        );
        assert_eq!(
            (&*lines[0], lines.last().map(|it| &**it)),
            (&*story[0], story.last().map(|it| &**it))
        );
    }
}
