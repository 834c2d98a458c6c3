//! What is on each row, and which rows belong to one request.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::event::{Event, Happening, Remark, Stated};
use crate::process::ProcessId;
use crate::store::Kind;

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) time: Duration,
    pub(super) mark: Mark,
    /// Whose lane it is in; the store's is that of the world.
    pub(super) process: ProcessId,
    pub(super) request: Option<u64>,
    /// In few words.
    pub(super) text: String,
    /// All that is known.
    pub(super) detail: String,
    pub(super) manifest: Option<Stated>,
}

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Began,
    Sent,
    Applied { is_late: bool },
    LeftAlone,
    Answered { is_ok: bool, is_seen: bool },
    GivenUp,
    Crashed,
    Paused,
    Resumed,
    Said(Remark),
}

/// A request's way: the rows that it touches.
#[derive(Clone, Debug)]
pub(super) struct Journey {
    pub(super) request: u64,
    pub(super) process: ProcessId,
    pub(super) kind: Kind,
    pub(super) fault: Option<&'static str>,
    pub(super) sent: usize,
    /// When the store looked: the first time before the answer.
    pub(super) arrived: Option<usize>,
    /// Whether its sender was gone by then.
    pub(super) arrived_late: bool,
    /// When the store looked again, after the answer.
    pub(super) late: Vec<usize>,
    pub(super) answered: Option<usize>,
    pub(super) is_seen: bool,
    /// Its sender waits no longer.
    gone: bool,
}

impl Journey {
    /// Whether it never reaches the store.
    pub(super) fn is_dropped(&self) -> bool {
        self.fault.is_some_and(|fault| fault.starts_with("drop-request"))
    }

    /// Whether its answer gets lost.
    pub(super) fn is_unanswered(&self) -> bool {
        self.fault.is_some_and(|fault| fault.starts_with("lost-reply"))
    }
}

impl Happening {
    pub(super) const fn is_beginning(&self) -> bool {
        matches!(self, Self::Began { .. })
    }

    /// Who did it, or whom it befell, if that is more than to begin.
    const fn whose_deed(&self) -> Option<ProcessId> {
        match self {
            Self::Sent { process, .. }
            | Self::Crashed { process }
            | Self::Paused { process }
            | Self::Resumed { process }
            | Self::Said { process, .. } => Some(*process),
            Self::Began { .. }
            | Self::Applied { .. }
            | Self::LeftAlone { .. }
            | Self::Answered { .. }
            | Self::GivenUp { .. } => None,
        }
    }
}

/// Takes out readings of the manifest that nothing befell and that showed nothing new; gives their numbers.
pub(super) fn leave_out_polls(events: &mut Vec<Event>) -> HashSet<u64> {
    let mut asked = HashSet::new();
    let mut polls = HashSet::new();
    for event in &*events {
        let what = &event.what;
        if let Happening::Sent { request, kind: Kind::ReadManifest, fault: None, .. } = what {
            asked.insert(*request);
        }
        if let Happening::Answered { request, text, is_seen: true, .. } = what
            && asked.contains(request)
            && text == "not modified"
        {
            polls.insert(*request);
        }
    }
    events.retain(|event| {
        let (Happening::Sent { request, .. } | Happening::Answered { request, .. }) = &event.what
        else {
            return true;
        };
        !polls.contains(request)
    });
    polls
}

/// The name of a kind of request, as people say it.
pub(super) const fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Put => "put",
        Kind::Swap => "swap",
        Kind::ReadManifest => "read",
        Kind::ReadBatch => "fetch",
        Kind::List => "list",
        Kind::Delete => "delete",
    }
}

/// Takes out processes of which nothing is told but that they began; says how many.
pub(super) fn leave_out_idlers(events: &mut Vec<Event>) -> usize {
    let busy: HashSet<ProcessId> =
        events.iter().filter_map(|event| event.what.whose_deed()).collect();
    let before = events.len();
    events.retain(|event| match &event.what {
        Happening::Began { process, .. } => busy.contains(process),
        Happening::Sent { .. }
        | Happening::Applied { .. }
        | Happening::LeftAlone { .. }
        | Happening::Answered { .. }
        | Happening::GivenUp { .. }
        | Happening::Crashed { .. }
        | Happening::Paused { .. }
        | Happening::Resumed { .. }
        | Happening::Said { .. } => true,
    });
    before - events.len()
}

/// Names of batches and versions without what tells nothing: `…7ZQK.batch`, `"c356ab…"`.
pub(super) fn short(text: &str) -> String {
    let words: Vec<_> = text.split(' ').map(short_word).collect();
    words.join(" ")
}

fn short_word(word: &str) -> Cow<'_, str> {
    let is_hex = |text: &str| text.bytes().all(|it| it.is_ascii_hexdigit());
    if let Some(rest) = word.strip_prefix('"')
        && let Some((hash, after)) = rest.split_once('"')
        && hash.len() == HASH
        && is_hex(hash)
    {
        return format!("\"{}…\"{after}", &hash[..6]).into();
    }
    let Some((path, after)) = word.split_once(".batch") else { return word.into() };
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.len() == ULID && name.is_ascii() {
        return format!("…{}.batch{after}", &name[ULID - 4..]).into();
    }
    word.into()
}

/// How many characters a ULID has, and a hash of an object's contents.
const ULID: usize = 26;
const HASH: usize = 32;

/// The rows, and the ways of the requests.
pub(super) fn of(events: &[Event]) -> (Vec<Row>, Vec<Journey>) {
    let mut table = Table::default();
    for event in events {
        table.add(event);
    }
    (table.rows, table.journeys)
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    journeys: Vec<Journey>,
    by_request: HashMap<u64, usize>,
    names: HashMap<ProcessId, String>,
    manifest: Option<Stated>,
}

impl Table {
    fn add(&mut self, event: &Event) {
        let time = event.time;
        match &event.what {
            Happening::Began { process, name } => {
                self.names.insert(*process, name.clone());
                let text = format!("{process} is {name}");
                self.push(time, Mark::Began, *process, None, text, String::new());
            }
            Happening::Sent { request, process, kind, text, fault, verdict } => {
                let journey = Journey {
                    request: *request,
                    process: *process,
                    kind: *kind,
                    fault: *fault,
                    sent: self.rows.len(),
                    arrived: None,
                    arrived_late: false,
                    late: Vec::new(),
                    answered: None,
                    is_seen: false,
                    gone: false,
                };
                self.by_request.insert(*request, self.journeys.len());
                self.journeys.push(journey);
                let detail = match fault {
                    Some(name) => format!("{}: {text}\nfault: {name}: {verdict}", verb(*kind)),
                    None => format!("{}: {text}", verb(*kind)),
                };
                let mark = fault.map_or(String::new(), |name| {
                    format!("  [{}]", name.split('/').next().unwrap_or(name))
                });
                let text = format!("#{request} {}{mark}", short(text));
                self.push(time, Mark::Sent, *process, Some(*request), text, detail);
            }
            Happening::Applied { request, text, manifest } => {
                self.applied(time, *request, text, *manifest);
            }
            Happening::LeftAlone { request } => self.left_alone(time, *request),
            Happening::Answered { request, text, is_ok, is_seen } => {
                let row = self.rows.len();
                let Some(journey) = self.journey(*request) else { return };
                journey.answered.get_or_insert(row);
                journey.is_seen |= is_seen;
                let process = journey.process;
                let unseen = if *is_seen { "" } else { ", and nobody is there" };
                let words = format!("#{request} answers {}{unseen}", short(text));
                let mark = Mark::Answered { is_ok: *is_ok, is_seen: *is_seen };
                self.push(time, mark, process, Some(*request), words, text.clone());
            }
            Happening::GivenUp { request } => {
                let Some(journey) = self.journey(*request) else { return };
                journey.gone = true;
                let process = journey.process;
                let text = format!("#{request} is given up");
                self.push(time, Mark::GivenUp, process, Some(*request), text, String::new());
            }
            Happening::Crashed { process } => {
                for journey in self.journeys.iter_mut().filter(|it| it.process == *process) {
                    journey.gone = true;
                }
                let text = format!("{process} crashes");
                self.push(time, Mark::Crashed, *process, None, text, String::new());
            }
            Happening::Paused { process } => {
                let text = format!("{process} is paused");
                self.push(time, Mark::Paused, *process, None, text, String::new());
            }
            Happening::Resumed { process } => {
                let text = format!("{process} goes on");
                self.push(time, Mark::Resumed, *process, None, text, String::new());
            }
            Happening::Said { process, remark, text } => {
                let words = match *process {
                    ProcessId::WORLD => short(text),
                    process => format!("{process} {}", short(text)),
                };
                self.push(time, Mark::Said(*remark), *process, None, words, text.clone());
            }
        }
    }

    fn left_alone(&mut self, time: Duration, request: u64) {
        let row = self.rows.len();
        let Some(journey) = self.journey(request) else { return };
        let is_late = journey.answered.is_some();
        if is_late {
            journey.late.push(row);
        } else {
            journey.arrived.get_or_insert(row);
        }
        let late = if is_late { " LATE," } else { "" };
        let text = format!("#{request}{late} changes nothing");
        let detail = "the store looked at it, and left things as they were".to_owned();
        self.push(time, Mark::LeftAlone, ProcessId::WORLD, Some(request), text, detail);
    }

    fn applied(
        &mut self,
        time: Duration,
        request: Option<u64>,
        text: &str,
        manifest: Option<Stated>,
    ) {
        let row = self.rows.len();
        let mut is_late = false;
        if let Some(journey) = request.and_then(|request| self.journey(request)) {
            is_late = journey.answered.is_some() || journey.gone;
            if journey.answered.is_some() {
                journey.late.push(row);
            } else {
                journey.arrived.get_or_insert(row);
                journey.arrived_late = journey.gone;
            }
        }
        let whose = request.map_or("without a request".to_owned(), |it| format!("#{it}"));
        let late = if is_late { " LATE" } else { "" };
        let says = manifest.map_or(String::new(), |it| format!(": {}", super::stated(it)));
        let before = self.manifest;
        let detail = match (manifest, before) {
            (Some(now), Some(before)) => {
                format!("{text}\nnow: {}\nbefore: {}", super::stated(now), super::stated(before))
            }
            (Some(_) | None, _) => text.to_owned(),
        };
        let words = format!("{whose}{late} {}{says}", short(text));
        self.manifest = manifest.or(before);
        let mark = Mark::Applied { is_late };
        self.push(time, mark, ProcessId::WORLD, request, words, detail);
        self.rows[row].manifest = manifest;
    }

    fn journey(&mut self, request: u64) -> Option<&mut Journey> {
        let index = *self.by_request.get(&request)?;
        self.journeys.get_mut(index)
    }

    fn push(
        &mut self,
        time: Duration,
        mark: Mark,
        process: ProcessId,
        request: Option<u64>,
        text: String,
        more: String,
    ) {
        let whose = self.names.get(&process).map_or(String::new(), |name| format!(" ({name})"));
        let more = if more.is_empty() { more } else { format!("\n{more}") };
        let detail = format!("{} s  {text}{whose}{more}", super::seconds(time));
        self.rows.push(Row { time, mark, process, request, text, detail, manifest: None });
    }
}
