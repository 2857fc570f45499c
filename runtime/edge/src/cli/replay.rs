//! `tillwatch replay`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use tillwatch_core::{cloudevents::encode_line, output::rfc3339, stage::Stage};
use tillwatch_host::Host;

use super::{ConfigFile, Exit, say};
use crate::{
    clock::parse_rfc3339,
    config::{Environment, Level, Telemetry},
    replay::{Options, ReplayError, Second, Summary, Until, replay_both},
    rules, telemetry, wiring,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tillwatch replay events.jsonl
  tillwatch export --from 2026-11-22T09:00:00Z --to 2026-11-22T10:00:00Z | tillwatch replay --until end -
  tillwatch replay --config tillwatch.toml --until 2026-11-22T09:31:00Z events.jsonl > outputs.jsonl

Input: structured CloudEvents in JSON, one a line; `ingesttime` drives the clock. Output: what a deployment would have written, one JSON
object a line with `topic`, in commit order. Progress and a summary go to standard error.
Exit codes: 0, 2 bad usage, configuration or components, 3 some lines could not be read (they are in the output as dead letters), 1 anything else.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Where it ends: an RFC 3339 time, `end` (with the last record) or `drain` (one hour after it)
    #[arg(long, default_value = "drain", value_parser = until)]
    until: Until,
    /// Records of one step; the results do not depend on it
    #[arg(long, default_value = "1024", value_name = "RECORDS")]
    batch: NonZeroUsize,
    /// Events, one JSON object a line; `-` is standard input
    events: PathBuf,
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "end" => Ok(Until::End),
        "drain" => Ok(Until::Drain),
        time => parse_rfc3339(time).map(Until::At).map_err(|error| format!("{error}; or `end`, or `drain`")),
    }
}

pub(super) fn main(args: &Args, environment: &Environment) -> Result<(), Exit> {
    let config = args.config.load(environment)?;
    telemetry::start(&Telemetry { level: Level::Warn, ..config.telemetry.clone() });
    let loaded = rules::load(&config, environment).map_err(Exit::usage)?;
    let of = |stage| rules::of_stage(&loaded, stage);
    let mut host = Host::new(&of(Stage::First)).map_err(Exit::usage)?;
    let (later, later_settings) = (of(Stage::Second), wiring::settings_of(&config, Stage::Second));
    let mut later_host = Host::new(&later).map_err(Exit::usage)?;
    let progress = progress();
    let input = open(&args.events, &progress)?;
    let options = Options { until: args.until, batch: args.batch.get(), ..Options::default() };
    let settings = wiring::settings(&config);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let second = (!later.is_empty()).then_some(Second { settings: &later_settings, rules: &mut later_host });
    let replayed = replay_both(input, &settings, &mut host, second, &options, &mut |output| {
        writeln!(out, "{}", encode_line(output, config.topics.name(output.data.topic())))
    });
    let replayed = replayed.and_then(|summary| out.flush().map(|()| summary).map_err(ReplayError::Output));
    progress.finish_and_clear();
    match replayed {
        Ok(summary) => {
            say(report(&summary));
            if summary.unreadable > 0 { Err(Exit::silent(3)) } else { Ok(()) }
        }
        Err(ReplayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::silent(0)),
        Err(error) => Err(Exit::failed(error)),
    }
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("replay {bytes} of {total_bytes} {bytes_per_sec} {wide_bar}");
    ProgressBar::new(0).with_style(style.expect("invariant: the template is legal"))
}

fn open(path: &Path, progress: &ProgressBar) -> Result<Box<dyn BufRead>, Exit> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, progress.wrap_read(io::stdin()))));
    }
    let refused = |error: io::Error| Exit::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    if metadata.is_dir() {
        return Err(Exit::usage(format!("{} is a folder. Name a file of events", path.display())));
    }
    progress.set_length(metadata.len());
    Ok(Box::new(BufReader::with_capacity(1 << 16, progress.wrap_read(file))))
}

fn report(summary: &Summary) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{} records", summary.lines);
    if let (Some(first), Some(last)) = (summary.first, summary.last) {
        write!(text, " from {}, time ran until {}", rfc3339(first), rfc3339(last))
            .expect("invariant: a text takes text");
    }
    if summary.unreadable > 0 {
        write!(text, "; {} could not be read", summary.unreadable).expect("invariant: a text takes text");
    }
    for (name, counts) in [("findings raised", &summary.findings), ("commands", &summary.commands)] {
        let total: u64 = counts.values().sum();
        let each: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let each = if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) };
        write!(text, "\n{total} {name}{each}").expect("invariant: a text takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_time_or_a_word() {
        assert_eq!(until("end"), Ok(Until::End));
        assert_eq!(until("drain"), Ok(Until::Drain));
        assert_eq!(until("1970-01-01T00:00:01Z"), Ok(Until::At(1_000)));
        assert!(until("later").is_err_and(|error| error.contains("RFC 3339")));
    }
}
