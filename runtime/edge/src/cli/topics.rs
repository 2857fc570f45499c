//! `tillwatch topics`.

use clap::Subcommand;
use tillwatch_core::stage::Stage;
use tillwatch_kafka::admin;

use super::{ConfigFile, Exit, print, say};
use crate::{
    config::{Config, Environment, LogKind},
    telemetry, wiring,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch topics create --config tillwatch.toml
  tillwatch topics check --config tillwatch.toml

Exit codes: 0 all is as it should be, 1 something is not, 2 bad usage or configuration.")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the topics that are missing; those that are there are checked and left as they are
    Create(ConfigFile),
    /// See whether every topic is there and as it must be
    Check(ConfigFile),
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let (Action::Create(file) | Action::Check(file)) = &args.action;
    let config = file.load(environment)?;
    telemetry::start(&config.telemetry);
    if config.log.kind != LogKind::Kafka {
        return Err(Exit::usage("log.kind is \"embedded\": the embedded log makes its topics by itself"));
    }
    match args.action {
        Action::Create(_) => create(&config),
        Action::Check(_) => {
            let [first, second] = clients(&config)?;
            let mut problems = admin::check(&first, None);
            problems.extend(
                admin::check(&second, None)
                    .into_iter()
                    .filter(|problem| !problems.contains(problem))
                    .collect::<Vec<_>>(),
            );
            judge(&problems)?;
            print("the topics are as they must be\n")
        }
    }
}

/// Of both stages: their topics differ by the changelog.
fn clients(config: &Config) -> Result<[tillwatch_kafka::Config; 2], Exit> {
    let of = |stage| wiring::kafka_of(config, stage, 0).map_err(Exit::usage);
    Ok([of(Stage::First)?, of(Stage::Second)?])
}

fn create(config: &Config) -> Result<(), Exit> {
    let mut created = Vec::new();
    for client in clients(config)? {
        match admin::create(&client, &wiring::wanted(config)) {
            Ok(names) => created.extend(names),
            Err(problems) => return judge(&problems),
        }
    }
    if created.is_empty() {
        return print("every topic was there\n");
    }
    created.iter().try_for_each(|topic| print(&format!("created {topic}\n")))
}

/// Says every problem; fails where one keeps Tillwatch from working.
fn judge(problems: &[admin::Problem]) -> Result<(), Exit> {
    for problem in problems {
        let weight = if problem.fatal() { "error" } else { "advice" };
        say(format!("{weight}: {}: {problem}", problem.code()));
    }
    if problems.iter().any(admin::Problem::fatal) { Err(Exit::silent(1)) } else { Ok(()) }
}
