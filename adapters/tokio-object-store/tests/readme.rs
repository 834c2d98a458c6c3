//! The README's code is the code of the crate's documentation, which is compiled and run.

/// The Rust blocks of a Markdown text, without lines that readers do not see.
fn rust_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    let mut foreign = false;
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) if line != "#" && !line.starts_with("# ") => {
                block.push_str(line);
                block.push('\n');
            }
            (Some(_), None) => {}
            (None, Some("rust" | "standalone_crate")) => open = Some(String::new()),
            (None, Some(_)) => foreign = !foreign,
            (None, None) => {}
        }
    }
    assert!(!foreign && open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn the_readme_shows_what_is_tested() {
    let documented: String = include_str!("../src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
        .collect();
    let tested = rust_blocks(&documented);
    assert_eq!(tested.len(), 2);
    assert_eq!(rust_blocks(include_str!("../README.md")), tested);
}
