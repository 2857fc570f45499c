//! The command line: one subcommand a file.
//!
//! Owns arguments, exit codes and what people read on standard output and error. What the subcommands do is elsewhere in the library.

mod check;
mod completions;
mod demo;
mod doctor;
mod export;
mod replay;
mod run;
mod simulate;
mod topics;

use std::{fmt, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config, Environment};

const EXIT_CODES: &str = "Exit codes:
  0  it did what it was asked to
  1  it failed while at it, or found something wrong (doctor, topics)
  2  bad usage, configuration or components; run: also topics that are missing or do not fit each other
  3  replay: the input had lines that could not be read; they are in the output as dead letters

Documentation: docs/runbook.md has a heading for every code that messages begin with.";

/// Watches tills: finds payments that succeeded while the terminal stayed silent, says why, and sends the one command that is safe.
#[derive(Debug, Parser)]
#[command(name = "tillwatch", version, about, after_help = EXIT_CODES, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work: read events, find what is wrong, send commands, until SIGTERM
    Run(run::Args),
    /// Run the whole engine over a file of events, on a virtual clock
    Replay(replay::Args),
    /// See it work: a small fleet of simulated terminals with a few faults, in real time
    Demo(demo::Args),
    /// Make the events of a simulated fleet, as JSON lines or to Kafka
    Simulate(simulate::Args),
    /// Write a topic's records as JSON lines that `replay` reads
    Export(export::Args),
    /// Create or check the topics in Kafka
    Topics(topics::Args),
    /// See what is wrong with the configuration, the broker, the topics, the components or the clock, and what to do
    Doctor(doctor::Args),
    /// Check a configuration, or print every key with its default
    Config(check::Args),
    /// Print a shell's completion script
    Completions(completions::Args),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file; without it the defaults count. TILLWATCH_<SECTION>__<KEY> overrides a key
    #[arg(long, short, value_name = "FILE", env = "TILLWATCH_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self, environment: &Environment) -> Result<Config, Exit> {
        config::load(self.config.as_deref(), environment).map_err(Exit::usage)
    }
}

/// How a subcommand ends when it does not end well.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    fn failed(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// The message has been given already.
    fn silent(code: u8) -> Self {
        Self { code, message: String::new() }
    }
}

/// Does what the arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = Environment::new(variables);
    let ended = match cli.command {
        Command::Run(args) => run::main(&args, &environment),
        Command::Replay(args) => replay::main(&args, &environment),
        Command::Demo(args) => demo::main(&args, &environment),
        Command::Simulate(args) => simulate::main(&args, &environment),
        Command::Export(args) => export::main(&args, &environment),
        Command::Topics(args) => topics::main(&args, &environment),
        Command::Doctor(args) => doctor::main(&args, &environment),
        Command::Config(args) => check::main(&args, &environment),
        Command::Completions(args) => completions::main(&args, &mut Cli::command()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if !exit.message.is_empty() {
                say(&exit.message);
            }
            ExitCode::from(exit.code)
        }
    }
}

/// A line on standard error; there is nobody to tell when that fails.
fn say(message: impl fmt::Display) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// Text on standard output. A reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Exit> {
    written(std::io::stdout().write_all(text.as_bytes()))
}

/// A write to standard output: a reader that has gone away ends the process without a complaint.
fn written(outcome: std::io::Result<()>) -> Result<(), Exit> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Exit::silent(0)),
        Err(error) => Err(Exit::failed(format!("cannot write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_examples_or_says_enough() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_after_help().is_some(), "{} has no examples", command.get_name());
        }
    }
}
