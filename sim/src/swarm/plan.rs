//! What one world is like: everything that its seed decides before it begins.

use std::time::Duration;

use crate::{Jitter, Kind, Latency, Profile};

use super::fault_plan::{FaultPlan, Spell};
use super::kinds::Trouble;
use super::options::Load;
use super::{Random, ms, secs};

/// What is done to a queue by people, or cannot be told in format version 1. At most one to a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Plain,
    ManifestDeleted,
    ManifestRolledBack,
    ManifestReplaced,
    BatchDeleted,
    WrongManifestPath,
    /// Consumers are told another queue's prefix.
    WrongPrefix,
    ForeignProducers,
    SmallerGrace,
    BothClocksFrozen,
    UndetectableDamage,
    BrokenStore,
}

impl Theme {
    /// Those that are drawn in equal shares of a quarter of all seeds.
    pub(super) const MARKED: [Self; 11] = [
        Self::ManifestDeleted,
        Self::ManifestRolledBack,
        Self::ManifestReplaced,
        Self::BatchDeleted,
        Self::WrongManifestPath,
        Self::WrongPrefix,
        Self::ForeignProducers,
        Self::SmallerGrace,
        Self::BothClocksFrozen,
        Self::UndetectableDamage,
        Self::BrokenStore,
    ];
}

impl Theme {
    /// Whether it is about what a collector does.
    const fn needs_collector(self) -> bool {
        match self {
            Self::WrongManifestPath
            | Self::WrongPrefix
            | Self::ForeignProducers
            | Self::SmallerGrace => true,
            Self::Plain
            | Self::ManifestDeleted
            | Self::ManifestRolledBack
            | Self::ManifestReplaced
            | Self::BatchDeleted
            | Self::BothClocksFrozen
            | Self::UndetectableDamage
            | Self::BrokenStore => false,
        }
    }

    /// The same in a long world, unless it would excuse most that comes after it.
    const fn at_length(self) -> Self {
        match self {
            Self::Plain
            | Self::ManifestDeleted
            | Self::ManifestRolledBack
            | Self::ManifestReplaced
            | Self::BatchDeleted
            | Self::WrongManifestPath
            | Self::WrongPrefix => self,
            Self::ForeignProducers
            | Self::SmallerGrace
            | Self::BothClocksFrozen
            | Self::UndetectableDamage
            | Self::BrokenStore => Self::Plain,
        }
    }
}

/// Where batches usually are.
pub(crate) const PREFIX: &str = "ingest";

/// Characters that some store's clients encode, and some encode twice.
const STRANGE_PREFIX: &str = "ingest/a ~[b]#50%25+d";

/// What befalls processes and their callers. Rates are one in so many lives; zero is never.
#[derive(Clone, Debug)]
pub(crate) struct ProcessPlan {
    pub(crate) crash_producers: u32,
    pub(crate) crash_consumers: u32,
    /// Processes crash again as soon as they have restarted.
    pub(crate) crash_loops: bool,
    /// Pauses, at any effect.
    pub(crate) pauses: u32,
    /// Pauses are longer than the grace period.
    pub(crate) long_pauses: bool,
    pub(crate) pauses_collectors: bool,
    /// Futures are dropped, one in so many.
    pub(crate) cancels: u32,
    /// Callers acknowledge what they should not.
    pub(crate) misbehaves: bool,
    pub(crate) racing_consumers: bool,
    /// How long a producer lives at the most.
    pub(crate) producer_life: Duration,
    /// How long a consumer lives at the most before another one takes over.
    pub(crate) consumer_life: Duration,
}

/// What is wrong with clocks and timers.
#[derive(Clone, Debug)]
pub(crate) struct ClockPlan {
    pub(crate) skews: bool,
    pub(crate) drifts: bool,
    pub(crate) jumps_forward: bool,
    pub(crate) jumps_back: bool,
    pub(crate) freezes: bool,
    /// Machines are suspended: their monotonic clock does not count it.
    pub(crate) suspends: bool,
    /// How early and how late timers are at the most.
    pub(crate) timers_early: Duration,
    pub(crate) timers_late: Duration,
}

impl ClockPlan {
    /// Whether one clock of a process may pass a long time while the other does not.
    pub(crate) const fn leap(&self) -> bool {
        self.jumps_forward || self.freezes || self.suspends
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) theme: Theme,
    pub(crate) profile: Profile,
    pub(crate) latency: Latency,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) faults: FaultPlan,
    pub(crate) processes: ProcessPlan,
    pub(crate) clocks: ClockPlan,
    /// How long the world is unkind.
    pub(crate) unkind: Duration,
    /// It becomes kind as well once so many requests were sent.
    pub(crate) most_requests: u64,
    /// How long a producer's caller rests between two submissions at the most.
    pub(crate) rest: Duration,
    pub(crate) largest_entry: usize,
    pub(crate) grace: Duration,
    pub(crate) collects: bool,
    pub(crate) gc_interval: Duration,
    /// No consumer comes before the faults end.
    pub(crate) consumer_stopped: bool,
    /// Callers submit without a rest, and little is held.
    pub(crate) hurries: bool,
    /// Objects lie about that are none of the queue's.
    pub(crate) foreign_keys: bool,
    /// At how many listed batches callers stop submitting.
    pub(crate) most_listed: u64,
    /// A thousand producers start at once.
    pub(crate) crowded: bool,
    /// How many entries a submission has at the most.
    pub(crate) most_entries: u32,
    /// How many submissions a caller makes in a row at the most.
    pub(crate) burst: u32,
    /// A consumer's caller flushes, closes, takes over again, each once in so many batches.
    pub(crate) whims: u32,
    /// How many batches a consumer's caller holds before it acknowledges them, at the least.
    pub(crate) acks_in_a_row: usize,
    /// How long that caller rests between two acknowledgements at the most.
    pub(crate) ack_rest: Duration,
    /// Some producers compress. It is dear: every batch takes a context of its own.
    pub(crate) zstd: bool,
    /// How long work takes that is given to another thread.
    pub(crate) cpu_delay: Duration,
    /// Tasks that are ready run in any order.
    pub(crate) shuffles: bool,
    /// When an operator comes, from the beginning of the unkind time to its end.
    pub(crate) operators_come: (f64, f64),
    /// How long the database takes for a batch at the most, whatever the consumer draws.
    pub(crate) work: Duration,
    /// Where batches are.
    pub(crate) prefix: &'static str,
    /// The store tells times that it cannot mean.
    pub(crate) wrong_times: bool,
}

pub(super) fn one_in(random: &mut Random, n: u32) -> bool {
    random.usually(1).u32(..n) == 0
}

impl Plan {
    /// What is usual is a quiet world of one producer and one consumer, in which little is done.
    pub(crate) fn draw(random: &mut Random, load: Load) -> Self {
        let theme = match one_in(random.of("has a theme"), 4) {
            true => Theme::MARKED[random.of("theme").usize(..Theme::MARKED.len())],
            false => Theme::Plain,
        };
        let grace = secs(random.of("grace period").u64(20..=40));
        let processes = ProcessPlan::draw(random);
        // Long enough for those who wake up past the grace period to find the others still at work.
        let collects =
            theme.needs_collector() || random.of("no collector").usually(0).u32(..4) != 0;
        let long = processes.long_pauses || one_in(random.of("long"), if collects { 2 } else { 8 });
        let unkind = secs(random.of("unkind time").u64(5..40));
        let unkind = if long { grace * 2 + unkind } else { unkind };
        let hurries = one_in(random.of("callers hurry"), 8);
        let rest = draw_rest(random, hurries, long);
        let plan = Self {
            theme,
            profile: draw_profile(random, theme),
            latency: draw_latency(random, hurries),
            producers: random.of("producers").usize(1..=4),
            consumers: match processes.racing_consumers {
                true => random.of("consumers").usize(2..=3),
                false => 1,
            },
            faults: FaultPlan::draw(random, unkind, theme),
            processes,
            clocks: ClockPlan::draw(random),
            unkind,
            most_requests: match long {
                true => random.of("requests").usually(1799).u64(700..1800),
                false => random.of("requests").usually(1199).u64(300..1200),
            },
            rest,
            largest_entry: draw_largest_entry(random),
            grace,
            collects,
            gc_interval: ms(random.of("gc interval").usually(4000).u64(1000..8000)),
            consumer_stopped: one_in(random.of("consumer stopped"), 16),
            hurries,
            foreign_keys: one_in(random.of("foreign keys"), 4),
            most_listed: random.of("most listed").usually(149).u64(15..150),
            most_entries: 3,
            crowded: false,
            burst: 7,
            whims: 40,
            acks_in_a_row: 1,
            ack_rest: Duration::ZERO,
            zstd: one_in(random.of("zstd"), 10),
            cpu_delay: ms(random.of("time for work").u64(0..5)),
            shuffles: one_in(random.of("shuffled tasks"), 3),
            operators_come: (0.2, 0.8),
            work: Duration::ZERO,
            prefix: match one_in(random.of("strange prefix"), 8) {
                true => STRANGE_PREFIX,
                false => PREFIX,
            },
            wrong_times: one_in(random.of("impossible times"), 10),
        };
        plan.at(load)
    }

    /// The same swarm with another load.
    fn at(self, load: Load) -> Self {
        match load {
            Load::Short => self,
            Load::Long => self.at_length(),
            Load::Crowd => Self {
                producers: 1000,
                unkind: secs(120),
                most_requests: 60_000,
                rest: secs(120),
                largest_entry: self.largest_entry.min(20),
                // So much that a store has the time to serve all of them.
                grace: secs(300),
                hurries: false,
                crowded: true,
                burst: 2,
                most_listed: u64::MAX,
                // A listing of thousands of keys, three to a page, would take longer than a collector is given.
                profile: Profile { page_size: self.profile.page_size * 20, ..self.profile },
                ..self
            },
        }
    }

    /// A million requests, most of them about manifests of ten entries and more: consumers are
    /// slower than producers, so that a backlog is there all the time, and there is so much time
    /// between two swaps that most of them meet no other.
    fn at_length(self) -> Self {
        let Self { faults, processes, profile, .. } = self;
        // Few requests are about processes that begin or end.
        let (producer_life, consumer_life) =
            (processes.producer_life * 12, processes.consumer_life * 40);
        let rarely = if profile.one_write_a_second { 4 } else { 1 };
        Self {
            theme: self.theme.at_length(),
            unkind: secs(30 * 24 * 60 * 60),
            operators_come: (0.85, 0.95),
            most_requests: 1_000_000,
            producers: 1 + self.producers / 4,
            rest: ms(1500),
            burst: if profile.one_write_a_second { 1 } else { 2 },
            largest_entry: self.largest_entry.min(200),
            consumer_stopped: false,
            hurries: false,
            collects: true,
            gc_interval: self.gc_interval * 12,
            // What a collector has to go through at the end is in proportion to the load.
            profile: Profile {
                page_size: profile.page_size * 10,
                // The theme that is about this one is none of a long world.
                honours_conditions: true,
                ..profile
            },
            most_listed: 30 + self.most_listed / 8,
            // It is about many requests; what is in a batch is for short worlds.
            most_entries: 1,
            work: ms(1500) * rarely,
            acks_in_a_row: 20,
            whims: 1000,
            ack_rest: ms(400) * rarely * rarely,
            faults: faults.at_length(self.unkind),
            processes: ProcessPlan { producer_life, consumer_life, ..processes },
            ..self
        }
    }

    pub(crate) fn has(&self, trouble: Trouble, kind: Kind) -> bool {
        self.faults.chances[kind as usize].iter().any(|(_, it)| *it == trouble)
    }

    /// Whether bytes are shown in place of the manifest that are none.
    pub(crate) fn damages_manifests(&self) -> bool {
        let damages = [Trouble::Truncate, Trouble::Corrupt, Trouble::Empty];
        damages.iter().any(|trouble| self.has(*trouble, Kind::ReadManifest))
    }

    pub(crate) fn has_spell(&self, spell: Spell) -> bool {
        self.faults.spells.iter().any(|(it, _, _)| *it == spell)
    }

    /// Whether a collector runs on after the faults, until nothing is left to collect.
    pub(crate) const fn collects_to_the_end(&self) -> bool {
        self.collects
    }

    /// Whether consumers are slow on purpose.
    pub(crate) const fn is_long(&self) -> bool {
        !self.work.is_zero()
    }

    pub(crate) const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether the store takes so few writes that a queue may form in front of it.
    pub(crate) const fn is_slow(&self) -> bool {
        self.profile.one_write_a_second
    }

    /// How long things may take beyond what their configuration says.
    pub(crate) fn lateness(&self) -> Duration {
        self.clocks.timers_late * 4 + ms(120)
    }
}

fn draw_rest(random: &mut Random, hurries: bool, long: bool) -> Duration {
    ms(match (hurries, long) {
        (true, _) => 0,
        (false, true) => random.of("long rests").usually(4999).u64(1500..5000),
        (false, false) => [50, 300, 1000, 2000][random.of("short rests").usually(3).usize(..4)],
    })
}

/// Long entries cost time, and tell little that short ones do not.
fn draw_largest_entry(random: &mut Random) -> usize {
    match random.of("entries").usually(31).u32(..32) {
        0 => 50_000,
        1..=3 => 2000,
        4..=10 => 200,
        _ => 20,
    }
}

fn draw_profile(random: &mut Random, theme: Theme) -> Profile {
    if theme == Theme::BrokenStore {
        return Profile::BROKEN;
    }
    let profile = match random.of("profile").u32(..10) {
        0..=3 => Profile::S3,
        4 => Profile::S3_EXPRESS,
        5 => Profile::GCS,
        6 | 7 => Profile::AZURE,
        _ => Profile::LOCAL,
    };
    // Few keys fit on a page, so that listings have several.
    let most = if random.of("short pages").bool() { 12 } else { 100 };
    Profile { page_size: random.of("page size").usually(99).usize(3..most), ..profile }
}

fn draw_latency(random: &mut Random, hurries: bool) -> Latency {
    let wide = random.of("even latency").usually(0).u32(..4) != 0;
    let jitter = Jitter {
        up_to: ms(random.of("jitter").u64(0..50)),
        slow_one_in: match wide {
            true => random.of("slow requests").usually(59).u32(5..60),
            false => 0,
        },
        slow_by: ms(random.of("slow by").u64(50..3000)),
    };
    let slow = if hurries { 5 } else { 1 };
    Latency {
        read: ms(random.of("read latency").usually(10).u64(1..40)),
        write: ms(random.of("write latency").usually(20).u64(1..60) * slow),
        bandwidth: one_in(random.of("bandwidth"), 3)
            .then(|| 1 << random.of("how much bandwidth").usually(27).u32(21..28)),
        jitter: Some(jitter),
    }
}

impl ProcessPlan {
    fn draw(random: &mut Random) -> Self {
        let mut some = |what, out_of: u32, rate: u32| match one_in(random.of(what), out_of) {
            true => rate,
            false => 0,
        };
        let crash_producers = some("producers crash", 2, 2);
        let crash_consumers = some("consumers crash", 2, 2);
        let pauses = some("pauses", 3, 2);
        let cancels = some("futures are dropped", 2, 10);
        Self {
            crash_producers,
            crash_consumers,
            crash_loops: one_in(random.of("crash loops"), 8),
            pauses,
            long_pauses: pauses > 0 && random.of("long pauses").bool(),
            pauses_collectors: random.of("collectors suffer").bool(),
            cancels,
            misbehaves: one_in(random.of("callers misbehave"), 3),
            racing_consumers: one_in(random.of("consumers race"), 3),
            producer_life: secs(random.of("producer's life").usually(39).u64(4..40)),
            consumer_life: secs(random.of("consumer's life").usually(59).u64(4..60)),
        }
    }
}

impl ClockPlan {
    fn draw(random: &mut Random) -> Self {
        Self {
            skews: one_in(random.of("skew"), 3),
            drifts: one_in(random.of("drift"), 4),
            jumps_forward: one_in(random.of("clocks jump forward"), 4),
            jumps_back: one_in(random.of("clocks jump back"), 4),
            freezes: one_in(random.of("clocks freeze"), 6),
            suspends: one_in(random.of("machines are suspended"), 6),
            timers_early: match one_in(random.of("early timers"), 6) {
                true => ms(random.of("how early").u64(1..300)),
                false => Duration::ZERO,
            },
            timers_late: match one_in(random.of("late timers"), 4) {
                true => ms(random.of("how late").u64(1..300)),
                false => Duration::ZERO,
            },
        }
    }
}
