//! What goes wrong in a world, in a form that can be made smaller.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use buffer_core::StoreErrorKind;

use super::settings::Settings;
use crate::decisions::Random;
use crate::{Operation, Request, Verdict};

/// What is sent through one world, and what goes wrong in it.
///
/// Everything else, such as how long producers rest, follows from the seed. A plan is written as
/// one line, and read from one:
///
/// ```
/// use buffer_sim::kit::{End, Plan};
///
/// let line = "entries=3 dequeue=1 crash@12 pause@40+2000 skew=-60000 lost@7";
/// let plan: Plan = line.parse()?;
/// assert_eq!((plan.entries, plan.lives.len(), plan.faults.len()), (3, 2, 1));
/// assert!(plan.dequeues_at_once);
/// assert_eq!(plan.lives[0].end, End::Crash { step: 12 });
/// assert_eq!(plan.lives[1].skew_millis, -60_000);
/// assert_eq!(plan.to_string(), line);
/// # Ok::<(), buffer_sim::kit::PlanError>(())
/// ```
///
/// | word | what it means |
/// |---|---|
/// | `entries=3` | three entries are submitted |
/// | `dequeue=1` | the manifest is dequeued after each acknowledgement |
/// | `crash@12` | a life crashes instead of taking its step 12 |
/// | `crash@ack2` | a life crashes in its second call of `ack`, when the queue has heard of it |
/// | `pause@40+2000` | a life stops before its step 40, and goes on 2,000 ms after the next one has begun |
/// | `skew=-60000` | the wall clock of the life before this word is a minute slow |
/// | `fail@7`, `lost@7`, `late@7`, `slow@7`, `throttle@7` | what becomes of request 7; see [`FaultKind`] |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many entries are submitted.
    pub entries: u64,
    /// Whether the manifest is dequeued after each acknowledgement, whatever your configuration says; see
    /// [`Settings::dequeues_at_once`].
    pub dequeues_at_once: bool,
    /// The lives of your consumer that end badly, one after the other. The life after the last of them is let be.
    pub lives: Vec<Life>,
    /// What becomes of requests.
    pub faults: Vec<Fault>,
}

/// One life of your consumer.
///
/// ```
/// use buffer_sim::kit::{End, Life, Plan};
///
/// // Its machine is a minute slow, and it crashes before its twelfth step.
/// let life = Life { end: End::Crash { step: 12 }, skew_millis: -60_000 };
/// let plan = Plan { lives: vec![life], ..Plan::calm(3) };
/// assert_eq!(plan.to_string(), "entries=3 crash@12 skew=-60000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// How it ends.
    pub end: End,
    /// By how many milliseconds its wall clock is wrong.
    pub skew_millis: i64,
}

/// How a life ends. Its steps are counted from one: each time one of its tasks goes on is a step.
///
/// ```
/// use buffer_sim::kit::{End, Plan};
///
/// let plan: Plan = "entries=3 crash@12 crash@ack2 pause@40+2000".parse()?;
/// let ends: Vec<End> = plan.lives.iter().map(|life| life.end).collect();
/// let pause = End::Pause { step: 40, millis: 2000 };
/// assert_eq!(ends, [End::Crash { step: 12 }, End::CrashInAck { ack: 2 }, pause]);
/// # Ok::<(), buffer_sim::kit::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It crashes instead of taking this step.
    Crash {
        /// Which step.
        step: u64,
    },
    /// It crashes before this call of a consumer's `ack` returns, when the queue has heard of it.
    CrashInAck {
        /// Which call, counted from one; `ack_through` and `skip` count as well.
        ack: u64,
    },
    /// It stops before this step, so that another life begins, and goes on later beside that.
    Pause {
        /// Which step.
        step: u64,
        /// How long after the next life has begun it goes on.
        millis: u64,
    },
}

/// What becomes of one request.
///
/// ```
/// use buffer_sim::kit::{Fault, FaultKind, Plan};
///
/// let fault = Fault { request: 7, kind: FaultKind::ReplyLost };
/// assert_eq!(fault.to_string(), "lost@7");
/// let plan = Plan { faults: vec![fault], ..Plan::calm(1) };
/// assert_eq!("entries=1 lost@7".parse(), Ok(plan));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which request to the store, counted from one over all who send some.
    pub request: u64,
    /// What becomes of it.
    pub kind: FaultKind,
}

macro_rules! fault_kinds {
    ($($(#[$docs:meta])* $kind:ident = $name:literal,)*) => {
        /// What may become of a request.
        ///
        /// ```
        /// use buffer_sim::kit::{FaultKind, Plan};
        ///
        /// let plan: Plan = "entries=1 fail@3 lost@4 late@5 slow@6 throttle@7".parse()?;
        /// let kinds: Vec<FaultKind> = plan.faults.iter().map(|fault| fault.kind).collect();
        /// assert_eq!(
        ///     kinds,
        ///     [
        ///         FaultKind::Fails,
        ///         FaultKind::ReplyLost,
        ///         FaultKind::Late,
        ///         FaultKind::Slow,
        ///         FaultKind::Throttled,
        ///     ]
        /// );
        /// # Ok::<(), buffer_sim::kit::PlanError>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $($(#[$docs])* $kind,)*
        }

        impl FaultKind {
            const ALL: &'static [Self] = &[$(Self::$kind,)*];

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

fault_kinds! {
    /// It fails, and had no effect.
    Fails = "fail",
    /// It takes effect and is answered with an error.
    ReplyLost = "lost",
    /// It is answered with a time-out, and takes effect three seconds later.
    Late = "late",
    /// It takes two seconds longer.
    Slow = "slow",
    /// The store asks for fewer requests; there was no effect.
    Throttled = "throttle",
}

impl FaultKind {
    pub(super) fn verdict(self, request: &Request) -> Verdict {
        let changes = match request.operation {
            Operation::Write { .. } | Operation::Delete { .. } => true,
            Operation::Read { .. } | Operation::List { .. } => false,
        };
        let transient = StoreErrorKind::Transient;
        match self {
            Self::Fails => Verdict::Fail(transient),
            Self::ReplyLost if changes => Verdict::ApplyThenFail(transient),
            Self::ReplyLost => Verdict::Fail(transient),
            Self::Late if changes => {
                Verdict::ApplyLate { reply: StoreErrorKind::TimedOut, after: LATE }
            }
            Self::Late => Verdict::Fail(StoreErrorKind::TimedOut),
            Self::Slow => Verdict::Delay(Duration::from_secs(2)),
            Self::Throttled => Verdict::Throttle,
        }
    }
}

/// How long after its answer a late request takes effect.
pub(super) const LATE: Duration = Duration::from_secs(3);

impl Plan {
    /// A plan in which so much is sent and nothing goes wrong.
    ///
    /// ```
    /// use buffer_sim::kit::Plan;
    ///
    /// let plan = Plan::calm(3);
    /// assert_eq!(plan.to_string(), "entries=3");
    /// assert!(plan.lives.is_empty() && plan.faults.is_empty());
    /// ```
    #[must_use]
    pub const fn calm(entries: u64) -> Self {
        Self { entries, dequeues_at_once: false, lives: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn draw(random: &mut Random, settings: &Settings) -> Self {
        let entries = random.u64(1..=settings.most_entries.max(1));
        let dequeues_at_once = random.bool() && settings.dequeues_at_once;
        let lives = random.u32(..=settings.most_lives);
        let lives = (0..lives).map(|_| Life::draw(random, settings, dequeues_at_once)).collect();
        let faults = random.u32(..=settings.most_faults);
        let faults = (0..faults).map(|_| Fault::draw(random)).collect();
        Self { entries, dequeues_at_once, lives, faults }
    }
}

impl Life {
    fn draw(random: &mut Random, settings: &Settings, dequeues_at_once: bool) -> Self {
        // Most code has its dangerous moments early in a life, some has them late.
        let within = [20, 60, 200, 600][random.usize(..4)];
        let step = random.u64(1..=within);
        let (pauses, millis) = (random.u32(..4) == 0, random.u64(1..=60_000));
        // A step that follows an acknowledgement is rarely met by chance.
        let (in_ack, ack) = (random.u32(..3) == 0, random.u64(1..=6));
        let end = if pauses && settings.pauses {
            End::Pause { step, millis }
        } else if in_ack && dequeues_at_once {
            End::CrashInAck { ack }
        } else {
            End::Crash { step }
        };
        let (skews, by, back) = (random.u32(..4) == 0, random.u32(..=600_000), random.bool());
        let skew_millis = match (skews && settings.skews, back) {
            (false, _) => 0,
            (true, false) => i64::from(by),
            (true, true) => -i64::from(by),
        };
        Self { end, skew_millis }
    }
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        let request = random.u64(1..=150);
        let kind = FaultKind::ALL[random.usize(..FaultKind::ALL.len())];
        Self { request, kind }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entries={}", self.entries)?;
        if self.dequeues_at_once {
            write!(f, " dequeue=1")?;
        }
        for Life { end, skew_millis } in &self.lives {
            match end {
                End::Crash { step } => write!(f, " crash@{step}")?,
                End::CrashInAck { ack } => write!(f, " crash@ack{ack}")?,
                End::Pause { step, millis } => write!(f, " pause@{step}+{millis}")?,
            }
            if *skew_millis != 0 {
                write!(f, " skew={skew_millis}")?;
            }
        }
        for fault in &self.faults {
            write!(f, " {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind.name(), self.request)
    }
}

/// A line that is no plan.
///
/// ```
/// use buffer_sim::kit::Plan;
///
/// let error = "entries=3 burn@12".parse::<Plan>().expect_err("nothing burns");
/// assert_eq!(error.word, "burn@12");
/// assert!(error.to_string().starts_with("\"burn@12\" is no part of a plan: it is written as"));
/// // Without entries there is nothing to be lost or repeated.
/// assert_eq!("crash@12".parse::<Plan>().expect_err("nothing is sent").word, "crash@12");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is no part of a plan: it is written as `entries=3 dequeue=1 crash@12 pause@40+2000 skew=-60000 fail@5`, \
     with `skew` after the crash or pause of its life, and with fail, lost, late, slow or throttle for a request"
)]
pub struct PlanError {
    /// The part that was not understood.
    pub word: String,
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(line: &str) -> Result<Self, PlanError> {
        let mut plan = Self::calm(0);
        for word in line.split_whitespace() {
            plan.add(word).ok_or_else(|| PlanError { word: word.to_owned() })?;
        }
        if plan.entries == 0 { Err(PlanError { word: line.to_owned() }) } else { Ok(plan) }
    }
}

impl Plan {
    fn add(&mut self, word: &str) -> Option<()> {
        if let Some((name, value)) = word.split_once('=') {
            match name {
                "entries" => self.entries = value.parse().ok()?,
                "dequeue" if value == "1" => self.dequeues_at_once = true,
                "skew" => self.lives.last_mut()?.skew_millis = value.parse().ok()?,
                _ => return None,
            }
            return Some(());
        }
        let (name, place) = word.split_once('@')?;
        let end = match name {
            "crash" => match place.strip_prefix("ack") {
                Some(ack) => End::CrashInAck { ack: ack.parse().ok()? },
                None => End::Crash { step: place.parse().ok()? },
            },
            "pause" => {
                let (step, millis) = place.split_once('+')?;
                End::Pause { step: step.parse().ok()?, millis: millis.parse().ok()? }
            }
            _ => {
                let kind = *FaultKind::ALL.iter().find(|kind| kind.name() == name)?;
                self.faults.push(Fault { request: place.parse().ok()?, kind });
                return Some(());
            }
        };
        self.lives.push(Life { end, skew_millis: 0 });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimRuntime;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let settings = Settings::default();
        for seed in 0..200 {
            let plan = Plan::draw(&mut SimRuntime::new(seed).random("plan"), &settings);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn half_of_the_plans_dequeue_at_once_if_they_may() {
        for (may, expected) in [(true, 80..120), (false, 0..1)] {
            let settings = Settings { dequeues_at_once: may, ..Settings::default() };
            let draw = |&seed: &u64| {
                Plan::draw(&mut SimRuntime::new(seed).random("plan"), &settings).dequeues_at_once
            };
            let found = (0..200).filter(draw).count();
            assert!(expected.contains(&found), "{found} of 200");
        }
    }

    #[test]
    fn a_line_that_is_no_plan_is_refused_by_the_word() {
        for (line, word) in [
            ("entries=2 crash", "crash"),
            ("entries=2 skew=5", "skew=5"),
            ("entries=2 pause@3", "pause@3"),
            ("entries=2 burn@3", "burn@3"),
            ("entries=2 crash@ack", "crash@ack"),
            ("entries=2 dequeue=2", "dequeue=2"),
            ("entries=two", "entries=two"),
            ("crash@3", "crash@3"),
            ("", ""),
        ] {
            let error = line.parse::<Plan>().expect_err("it is none");
            assert_eq!(error.word, word);
        }
    }
}
