//! What a program asks of its files, seen from outside, as `strace` would see it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Something that happens to a file, or is said.
#[derive(Debug)]
pub(crate) enum Step {
    Created(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    Wrote {
        path: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Length(PathBuf, usize),
    /// A sync begins; what was written before it is safe when it ends.
    Syncing(PathBuf),
    Synced(PathBuf),
    /// A line on the standard output, without its mark.
    Said(String),
}

/// What a line that is meant for the test begins with.
pub(crate) const MARK: &str = "> ";

/// To be called by the program that is to be watched, before it starts the threads that matter.
pub(crate) fn let_trace() {
    ptrace::traceme().expect("a process may be traced by its parent");
    raise(Signal::SIGSTOP).expect("a signal of its own");
}

/// Runs the program until its end, which must be a success, and shows what it does while it is held up.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(Step)) {
    #[expect(clippy::zombie_processes, reason = "it is waited for below, together with its threads")]
    let child = command.spawn().expect("it starts");
    let leader = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
    let mut calls: BTreeMap<Pid, Call> = BTreeMap::new();
    // Only what this thread has started: another test does the same beside it.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let mut is_traced = false;
    loop {
        let status = waitpid(None::<Pid>, Some(flags)).expect("the child is there");
        let (thread, signal) = match status {
            WaitStatus::Exited(who, code) if who == leader => {
                assert_eq!(code, 0, "the child failed");
                return;
            }
            WaitStatus::Signaled(who, signal, _) if who == leader => panic!("the child got {signal}"),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
            WaitStatus::Stopped(thread, Signal::SIGSTOP) => {
                if !is_traced {
                    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
                        | ptrace::Options::PTRACE_O_TRACECLONE
                        | ptrace::Options::PTRACE_O_EXITKILL;
                    ptrace::setoptions(thread, options).expect("it is stopped");
                    is_traced = true;
                }
                (thread, None)
            }
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            WaitStatus::PtraceSyscall(thread) => {
                match calls.remove(&thread) {
                    None => {
                        let call = Call::read(thread);
                        call.begins(&mut see);
                        calls.insert(thread, call);
                    }
                    Some(call) => call.ends(&mut see),
                }
                (thread, None)
            }
            WaitStatus::PtraceEvent(thread, ..) => (thread, None),
            other => panic!("{other:?}"),
        };
        match ptrace::syscall(thread, signal) {
            // It was killed meanwhile, which the next wait says.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a thread has asked for and not yet got.
#[derive(Debug)]
enum Call {
    /// A file that is not there is opened to be made.
    Create(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Sync(PathBuf),
    Write(PathBuf, usize, Vec<u8>),
    Length(PathBuf, usize),
    Say(String),
    Other,
}

impl Call {
    fn read(thread: Pid) -> Self {
        let process = PathBuf::from(format!("/proc/{thread}"));
        let text = fs::read_to_string(process.join("syscall")).expect("it is stopped in a call");
        let mut words = text.split_whitespace();
        let number: libc::c_long =
            words.next().and_then(|word| word.parse().ok()).expect("the call's number");
        let words: Vec<usize> =
            words.filter_map(|word| usize::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
        let memory = Memory(&process);
        let file = || memory.file(words[0]);
        match number {
            libc::SYS_openat if words[2] & libc::O_CREAT.cast_unsigned() as usize != 0 => {
                let path = memory.path(words[1]);
                if path.exists() { Self::Other } else { Self::Create(path) }
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open if words[1] & libc::O_CREAT.cast_unsigned() as usize != 0 => {
                let path = memory.path(words[0]);
                if path.exists() { Self::Other } else { Self::Create(path) }
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => Self::Rename(memory.path(words[0]), memory.path(words[1])),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                Self::Rename(memory.path(words[1]), memory.path(words[3]))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => Self::Remove(memory.path(words[0])),
            libc::SYS_unlinkat => Self::Remove(memory.path(words[1])),
            libc::SYS_fsync | libc::SYS_fdatasync => Self::Sync(file()),
            libc::SYS_ftruncate => Self::Length(file(), words[1]),
            libc::SYS_write if words[0] == 1 => {
                let said = memory.bytes(words[1], words[2]);
                let said = String::from_utf8_lossy(&said);
                said.trim_end().strip_prefix(MARK).map_or(Self::Other, |said| Self::Say(said.to_owned()))
            }
            libc::SYS_write => {
                Self::Write(file(), memory.position(words[0]), memory.bytes(words[1], words[2]))
            }
            libc::SYS_pwrite64 => Self::Write(file(), words[3], memory.bytes(words[1], words[2])),
            libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_fallocate
            | libc::SYS_linkat
                if file().extension().is_some_and(|it| it.to_string_lossy().starts_with("db")) =>
            {
                panic!("call {number} is not known here")
            }
            _ => Self::Other,
        }
    }

    /// Before the system does it.
    fn begins(&self, see: &mut impl FnMut(Step)) {
        match self {
            Self::Sync(path) => see(Step::Syncing(path.clone())),
            // Nobody acts on it before it is said.
            Self::Say(said) => see(Step::Said(said.clone())),
            _ => {}
        }
    }

    /// After the system has done it.
    fn ends(self, see: &mut impl FnMut(Step)) {
        match self {
            Self::Create(path) if path.exists() => see(Step::Created(path)),
            Self::Rename(from, to) if !from.exists() => see(Step::Renamed(from, to)),
            Self::Remove(path) if !path.exists() => see(Step::Removed(path)),
            Self::Sync(path) => see(Step::Synced(path)),
            Self::Write(path, at, bytes) => see(Step::Wrote { path, at, bytes }),
            Self::Length(path, length) => see(Step::Length(path, length)),
            _ => {}
        }
    }
}

/// What a stopped thread has in memory and in its hands.
struct Memory<'p>(&'p Path);

impl Memory<'_> {
    fn file(&self, number: usize) -> PathBuf {
        fs::read_link(self.0.join(format!("fd/{number}"))).unwrap_or_default()
    }

    fn position(&self, number: usize) -> usize {
        let text = fs::read_to_string(self.0.join(format!("fdinfo/{number}"))).unwrap_or_default();
        let position = text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
        position.unwrap_or_default()
    }

    fn bytes(&self, address: usize, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let memory = File::open(self.0.join("mem")).expect("whoever traces may read");
        memory.read_exact_at(&mut bytes, address as u64).expect("it is the call's argument");
        bytes
    }

    /// An absolute path: all that concern the store are.
    fn path(&self, address: usize) -> PathBuf {
        let memory = File::open(self.0.join("mem")).expect("whoever traces may read");
        let mut bytes = Vec::new();
        let mut byte = [0];
        while memory.read_exact_at(&mut byte, (address + bytes.len()) as u64).is_ok() && byte != [0] {
            bytes.push(byte[0]);
        }
        PathBuf::from(OsString::from_vec(bytes))
    }
}
