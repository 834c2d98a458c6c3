//! Ranges of seeds as they are written on a command line.

use std::str::FromStr;

/// `A..B`, or `A..` where something else says when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

impl FromStr for Seeds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "seeds are written as 0..1000, or as 0.. together with --minutes";
        let (start, end) = text.split_once("..").ok_or(WRONG)?;
        let number = |text: &str| text.trim().replace('_', "").parse().map_err(|_| WRONG);
        let start = number(start)?;
        let end = if end.trim().is_empty() { None } else { Some(number(end)?) };
        match end {
            Some(end) if end <= start => Err("there are no seeds in this range"),
            _ => Ok(Self { start, end }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!("0..1_000".parse(), Ok(Seeds { start: 0, end: Some(1000) }));
        assert_eq!("7..".parse(), Ok(Seeds { start: 7, end: None }));
        for wrong in ["", "7", "..7", "a..b", "5..5", "5..4", "1...2"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
