//! `tillwatch` as a child process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::machine::binary;

/// No command that is not meant to stay takes longer.
const COMMAND_MAX: Duration = Duration::from_secs(180);

/// A process that was asked to stop has stopped by then.
pub const STOP_MAX: Duration = Duration::from_secs(5);

/// A process that was started says what it has begun by then.
const START_MAX: Duration = Duration::from_secs(60);

/// What a command left behind.
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// Its standard output as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is text")
    }

    /// Its standard output, of a command that must succeed.
    #[must_use]
    pub fn good(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}

/// The binary with arguments, and nothing of the environment's configuration.
pub fn tillwatch<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("TILLWATCH_CONFIG");
    command
}

/// Runs a command to its end, with this on its standard input.
pub fn run(mut command: Command, input: &[u8]) -> Ended {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary can be started");
    let pid = child.id();
    let (mut stdin, input) = (child.stdin.take().expect("it is piped"), input.to_vec());
    // A command that ends without reading all of it closes the pipe: its exit code tells.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let (sender, ended) = channel();
    thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let Ok(output) = ended.recv_timeout(COMMAND_MAX) else {
        signal(pid, "KILL");
        panic!("{what} did not end");
    };
    let output = output.expect("it can be waited for");
    writer.join().expect("the writer does not panic");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Runs the binary with these arguments to its end.
pub fn of<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    run(tillwatch(arguments), b"")
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} reaches process {pid}");
}

/// A process that stays until it is told to go.
pub struct Member {
    pid: u32,
    exit: Receiver<ExitStatus>,
    lines: Receiver<String>,
    gone: bool,
}

impl Member {
    /// Starts a process.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let pid = child.id();
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("it is piped"));
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        let (tell, exit) = channel();
        thread::spawn(move || tell.send(child.wait().expect("it can be waited for")));
        Self { pid, exit, lines, gone: false }
    }

    /// Waits until it says something, and returns that line.
    pub fn says(&self, what: &str) -> String {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(START_MAX) {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => said.push(line),
                Err(_) => panic!("it never said {what:?}, but:\n{}", said.join("\n")),
            }
        }
    }

    /// Lets this much time pass, in which it must not end.
    pub fn lives(&self, wait: Duration) {
        match self.exit.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            ended => panic!("it ended by itself: {ended:?}\n{}", self.rest()),
        }
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// What it has said and nobody has asked for yet.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Waits until it ends by itself or by an earlier signal: its exit code, and what it has said and nobody has asked for yet.
    #[must_use]
    pub fn ends(mut self, within: Duration) -> (Option<i32>, String) {
        let ended = self.exit.recv_timeout(within);
        self.gone = ended.is_ok();
        let ended = ended.unwrap_or_else(|_| panic!("it did not end within {within:?}\n{}", self.rest()));
        // Its standard error ends with it, so that this comes to an end too.
        (ended.code(), self.lines.iter().collect::<Vec<_>>().join("\n"))
    }

    /// kill -9 of what has not ended by itself.
    pub fn kill(mut self) {
        self.lives(Duration::ZERO);
        self.gone = true;
        signal(self.pid, "KILL");
        self.exit.recv_timeout(STOP_MAX).expect("SIGKILL ends it");
    }

    /// SIGTERM: it must end with 0, and in time.
    pub fn stop(mut self) {
        self.lives(Duration::ZERO);
        signal(self.pid, "TERM");
        let ended = self.exit.recv_timeout(STOP_MAX);
        self.gone = ended.is_ok();
        let ended = ended.unwrap_or_else(|_| panic!("SIGTERM did not end it within {STOP_MAX:?}\n{}", self.rest()));
        assert_eq!(ended.code(), Some(0), "{}", self.rest());
    }

    fn rest(&self) -> String {
        self.lines.try_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Member {
    /// Where a test fails, what it has said belongs to the failure.
    #[allow(clippy::print_stderr, reason = "it is read by whoever reads the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("process {} has said:\n{}", self.pid, self.rest());
        }
        if !self.gone && self.exit.try_recv().is_err() {
            drop(Command::new("kill").args(["-KILL", &self.pid.to_string()]).status());
        }
    }
}
