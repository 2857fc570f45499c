//! Running other programs, and telling the user about it.
//!
//! Owns the spinner, the log files of quiet steps, time limits and the wording of a failure. Knows no program in particular.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a failed quiet step's log is shown.
const LOG_LINES_SHOWN_MAX: usize = 25;

/// Writes one line to standard error: what the tool does is told there, results go to standard output.
#[allow(clippy::print_stderr, reason = "a tool on the command line talks to its user")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Writes one line of result to standard output.
#[allow(clippy::print_stdout, reason = "a tool on the command line talks to its user")]
pub fn print(line: &str) {
    println!("{line}");
}

/// The moment, for time limits and for telling how long a step took.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place where the tool reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets a moment pass before something outside is asked again.
#[allow(clippy::disallowed_methods, reason = "another program's start and end can only be asked for again and again")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Runs a command with its output shown as it comes.
///
/// # Errors
/// Where it cannot be started or does not end well; names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{shown}`"))?;
    ended_well(&shown, status)
}

/// The trimmed standard output of a command that ends well; nothing where it cannot be run or fails.
#[must_use]
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a command can be run and ends well, unseen.
#[must_use]
pub fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a long step whose output is of interest only where it fails: a spinner on a terminal, a line before it elsewhere, the
/// output in `log`, and an end by force after `limit`.
///
/// # Errors
/// Where it cannot be started, fails or takes longer; with the end of the log and its path.
pub fn quietly(label: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let shown = shown(command);
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let command = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let began = now();
    let spinner = Spinner::start(label);
    let mut child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > limit {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("cannot end `{shown}`"))?;
            drop(spinner);
            bail!("`{shown}` was ended after {} s\n{}", limit.as_secs(), tail(log));
        }
        pause();
    };
    drop(spinner);
    ended_well(&shown, status).with_context(|| tail(log))?;
    say(&format!("{label}: done in {} s", began.elapsed().as_secs()));
    Ok(())
}

/// Why a program ended, of what it said: the line of its error, or those of its panic's place and message.
#[must_use]
pub fn last_words(said: &str) -> Vec<&str> {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.iter().rposition(|line| line.starts_with("Error: ") || line.contains(" panicked at "));
    let Some(from) = from else { return Vec::new() };
    let count = if lines[from].starts_with("Error: ") { 1 } else { 2 };
    lines[from..].iter().take(count).copied().collect()
}

/// The last lines of a log, and where the rest is.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n  ");
    format!("the end of {}:\n  {shown}", log.display())
}

/// Something that turns while a long step runs: on a terminal until dropped, elsewhere one line.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Shows that a step has begun.
    #[must_use]
    pub fn start(label: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            say(&format!("{label} …"));
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
            .expect("invariant: the template above is a valid one");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn ended_well(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{shown}` failed: {status}")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{quietly, run, tail};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_failure_names_the_command_and_shows_the_end_of_its_log() {
        let log = std::env::temp_dir().join(format!("xtask-process-{}.log", std::process::id()));
        let error = quietly(
            "trying",
            Command::new("sh").args(["-c", "echo broken pipe; exit 3"]),
            &log,
            Duration::from_secs(60),
        )
        .expect_err("the command fails");
        let text = format!("{error:#}");
        assert!(text.contains("broken pipe") && text.contains("exit status: 3") && text.contains("sh -c"), "{text}");
        assert!(tail(&log).contains(&log.display().to_string()));
        std::fs::remove_file(&log).expect("the log was written");
    }

    #[test]
    fn a_step_that_hangs_is_ended() {
        let log = std::env::temp_dir().join(format!("xtask-hang-{}.log", std::process::id()));
        let error = quietly("hanging", Command::new("cat").arg("/dev/zero"), &log, Duration::ZERO)
            .expect_err("the command never ends");
        assert!(format!("{error:#}").contains("was ended after 0 s"), "{error:#}");
        std::fs::remove_file(&log).expect("the log was written");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-of-tillwatch")).expect_err("there is none");
        assert!(format!("{error:#}").contains("cannot start `no-such-program-of-tillwatch`"), "{error:#}");
    }
}
