//! `cargo xtask`: the workspace's own tool. See `cargo xtask --help`.
//!
//! Owns the command line; everything it does is in the library.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xtask::process::say;
use xtask::wasm::Choice;
use xtask::workspace::Workspace;
use xtask::{components, system};

/// Builds, tests and tries Tillwatch on a machine that has nothing but Rust.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the workspace needs beside Rust: a C compiler, OpenSSL, zlib
    Provision,
    /// Build the WebAssembly components into target/components
    #[command(after_help = "Examples:\n  cargo xtask components\n  cargo xtask components --only correlate-payment")]
    Components {
        /// Build this one alone
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// The compiler to use
        #[arg(long, value_enum, default_value_t = Choice::Auto)]
        toolchain: Choice,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Provision => system::provision_build(&workspace.logs()),
        Task::Components { only, toolchain } => {
            components::report(&components::build(&workspace, only.as_deref(), toolchain)?);
            Ok(())
        }
    }
}
