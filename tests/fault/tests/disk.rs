//! A disk that is full, and one that may not be written to, under a whole process on the embedded log.
//!
//! Without the standard harness: where this user may not mount a file system of a size of its own, the tests are counted as ignored.

use std::fs::{self, File};
use std::io::{Read as _, Write as _, copy, repeat};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;
use tillwatch_it::running::embedded::{Machine, TOKEN};
use tillwatch_it::running::feed::{feed, now};
use tillwatch_it::running::verdict::assert_plenty;
use xtask::process::say;

/// Bytes of the disk: enough for all that the test writes.
const DISK: u64 = 256 << 20;

/// Events of one request.
const BATCH: usize = 20;

/// What a full disk takes still, beginning where the log has space of its own: a page or two.
const TAKEN_MAX: usize = 200;

/// How long a process that cannot start may take to say so.
const REFUSAL_MAX: Duration = Duration::from_secs(30);

fn main() {
    let mounts = Disk::mount().is_ok();
    let trial = |name: &str, test: fn()| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!mounts)
    };
    if !mounts {
        say("SKIPPED: every test of a disk of its own, for this user may not mount one. Run them as root.");
    }
    let tests = vec![
        trial("a_full_disk_is_told_and_nothing_is_lost_and_it_goes_on_when_there_is_room", full),
        trial("a_disk_that_may_not_be_written_to_is_told_at_the_start", read_only),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// A file system in memory.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let size = format!("size={DISK}");
        mount(["-t", "tmpfs", "-o", &size, "tillwatch-test"], folder.path())?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        mount(["-o", &format!("remount,{how}")], self.path()).expect("it can be mounted anew");
    }

    /// Takes all the room there is; gives it back by [`Disk::empty`].
    fn fill(&self) {
        let mut file = File::create(self.path().join("balloon")).expect("there is room for a file");
        copy(&mut repeat(7).take(DISK * 2), &mut file).expect_err("the disk is smaller");
        drop(file.flush());
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("balloon")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that a failed test has left may still be ending: the folder goes when it does.
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

fn mount<'a>(arguments: impl IntoIterator<Item = &'a str>, at: &Path) -> Result<(), String> {
    let ended = Command::new("mount").args(arguments).arg(at).output().map_err(|error| error.to_string())?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into_owned()) }
}

fn full() {
    let disk = Disk::mount().expect("asked for before");
    let machine = Machine::on(&disk.path().join("log"));
    let running = machine.start();
    let start = now();
    let feed = feed(5);
    let batches: Vec<_> = feed.chunks(BATCH).collect();
    for (index, batch) in batches.iter().enumerate() {
        let last = batch.last().expect("a batch is not empty");
        if let Ok(wait @ 1..) = u64::try_from(start + last.after - now()) {
            running.member.lives(Duration::from_millis(wait));
        }
        let events: Vec<String> = batch.iter().map(|send| send.text(start)).collect();
        if index != batches.len() / 2 {
            machine.post_all(&running, &events);
            continue;
        }
        disk.fill();
        let body = format!("[{}]", events.join(","));
        let refused = (0..TAKEN_MAX).map(|_| machine.post(&running, TOKEN, &body)).find(|(status, _)| *status != 200);
        let (status, text) = refused.expect("a full disk takes no more");
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("log-disk") && text.contains("free space"), "{text}");
        // The worker cannot commit either, says so, and waits.
        let line = running.member.says("log-disk");
        assert!(line.contains(&disk.path().display().to_string()), "{line}");
        disk.empty();
        running.member.says("the log works again");
        machine.post_all(&running, &events);
    }
    assert_plenty(&machine.judge(running));
}

fn read_only() {
    let disk = Disk::mount().expect("asked for before");
    let log = disk.path().join("log");
    let machine = Machine::on(&log);
    let running = machine.start();
    let events: Vec<String> = feed(6).iter().take(BATCH).map(|send| send.text(now())).collect();
    machine.post_all(&running, &events);
    running.member.stop();
    disk.remount("ro");
    let (code, told) = machine.launch().ends(REFUSAL_MAX);
    assert_eq!(code, Some(1), "{told}");
    for word in ["log-disk", &log.display().to_string(), "write permission"] {
        assert!(told.contains(word), "{word:?} is not in:\n{told}");
    }
    disk.remount("rw");
    let running = machine.start();
    let said = machine.judge(running);
    assert!(!said.is_empty());
}
