//! `tillwatch completions`.

use clap_complete::Shell;

use super::{Exit, print};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch completions bash > /etc/bash_completion.d/tillwatch
  tillwatch completions zsh > ~/.zfunc/_tillwatch")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn main(args: &Args, command: &mut clap::Command) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "tillwatch", &mut script);
    print(&String::from_utf8(script).map_err(Exit::failed)?)
}
