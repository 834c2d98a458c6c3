//! Every public item of every package shows its use, and every public method is called where its type is shown.
//!
//! The lint `unreachable_pub` sees to it that what is `pub` can be reached, so that this needs to look at
//! no more than the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use syn::{
    Attribute, Expr, ExprLit, ImplItem, Item, ItemMod, Lit, Meta, TraitItem, Type, Visibility,
};

/// The packages, from the folder of this one.
const PACKAGES: [&str; 5] = ["../../core", "../driver", ".", "../smol-opendal", "../../sim"];

/// Something that can be used from outside.
#[derive(Debug)]
struct Shown {
    /// The type of a method, or the name of what is none.
    name: String,
    method: Option<String>,
    place: String,
    examples: Vec<String>,
}

/// What a package has.
#[derive(Debug, Default)]
struct Package {
    shown: Vec<Shown>,
    /// All examples, of modules as well.
    examples: Vec<String>,
}

impl Package {
    fn read(folder: &Path) -> Self {
        let mut package = Self::default();
        let source = folder.join("src");
        package.look_into(&source.join("lib.rs"), &source);
        package
    }

    /// Reads a file, whose modules are in that folder.
    fn look_into(&mut self, file: &Path, modules: &Path) {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).expect("it compiles");
        self.examples.extend(examples(&parsed.attrs));
        for item in &parsed.items {
            self.item(item, file, modules);
        }
    }

    fn module(&mut self, module: &ItemMod, file: &Path, modules: &Path) {
        if is_hidden(&module.attrs) {
            return;
        }
        self.examples.extend(examples(&module.attrs));
        let folder = modules.join(module.ident.to_string());
        if let Some((_, items)) = &module.content {
            for item in items {
                self.item(item, file, &folder);
            }
            return;
        }
        let beside = folder.with_extension("rs");
        let file = if beside.exists() { beside } else { folder.join("mod.rs") };
        self.look_into(&file, &folder);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the kinds of items that there are, these have names"
    )]
    fn item(&mut self, item: &Item, file: &Path, modules: &Path) {
        let (name, attributes, visibility) = match item {
            Item::Struct(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Enum(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Trait(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Fn(it) => (&it.sig.ident, &it.attrs, &it.vis),
            Item::Const(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Static(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Type(it) => (&it.ident, &it.attrs, &it.vis),
            Item::Mod(it) => return self.module(it, file, modules),
            Item::Impl(it) if it.trait_.is_none() && !is_hidden(&it.attrs) => {
                let Type::Path(path) = &*it.self_ty else { return };
                let of = path.path.segments.last().expect("it has a name").ident.to_string();
                for item in &it.items {
                    if let ImplItem::Fn(method) = item
                        && matches!(method.vis, Visibility::Public(_))
                    {
                        self.show(&of, Some(&method.sig.ident.to_string()), &method.attrs, file);
                    }
                }
                return;
            }
            _ => return,
        };
        if !matches!(visibility, Visibility::Public(_)) || is_hidden(attributes) {
            return;
        }
        self.show(&name.to_string(), None, attributes, file);
        if let Item::Trait(it) = item {
            for item in &it.items {
                if let TraitItem::Fn(method) = item {
                    self.show(
                        &name.to_string(),
                        Some(&method.sig.ident.to_string()),
                        &method.attrs,
                        file,
                    );
                }
            }
        }
    }

    fn show(&mut self, name: &str, method: Option<&str>, attributes: &[Attribute], file: &Path) {
        if is_hidden(attributes) {
            return;
        }
        let examples = examples(attributes);
        self.examples.extend(examples.iter().cloned());
        let (name, method) = (name.to_owned(), method.map(str::to_owned));
        let place = file.display().to_string();
        self.shown.push(Shown { name, method, place, examples });
    }

    /// What is not shown.
    fn missing(&self) -> impl Iterator<Item = String> {
        let is_shown = |it: &Shown| {
            let Some(method) = &it.method else { return !it.examples.is_empty() };
            let of_type = self.shown.iter().filter(|one| one.name == it.name);
            let nearby = of_type.flat_map(|one| &one.examples);
            let elsewhere = self.examples.iter().filter(|text| words(text).contains(&it.name[..]));
            nearby.chain(elsewhere).any(|text| is_called(text, method))
        };
        self.shown.iter().filter(move |it| !is_shown(it)).map(|it| match &it.method {
            None => format!("{}: {} has no example", it.place, it.name),
            Some(method) => {
                format!("{}: no example of {} calls `{method}`", it.place, it.name)
            }
        })
    }
}

/// Whether it is for tests, or not shown to anybody.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            let tokens = list.tokens.to_string();
            (list.path.is_ident("doc") && tokens == "hidden")
                || (list.path.is_ident("cfg") && (tokens == "test" || tokens == "buffer_sim"))
        }
        Meta::Path(_) | Meta::NameValue(_) => false,
    })
}

/// The blocks of Rust in the docs that these attributes are.
fn examples(attributes: &[Attribute]) -> Vec<String> {
    let mut docs = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value
        {
            docs += &line.value();
            docs.push('\n');
        }
    }
    blocks(&docs)
}

/// The fenced blocks that are run or compiled.
fn blocks(docs: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = docs.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if matches!(language, "" | "rust" | "no_run" | "should_panic") {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').collect()
}

/// Whether something of this name is called, named as a function, or written for a trait.
fn is_called(text: &str, method: &str) -> bool {
    text.match_indices(method).any(|(place, _)| {
        let (before, after) = (&text[..place], &text[place + method.len()..]);
        let ends = !after.starts_with(|char: char| char.is_alphanumeric() || char == '_');
        ends && [".", "::", "fn "].iter().any(|start| before.ends_with(start))
    })
}

/// Goal: whoever looks something up sees how it is used.
#[test]
fn every_public_item_shows_its_use() {
    let mut missing = Vec::new();
    for folder in PACKAGES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let package = Package::read(&folder);
        assert!(package.shown.len() > 3, "{}: what is public is not found", folder.display());
        missing.extend(package.missing());
    }
    assert!(missing.is_empty(), "{} are not shown:\n{}", missing.len(), missing.join("\n"));
}

/// Goal: what has no example is found, and what has one is not.
#[test]
fn an_item_without_an_example_is_found() {
    let source = r#"
        /// ```
        /// assert_eq!(Shown::new().double(), 2);
        /// ```
        pub struct Shown;
        impl Shown {
            pub fn new() -> Self { Self }
            pub fn double(&self) -> u8 { 2 }
            pub fn triple(&self) -> u8 { 3 }
            fn private(&self) {}
        }
        /// ```text
        /// Shown::new().triple()
        /// ```
        pub enum Told {}
        pub(crate) struct Inner;
        #[cfg(test)]
        mod tests { pub fn test() {} }
        pub mod more {
            /// Its own.
            pub trait Trait {
                /// ```
                /// value.does();
                /// ```
                fn does(&self);
                fn undone(&self);
            }
        }
    "#;
    let mut package = Package::default();
    for item in syn::parse_file(source).expect("it is Rust").items {
        package.item(&item, Path::new("here"), Path::new("nowhere"));
    }
    let missing: Vec<_> = package.missing().collect();
    let expected = [
        "here: no example of Shown calls `triple`",
        "here: Told has no example",
        "here: Trait has no example",
        "here: no example of Trait calls `undone`",
    ];
    assert_eq!(missing, expected);
}
