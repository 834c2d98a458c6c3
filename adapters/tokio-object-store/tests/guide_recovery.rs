//! The chapter on recovery has every error that the core and the driver can return, with its words.

mod guide_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use guide_support::{chapter, prose};

/// Where errors are that a user can meet.
const SOURCES: [&str; 2] = ["../../core/src", "../driver/src"];

/// For tests of stores; not part of what runs.
const NOT_MET: [&str; 1] = ["contract"];

/// Told by its kind, and not an error by itself.
const KINDS: [&str; 1] = ["StoreErrorKind"];

/// What the source says of errors.
#[derive(Debug, Default)]
struct Errors {
    /// Variants with their texts, by enum; the text of one that only repeats another is empty.
    enums: BTreeMap<String, BTreeMap<String, String>>,
    structs: BTreeSet<String>,
}

impl Errors {
    fn in_code() -> Self {
        let mut errors = Self::default();
        for source in SOURCES {
            errors.look_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
        }
        errors
    }

    fn look_into(&mut self, path: &Path) {
        if NOT_MET.iter().any(|name| path.ends_with(name)) {
            return;
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("it is a directory") {
                self.look_into(&entry.expect("it is listed").path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            self.read(&fs::read_to_string(path).expect("it is text"));
        }
    }

    /// Reads a file as rustfmt writes it.
    fn read(&mut self, source: &str) {
        let mut is_error = false;
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let (kind, name) = match line.strip_prefix("pub ").and_then(|it| it.split_once(' ')) {
                Some((kind @ ("enum" | "struct"), rest)) => (kind, identifier(rest)),
                Some(_) | None => {
                    // Attributes may stand between; anything else ends what was derived.
                    is_error &= line.starts_with("#[") || line.starts_with([' ', ')']);
                    is_error |= line.starts_with("#[derive(") && line.contains("thiserror::Error");
                    continue;
                }
            };
            if kind == "struct" && is_error {
                self.structs.insert(name.to_owned());
            } else if kind == "enum" && (is_error || KINDS.contains(&name)) {
                let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
                let mut variants = variants(&body);
                if KINDS.contains(&name) {
                    let shown = format!("impl fmt::Display for {name} ");
                    let (_, shown) = source.split_once(&shown).expect("its kinds are displayed");
                    variants.iter_mut().for_each(|(name, text)| *text = displayed(shown, name));
                }
                self.enums.insert(name.to_owned(), variants);
            }
            is_error = false;
        }
    }
}

fn identifier(text: &str) -> &str {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or(text)
}

/// The variants of an enum, from the lines of its body.
fn variants(body: &[&str]) -> BTreeMap<String, String> {
    let mut variants = BTreeMap::new();
    let mut attribute = String::new();
    let mut open = false;
    for line in body {
        let Some(line) = line.strip_prefix("    ") else { continue };
        if line.starts_with("#[error(") {
            attribute.clear();
            open = true;
        }
        if open {
            attribute.push_str(line.trim());
            open = !line.ends_with(")]");
        } else if line.starts_with(|letter: char| letter.is_ascii_uppercase()) {
            variants.insert(identifier(line).to_owned(), literal(&attribute));
            attribute.clear();
        }
    }
    variants
}

/// The text of an `#[error]`, without what is filled in and without a line's continuation.
fn literal(attribute: &str) -> String {
    let text = attribute.split_once('"').map_or("", |(_, rest)| rest);
    let text = text.split_once('"').map_or("", |(text, _)| text);
    pieces(&text.replace('\\', " "), '{').join("…")
}

/// What a `Display` that begins there says of a variant.
fn displayed(source: &str, variant: &str) -> String {
    let arm = format!("Self::{variant} => \"");
    let (_, rest) = source.split_once(&arm).unwrap_or_else(|| panic!("{variant} is displayed"));
    rest.split_once('"').expect("the text ends").0.to_owned()
}

/// The parts of a text between what stands in braces.
fn pieces(text: &str, open: char) -> Vec<String> {
    let mut parts = text.split(open);
    let first = parts.next().unwrap_or("").to_owned();
    let after = parts.map(|part| part.split_once('}').map_or(part, |(_, rest)| rest).to_owned());
    [first].into_iter().chain(after).collect()
}

/// Whether `said` has these parts, in their order. White space counts once.
fn is_told_by(said: &str, shown: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = plain(said);
    let mut rest = said.as_str();
    shown.split('…').map(plain).all(|part| match rest.find(part.trim()) {
        Some(at) => {
            rest = &rest[at + part.trim().len()..];
            true
        }
        None => false,
    })
}

/// A row of the chapter: the error's name and its words as they are shown.
fn row(line: &str) -> Option<(&str, &str)> {
    let cell = line.strip_prefix("| `")?.split(" | ").next()?;
    let (name, shown) = cell.split_once('`')?;
    Some((name, shown.trim().strip_prefix('"')?.strip_suffix('"')?))
}

#[test]
fn every_error_has_its_row_with_its_words() {
    let text = chapter("recovery.md");
    let rows: BTreeMap<&str, &str> = prose(&text).filter_map(row).collect();
    let errors = Errors::in_code();
    let mut wrong = Vec::new();
    for (name, variants) in &errors.enums {
        for (variant, said) in variants {
            let name = format!("{name}::{variant}");
            match rows.get(name.as_str()) {
                None => wrong.push(format!("{name} is not there: {said}")),
                Some(shown) => {
                    let enough = said.trim_matches('…').len() < 8 || shown.len() > 8;
                    if !enough || !is_told_by(said, shown) {
                        wrong.push(format!("{name}\n  says  {said}\n  shown {shown}"));
                    }
                }
            }
        }
    }
    for name in &errors.structs {
        if !text.contains(&format!("`{name}")) {
            wrong.push(format!("{name} is not there"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_row_is_about_a_variant_that_is_gone() {
    let text = chapter("recovery.md");
    let errors = Errors::in_code();
    let gone: Vec<&str> = prose(&text)
        .filter_map(row)
        .filter_map(|(name, _)| {
            let (of, variant) = name.split_once("::")?;
            (!errors.enums.get(of)?.contains_key(variant)).then_some(name)
        })
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn errors_are_found_in_code() {
    let errors = Errors::in_code();
    let of = |name: &str, variant: &str| errors.enums[name][variant].as_str();
    assert_eq!(of("NextError", "BatchMissing"), "batch … is listed, but there is no object …");
    assert_eq!(of("NextError", "Ended"), "");
    assert_eq!(of("StoreErrorKind", "Denied"), "the store denied access");
    assert!(of("InitializeError", "BehindQueue").contains("was dequeued. If it is lost"));
    assert!(errors.enums.len() >= 18, "{:?}", errors.enums.keys());
    assert!(errors.structs.contains("FormatError") && errors.structs.contains("LocationError"));
    assert!(!errors.enums.contains_key("RateError"), "of a test's server");
}

#[test]
fn words_are_compared_in_their_order() {
    assert!(is_told_by("batch … is at …: gone", "batch … is at …"));
    assert!(is_told_by("…", "…") && is_told_by("", "…"));
    assert!(!is_told_by("batch … is at …", "is at … batch"));
    assert!(!is_told_by("batch … is at …", "batch … was at …"));
    assert_eq!(row("| `A::B` \"x … y\" | do |"), Some(("A::B", "x … y")));
    assert_eq!(row("| a | b |"), None);
}
