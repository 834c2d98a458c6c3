//! What is there after the power failed: a copy of the disk as it is at that moment.
//!
//! The disk is a file with an ext4 in it. What the filesystem has not yet sent to its
//! device is not in the copy; mounting the copy replays the journal, as a restart would.
//! Needs the right to mount: `cargo test --test local_power_loss -- --ignored` as root.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod local_support;
mod local_tracer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use buffer_driver::LocalFiles;
use local_support::*;
use local_tracer::{Action, Tracee, stop, traced};

const KEY: &str = "ingest/manifest";

fn command(name: &str, arguments: &[&str]) {
    let status = Command::new(name).args(arguments).status().unwrap();
    assert!(status.success(), "{name} {arguments:?}: {status}");
}

/// A filesystem in a file, mounted as long as this lives.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn new(scratch: &Scratch) -> Self {
        let image = scratch.path().join("disk");
        fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        command("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        Self::mount(image)
    }

    fn mount(image: PathBuf) -> Self {
        let mounted = image.with_extension("mounted");
        fs::create_dir_all(&mounted).unwrap();
        command("mount", &["-o", "loop", image.to_str().unwrap(), mounted.to_str().unwrap()]);
        Self { image, mounted }
    }

    fn root(&self) -> PathBuf {
        self.mounted.join("data/queue")
    }

    /// The object's contents if the power failed now.
    fn after_power_loss(&self) -> Option<String> {
        let image = self.image.with_file_name("copy");
        fs::copy(&self.image, &image).unwrap();
        let copy = Self::mount(image);
        let files = LocalFiles::open_existing(copy.root()).ok()?;
        find(&files, KEY).map(|object| text(&object).to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mounted).status();
    }
}

#[test]
#[ignore = "mounts filesystems, which needs root"]
fn acknowledged_write_survives_a_power_loss() {
    for rounds in 0..4 {
        let scratch = Scratch::new("power");
        let disk = Disk::new(&scratch);
        let files = LocalFiles::open(disk.root()).unwrap();
        let mut version = stored(create(&files, KEY, "state 0"));
        for round in 1..=rounds {
            version = stored(swap(&files, KEY, &format!("state {round}"), &version));
        }
        assert_eq!(disk.after_power_loss(), Some(format!("state {rounds}")));
    }
}

/// A writer dies between its rename and the sync that would have made it durable.
fn die_before_the_last_sync(test: &str, root: &Path) -> Option<()> {
    let mut tracee = Tracee::start(test, &[root.to_str().unwrap()])?;
    tracee.run(|call| match call.milestone().as_deref() {
        Some("fsync ingest/") => Action::Kill,
        Some(_) | None => Action::Run,
    });
    assert!(tracee.end().is_empty());
    Some(())
}

/// Goal: what one reader saw, nobody can take back. The unread state shows that the
/// power loss of this test does lose things.
#[test]
#[ignore = "mounts filesystems, which needs root"]
fn state_that_was_read_survives_a_power_loss() {
    const TEST: &str = "state_that_was_read_survives_a_power_loss";
    if let Some(role) = role() {
        let files = LocalFiles::open(&role[0]).unwrap();
        create(&files, "ingest/other", "x").unwrap();
        let base = found(&files, KEY).version;
        traced();
        stop();
        stored(swap(&files, KEY, "new", &base));
        report("stored");
        return stop();
    }
    for (is_read, expected) in [(false, "old"), (true, "new")] {
        let scratch = Scratch::new("power");
        let disk = Disk::new(&scratch);
        let files = LocalFiles::open(disk.root()).unwrap();
        stored(create(&files, KEY, "old"));
        let Some(()) = die_before_the_last_sync(TEST, &disk.root()) else { return };
        if is_read {
            let reader = LocalFiles::open_existing(disk.root()).unwrap();
            assert_eq!(found(&reader, KEY).bytes, "new");
        }
        assert_eq!(disk.after_power_loss().as_deref(), Some(expected), "read: {is_read}");
    }
}
