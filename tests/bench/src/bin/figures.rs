//! Every figure in one table: runs the other programs of this crate one after another and gathers what they tell. `cargo xtask bench` builds and
//! provides what they need, and runs this.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tillwatch_bench::{
    figure::{Figure, put},
    machine::{self, binary, now},
    process::run,
};
use xtask::process::{last_words, print, say};

/// A family of figures: a program of this crate. In this order.
const FAMILIES: [&str; 9] =
    ["engine", "decode", "memory", "incidents", "peers", "kafka", "latency", "recovery", "start"];

#[derive(Parser)]
struct Options {
    /// One family alone
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(FAMILIES))]
    only: Option<String>,
    /// Write the figures to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into this Markdown file, between its marks; may be given again
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    into: Vec<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let began = now();
    let about = about()?;
    about.iter().for_each(|line| print(line));
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for family in FAMILIES.into_iter().filter(|family| options.only.as_deref().is_none_or(|only| only == *family)) {
        print(&format!("\n{family}"));
        if let Err(error) = measure(family, &mut figures) {
            print(&format!("FAILED: {error:#}"));
            failed.push(row_of_failed(family, &error));
        }
    }
    let missed = figures.iter().filter(|figure| !figure.reached()).count();
    let seconds = began.elapsed().as_secs();
    print(&format!(
        "\n{} figures in {seconds} s, {missed} not reached, {} families failed",
        figures.len(),
        failed.len()
    ));
    if let Some(path) = &options.json {
        let lines: Vec<String> = figures.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        std::fs::write(path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    for path in &options.into {
        let head = ["```text", &about.join("\n"), "```", "", "| | | | |", "|---|---:|---:|---|"].map(str::to_owned);
        let lines: Vec<String> =
            head.into_iter().chain(figures.iter().map(Figure::row)).chain(failed.iter().cloned()).collect();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = put(&text, &lines).with_context(|| path.display().to_string())?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("the table stands in {}", path.display()));
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What stands in the table for a family that did not come to its end: what it told before stands there too.
fn row_of_failed(family: &str, error: &anyhow::Error) -> String {
    let reason = format!("{error:#}").replace(['|', '\n'], " ");
    format!("| `{family}` | did not end: {reason} | | ✗ |")
}

/// Runs a family's program; what it tells is shown as it comes.
fn measure(family: &str, figures: &mut Vec<Figure>) -> Result<()> {
    let program = std::env::current_exe()?.with_file_name(family);
    let mut command = Command::new(&program);
    command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| family.to_owned())?;
    let stdout = child.stdout.take().expect("invariant: standard output is piped");
    let stderr = child.stderr.take().expect("invariant: standard error is piped");
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            say(&line);
            said.push(line);
        }
        said
    });
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        let figure: Figure = serde_json::from_str(&line).with_context(|| format!("{family} told {line:?}"))?;
        print(&figure.line());
        figures.push(figure);
    }
    let status = child.wait()?;
    let said = said.join().expect("invariant: reading lines does not panic");
    ensure!(status.success(), "{}", reason(&said).unwrap_or_else(|| status.to_string()));
    Ok(())
}

/// The last words of a program, in one line.
fn reason(said: &[String]) -> Option<String> {
    Some(last_words(&said.join("\n")).join(" ")).filter(|words| !words.is_empty())
}

/// Where and of what: the machine, its load, and the versions of what is compared.
fn about() -> Result<Vec<String>> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let tillwatch = run(Command::new(binary()).arg("--version"))?;
    let rust = run(Command::new("rustc").arg("--version"))?;
    let java = run(Command::new("java").arg("--version"))?;
    let java = java.lines().next().unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(vec![
        format!("{}; load before {load}", machine::name()),
        format!("{}, {}, {java}, Apache Kafka 4.4.0, Flink 2.3.0, Kafka Streams 4.4.0", tillwatch.trim(), rust.trim()),
    ])
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::{FAMILIES, reason, row_of_failed};

    #[test]
    fn a_program_says_why_it_ended() {
        let said = ["starts", "Error: 4 payments not found", "", "Stack backtrace:", "   0: x"].map(str::to_owned);
        assert_eq!(reason(&said).expect("it says why"), "Error: 4 payments not found");
        let panic = ["thread 'main' panicked at x.rs:1:1:", "no room", "stack backtrace:"].map(str::to_owned);
        assert_eq!(reason(&panic).expect("it says why"), "thread 'main' panicked at x.rs:1:1: no room");
        assert_eq!(reason(&said[..1]), None);
    }

    #[test]
    fn a_family_that_failed_is_a_row_of_the_table() {
        let row = row_of_failed("kafka", &anyhow::anyhow!("a\nb | c"));
        assert_eq!(row, "| `kafka` | did not end: a b   c | | ✗ |");
    }

    #[test]
    fn every_program_of_figures_is_a_family() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        let names = entries.map(|entry| entry.expect("can be read").path());
        let names: BTreeSet<_> =
            names.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
        // These tell no figure: one is for profilers, the other gathers.
        let others = ["core", "figures"];
        let expected = FAMILIES.iter().chain(&others).map(|name| (*name).to_owned()).collect();
        assert_eq!(names, expected);
    }
}
