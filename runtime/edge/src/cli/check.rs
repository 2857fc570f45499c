//! `tillwatch config`.

use super::{ConfigFile, Exit, print};
use crate::{
    config::{self, DEFAULTS, Environment},
    rules,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch config --defaults > tillwatch.toml
  tillwatch config --config tillwatch.toml
  tillwatch config --config tillwatch.toml --effective

It refuses what `run` and `replay` refuse before they begin: the components are loaded and take their settings. It opens no connection;
whether brokers, topics and addresses are there is for `tillwatch doctor`.
Exit codes: 0 the configuration can be used, 2 it cannot: every problem is named.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Print every key with its default and what it means
    #[arg(long, conflicts_with = "effective")]
    defaults: bool,
    /// Print every key as it counts: file, environment and defaults together
    #[arg(long)]
    effective: bool,
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    if args.defaults {
        return print(DEFAULTS);
    }
    let refused = |config: &_| rules::load(config, environment).map_or_else(|error| error.0, |_| Vec::new());
    let config = config::load_with(args.config.config.as_deref(), environment, refused).map_err(Exit::usage)?;
    if args.effective {
        let text = toml::to_string(&config).map_err(Exit::failed)?;
        return print(&text);
    }
    print("the configuration can be used\n")
}
