//! Follows one thread of a child from system call to system call.

#![allow(dead_code, clippy::unwrap_used, reason = "a test may; not every one uses all of it")]

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

use crate::local_support::{heard, report, start};

/// Asks to be followed from here on. Called by the child, in the thread that does the work.
pub(crate) fn traced() {
    match ptrace::traceme() {
        Ok(()) => report(&gettid().to_string()),
        Err(error) => {
            report(&format!("no: {error}"));
            std::process::exit(0);
        }
    }
}

/// Stops the child: the operation begins, or it has ended.
pub(crate) fn stop() {
    raise(Signal::SIGSTOP).unwrap();
}

/// What becomes of a system call that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Run,
    /// The process is killed instead.
    Kill,
    /// It does not happen and returns this error.
    Fail(Errno),
}

/// A system call that is about to happen.
pub(crate) struct Call<'a> {
    process: &'a Tracee,
    number: libc::c_long,
    first: u64,
}

impl Call<'_> {
    /// What it is in the life of a write, if it is of importance there.
    pub(crate) fn milestone(&self) -> Option<String> {
        Some(match self.number {
            libc::SYS_fsync | libc::SYS_fdatasync => format!("fsync {}", self.file()),
            libc::SYS_link | libc::SYS_linkat => "link".to_owned(),
            libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => "rename".to_owned(),
            libc::SYS_unlink | libc::SYS_unlinkat => "unlink".to_owned(),
            libc::SYS_mkdir | libc::SYS_mkdirat => "mkdir".to_owned(),
            libc::SYS_write if self.first == 2 => "reply".to_owned(),
            _ => return None,
        })
    }

    /// Whether it goes to the filesystem, and so may fail at any time.
    ///
    /// Not closing a file, whose errors nobody sees, and not what cleans up.
    pub(crate) fn touches_files(&self) -> bool {
        let other = [
            libc::SYS_openat,
            libc::SYS_read,
            libc::SYS_statx,
            libc::SYS_flock,
            libc::SYS_write,
            libc::SYS_lseek,
        ];
        match self.milestone().as_deref() {
            Some("reply" | "unlink") => false,
            Some(_) => true,
            None => other.contains(&self.number),
        }
    }

    /// The file behind the first argument: a directory by its name, a temporary file as such.
    fn file(&self) -> String {
        let link = format!("/proc/{}/fd/{}", self.process.child.id(), self.first);
        let path = std::fs::read_link(link).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        match (path.is_dir(), path.extension().and_then(|extension| extension.to_str())) {
            (true, _) => format!("{name}/"),
            (false, Some("tmp")) => "*.tmp".to_owned(),
            (false, _) => name.to_owned(),
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.number {
            libc::SYS_openat => "open",
            libc::SYS_read => "read",
            libc::SYS_write => "write",
            libc::SYS_close => "close",
            libc::SYS_statx => "stat",
            libc::SYS_flock => "flock",
            libc::SYS_lseek => "lseek",
            number => match self.milestone() {
                Some(milestone) => return f.write_str(&milestone),
                None => return write!(f, "call {number}"),
            },
        };
        f.write_str(name)
    }
}

/// A child that is being followed.
pub(crate) struct Tracee {
    child: Child,
    thread: Pid,
    output: BufReader<ChildStderr>,
    killed: bool,
}

impl Tracee {
    /// Starts `test` again in another process and waits for its first stop.
    ///
    /// `None`, and a word about it, where tracing is not permitted.
    pub(crate) fn start(test: &str, role: &[&str]) -> Option<Self> {
        let mut child = start(test, role);
        let mut output = BufReader::new(child.stderr.take().unwrap());
        let said = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early");
            if let Some(said) = heard(line.trim_end().to_owned()) {
                break said;
            }
        };
        let Ok(thread) = said.parse() else {
            println!("skipped: ptrace is not permitted here ({said})");
            child.wait().unwrap();
            return None;
        };
        let tracee = Self { child, thread: Pid::from_raw(thread), output, killed: false };
        let status = tracee.wait();
        assert_eq!(status, WaitStatus::Stopped(tracee.thread, Signal::SIGSTOP));
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(tracee.thread, options).unwrap();
        Some(tracee)
    }

    /// Runs the operation; `decide` is asked before each system call.
    pub(crate) fn run(&mut self, mut decide: impl FnMut(&Call<'_>) -> Action) {
        while self.advance() {
            let mut registers = ptrace::getregs(self.thread).unwrap();
            let number = registers.orig_rax.cast_signed();
            match decide(&Call { process: self, number, first: registers.rdi }) {
                Action::Run => assert!(self.advance(), "a call that begins also ends"),
                Action::Kill => return self.kill(),
                Action::Fail(errno) => {
                    // No such call, so nothing happens; then its answer is replaced.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(self.thread, registers).unwrap();
                    assert!(self.advance(), "a call that begins also ends");
                    let mut registers = ptrace::getregs(self.thread).unwrap();
                    registers.rax = i64::from(-(errno as i32)).cast_unsigned();
                    ptrace::setregs(self.thread, registers).unwrap();
                }
            }
        }
    }

    /// Goes on to the next beginning or end of a call; says no at the child's own stop.
    fn advance(&self) -> bool {
        ptrace::syscall(self.thread, None).unwrap();
        let status = self.wait();
        if let WaitStatus::PtraceSyscall(_) = status {
            return true;
        }
        assert_eq!(status, WaitStatus::Stopped(self.thread, Signal::SIGSTOP));
        false
    }

    fn wait(&self) -> WaitStatus {
        waitpid(self.thread, Some(WaitPidFlag::__WALL)).unwrap()
    }

    fn kill(&mut self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL).unwrap();
        let status = self.wait();
        assert!(matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)), "{status:?}");
        self.killed = true;
    }

    /// Lets the child go on to its end, and returns what it reported.
    pub(crate) fn end(mut self) -> Vec<String> {
        if !self.killed {
            ptrace::detach(self.thread, None).unwrap();
        }
        let status = self.child.wait().unwrap();
        assert!(self.killed || status.success(), "{status}");
        self.output.lines().map(|line| line.unwrap()).filter_map(heard).collect()
    }
}
