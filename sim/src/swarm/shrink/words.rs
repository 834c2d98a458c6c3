//! What a decision is about, for people.

use crate::swarm::fault_plan::Spell;
use crate::swarm::kinds::TABLE;
use crate::swarm::plan::Theme;
use crate::{Decision, Kind};

/// What it is about, and of which one.
pub(super) fn about(decision: &Decision) -> String {
    let (about, which) = decision.place.about;
    let (high, low) = (which >> 8, which & 0xff);
    match about {
        "" => "a choice".to_owned(),
        "fault" | "jitter of a request" | "slow request" => {
            format!("{about}, of p{high}, {}", kind(low))
        }
        "trouble" => format!("there is {}", trouble(which)),
        "not for" => format!("no {} of {}", trouble(high), kind(low)),
        "how often" => format!("how often {} of {}", trouble(high), kind(low)),
        "false bytes" => format!("{about}, {}", kind(which)),
        "spell" | "spell from" | "spell lasts" => format!("{about}: {}", spell(which)),
        "theme" => format!("{about} ({})", theme(decision.value)),
        _ => about.to_owned(),
    }
}

fn kind(number: u64) -> String {
    let found = Kind::ALL.into_iter().find(|kind| *kind as u64 == number);
    found.map_or_else(|| number.to_string(), |kind| format!("{kind:?}"))
}

fn trouble(number: u64) -> String {
    let found = TABLE.iter().find(|(trouble, _)| *trouble as u64 == number);
    found.map_or_else(|| number.to_string(), |(trouble, _)| format!("{trouble:?}"))
}

fn spell(number: u64) -> String {
    let found = Spell::ALL.into_iter().find(|spell| *spell as u64 == number);
    found.map_or_else(|| number.to_string(), |spell| format!("{spell:?}"))
}

fn theme(number: u64) -> String {
    let found = usize::try_from(number).ok().and_then(|number| Theme::MARKED.get(number));
    found.map_or_else(|| number.to_string(), |theme| format!("{theme:?}"))
}
