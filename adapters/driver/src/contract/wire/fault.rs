//! What goes wrong with requests, and how often.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::super::draw::{WHOLE, drawn};
use super::operation::Request;

/// Something that befalls a request.
///
/// ```
/// use buffer_driver::contract::wire::Fault;
///
/// assert_eq!("torn-reply".parse::<Fault>(), Ok(Fault::TornReply));
/// assert_eq!(Fault::Error503.to_string(), "error-503");
/// assert_eq!(Fault::Hang.name(), "hang");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It is applied, and the connection closed without an answer.
    LostReply,
    /// It is applied, and the connection closed in the middle of the status line.
    TornReply,
    /// It is applied, and the connection reset.
    Reset,
    /// It is applied and never answered; the connection stays open.
    Hang,
    /// It is applied, and answered with 500.
    Error500,
    /// It is applied, and answered with 503.
    Error503,
    /// It is applied, and answered with 408.
    Error408,
    /// A write on a condition is not applied, and answered with 409: as S3 does where two meet.
    FalseConflict,
    /// It is not applied: the store asks for fewer requests.
    Throttle,
    /// It is applied, and the answer's body takes half a second.
    SlowBody,
    /// It is applied, and the connection closed in the middle of the answer's body.
    CutBody,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::LostReply,
        Self::TornReply,
        Self::Reset,
        Self::Hang,
        Self::Error500,
        Self::Error503,
        Self::Error408,
        Self::FalseConflict,
        Self::Throttle,
        Self::SlowBody,
        Self::CutBody,
    ];

    /// Those after which a client cannot know what became of its write.
    pub const LOST_ANSWERS: [Self; 7] = [
        Self::LostReply,
        Self::TornReply,
        Self::Reset,
        Self::Hang,
        Self::Error500,
        Self::Error503,
        Self::Error408,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostReply => "lost-reply",
            Self::TornReply => "torn-reply",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::Error500 => "error-500",
            Self::Error503 => "error-503",
            Self::Error408 => "error-408",
            Self::FalseConflict => "false-conflict",
            Self::Throttle => "throttle",
            Self::SlowBody => "slow-body",
            Self::CutBody => "cut-body",
        }
    }

    /// Whether it can befall such a request.
    pub(super) fn fits(self, request: &Request) -> bool {
        match self {
            Self::FalseConflict => request.operation.is_conditional_write(),
            Self::LostReply
            | Self::TornReply
            | Self::Reset
            | Self::Hang
            | Self::Error500
            | Self::Error503
            | Self::Error408
            | Self::Throttle
            | Self::SlowBody
            | Self::CutBody => true,
        }
    }

    /// Whether it is about the body of an answer.
    pub(super) const fn needs_body(self) -> bool {
        matches!(self, Self::SlowBody | Self::CutBody)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no fault of this name.
///
/// ```
/// use buffer_driver::contract::wire::{Fault, UnknownFault};
///
/// let unknown: UnknownFault = "lost".parse::<Fault>().expect_err("it has no such name");
/// let told = unknown.to_string();
/// assert!(told.starts_with("there is no fault \"lost\"; there are lost-reply, torn-reply, "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}; there are {names}", names = Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// How often each fault befalls a request. The default is never.
///
/// The seed and the number of a request decide, in the order in which requests arrive.
///
/// ```
/// use buffer_driver::contract::wire::{Fault, Faults};
///
/// let faults = Faults::of(7).all(0.01)?.with(Fault::Hang, 0.0)?.with(Fault::LostReply, 0.2)?;
/// assert!(faults.with(Fault::Reset, 1.5).is_err());
/// # Ok::<(), buffer_driver::contract::wire::RateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    seed: u64,
    /// In millionths.
    rates: BTreeMap<Fault, u32>,
}

/// A rate that cannot be.
///
/// ```
/// use buffer_driver::contract::wire::{Fault, Faults, RateError};
///
/// let none = Faults::of(7);
/// assert_eq!(none.clone().with(Fault::Hang, 5.0), Err(RateError::NoShare(5.0)));
/// let told = none.all(0.1).expect_err("there are eleven").to_string();
/// assert_eq!(told, "the rates of all faults come to 1.1; together they are 1 at the most");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// It is no share of requests.
    #[error("{0} is no share of requests; they are from 0 to 1, as 0.05")]
    NoShare(f64),
    /// One fault at the most befalls a request.
    #[error("the rates of all faults come to {0}; together they are 1 at the most")]
    TooMany(f64),
}

impl Faults {
    /// None, until [`with`](Self::with) or [`all`](Self::all) says which.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { seed, rates: BTreeMap::new() }
    }

    /// Gives a fault this share of all requests, instead of what it had.
    ///
    /// # Errors
    ///
    /// [`RateError`] if that is no share, or all together are more than 1.
    pub fn with(mut self, fault: Fault, rate: f64) -> Result<Self, RateError> {
        self.rates.insert(fault, share(rate)?);
        self.checked()
    }

    /// The same, if there are not too many of them.
    fn checked(self) -> Result<Self, RateError> {
        let sum: u64 = self.rates.values().map(|rate| u64::from(*rate)).sum();
        if sum > u64::from(WHOLE) {
            return Err(RateError::TooMany(sum as f64 / f64::from(WHOLE)));
        }
        Ok(self)
    }

    /// Gives every fault this share of all requests.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub fn all(self, rate: f64) -> Result<Self, RateError> {
        let share = share(rate)?;
        let rates = Fault::ALL.into_iter().map(|fault| (fault, share)).collect();
        Self { rates, ..self }.checked()
    }

    pub(super) fn draw(&self, number: u64) -> Option<Fault> {
        drawn(self.seed, number, self.rates.iter().map(|(fault, rate)| (*fault, *rate)))
    }
}

/// A rate in millionths.
fn share(rate: f64) -> Result<u32, RateError> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(RateError::NoShare(rate));
    }
    Ok((rate * f64::from(WHOLE)).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let unknown = "lost".parse::<Fault>().expect_err("it is none").to_string();
        assert!(unknown.contains("lost-reply, torn-reply"), "{unknown}");
    }

    #[test]
    fn rates_are_shares_and_come_to_one_at_the_most() {
        let all = Faults::of(1).all(0.09).expect("eleven times that is 0.99");
        assert_eq!(all.clone().with(Fault::Hang, 0.2), Err(RateError::TooMany(1.1)));
        assert_eq!(Faults::of(1).all(0.1), Err(RateError::TooMany(1.1)));
        assert_eq!(all.clone().with(Fault::Hang, -0.1), Err(RateError::NoShare(-0.1)));
        assert!(matches!(all.with(Fault::Hang, f64::NAN), Err(RateError::NoShare(_))));
        let one = Faults::of(1).with(Fault::Reset, 1.0).expect("it is a share");
        assert!((0..100).all(|number| one.draw(number) == Some(Fault::Reset)));
        assert!((0..100).all(|number| Faults::default().draw(number).is_none()));
    }
}
