//! The command line as people and scripts meet it: exit codes, messages, `--help`, and nothing on standard output that is no result.

use serde_json::Value;

use tillwatch_it::running::deployment::{Deployment, PARTITIONS};
use tillwatch_it::running::process::{Ended, of, run, tillwatch};
use tillwatch_it::running::verdict::lines;

/// What cannot be an address of a broker: the port is reserved, and nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

fn refused(ended: &Ended, code: i32, told: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "standard output is for results alone: {:?}", ended.text());
    for told in told {
        assert!(ended.stderr.contains(told), "{told:?} is not in:\n{}", ended.stderr);
    }
}

/// Runs with a configuration of this text.
fn with(text: &str, arguments: &[&str], input: &[u8]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("tillwatch.toml");
    std::fs::write(&file, text.replace("HERE", &folder.path().display().to_string())).expect("it can be written");
    std::fs::write(folder.path().join("garbage.wasm"), b"no component").expect("it can be written");
    std::fs::write(folder.path().join("empty.wasm"), b"\0asm\x0d\0\x01\0").expect("it can be written");
    let mut command = tillwatch(arguments);
    command.arg("--config").arg(file);
    run(command, input)
}

fn events() -> Vec<u8> {
    of("simulate --seed 9 --faults demo --duration 3m --terminals 5 --payments-per-hour 300".split(' ')).good()
}

fn replayed(until: &str, events: &[u8]) -> Vec<u8> {
    run(tillwatch(["replay", "--until", until, "-"]), events).good()
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let text = "[kafka]\nbrokers = 3\nbrockers = []\n[engine]\nlateness_ms = \"soon\"\n[commit]\nevery_ms = 0\n";
    for arguments in [["run"], ["config"], ["export"], ["simulate"]] {
        let told =
            ["kafka.brokers: ", "kafka.brockers: ", "engine.lateness_ms: ", "commit.every_ms: 0 is out of range"];
        refused(&with(text, &arguments, b""), 2, &told);
    }
    refused(&of(["run", "--config", "/nowhere/t.toml"]), 2, &["/nowhere/t.toml", "Name another file with --config"]);
}

#[test]
fn a_component_that_is_none_is_named_with_what_to_do() {
    let rule = |file: &str| format!("[rules.mine]\npath = \"HERE/{file}\"\n");
    let garbage = with(&rule("garbage.wasm"), &["replay", "-"], b"");
    refused(&garbage, 2, &["rules.mine", "garbage.wasm", "not a WebAssembly component", "build it for wasm32-wasip2"]);
    let empty = with(&rule("empty.wasm"), &["replay", "-"], b"");
    refused(&empty, 2, &["rules.mine", "empty.wasm", "not a rule of tillwatch:rule@", "build it with the SDK"]);
    let absent = with(&rule("absent.wasm"), &["replay", "-"], b"");
    refused(&absent, 2, &["rules.mine.path", "absent.wasm", "Name a file that can be read"]);
}

#[test]
fn a_rules_setting_that_is_wrong_is_named_with_its_path() {
    let text = "[rules.correlate-payment.settings.defaults]\nprint_mss = 3\n";
    let told = ["rules.correlate-payment", "`defaults.print_mss`", "expected one of `response_ms`"];
    for arguments in [["replay", "-"].as_slice(), &["config"], &["config", "--effective"], &["run"]] {
        refused(&with(text, arguments, b""), 2, &told);
    }
}

#[test]
fn a_configuration_is_checked_with_its_rules_and_all_at_once() {
    let text = "[rules.correlate-payment.settings.defaults]\nprint_mss = 3\n[rules.mine]\npath = \"HERE/garbage.wasm\"\n\
                [commit]\nevery_ms = 0\n[kafka.properties]\n\"enable.idempotence\" = \"false\"\n";
    let told = [
        "commit.every_ms: 0 is out of range",
        "kafka.properties: librdkafka property enable.idempotence may not be set",
        "rules.correlate-payment.settings: ",
        "`defaults.print_mss`",
        "rules.mine.path: ",
        "not a WebAssembly component",
    ];
    refused(&with(text, &["config"], b""), 2, &told);
    assert_eq!(with("", &["config"], b"").good(), b"the configuration can be used\n");
}

#[test]
fn a_broker_out_of_reach_is_named() {
    let text = format!("[kafka]\nbrokers = [\"{NOWHERE}\"]\nrequest_ms = 1000\n");
    let told = ["broker-unreachable", NOWHERE, "Check that the brokers run"];
    refused(&with(&text, &["topics", "check"], b""), 1, &told);
    let doctor = with(&text, &["doctor"], b"");
    assert_eq!(doctor.code, Some(1), "{}", doctor.stderr);
    let line = doctor.text().lines().find(|line| line.contains("broker-unreachable")).expect("it finds that");
    assert!(line.contains(NOWHERE), "{line}");
}

#[test]
fn topics_that_are_missing_are_named_on_kafka() {
    let deployment = Deployment::named("topics");
    let config = deployment.config();
    let topics = |verb: &str| {
        let mut command = tillwatch(["topics", verb, "--config"]);
        command.arg(&config);
        run(command, b"")
    };
    let missing = topics("check");
    let named: Vec<String> =
        ["pos.events", "changelog", "changelog.second", "pos.findings", "pos.commands", "pos.dead-letters"]
            .map(|name| deployment.topic(name))
            .to_vec();
    let told: Vec<&str> =
        named.iter().map(String::as_str).chain(["topic-missing", "`tillwatch topics create`"]).collect();
    refused(&missing, 1, &told);
    let mut command = tillwatch(["run", "--config"]);
    command.arg(&config);
    refused(&run(command, b""), 2, &["topic-missing", "`tillwatch topics create`"]);

    let created = topics("create");
    assert_eq!((created.code, created.text().lines().count()), (Some(0), 9), "{}", created.stderr);
    assert_eq!(topics("create").good(), b"every topic was there\n");
    assert_eq!(topics("check").good(), b"the topics are as they must be\n");
}

#[test]
fn a_changelog_that_is_cut_otherwise_is_named_on_kafka() {
    let deployment = Deployment::named("cut");
    deployment.make("changelog", PARTITIONS - 1);
    let changelog = deployment.topic("changelog");
    let counts = format!("{changelog} has 2 partitions and must have 3");
    let made = run(deployment_command(&deployment, &["topics", "create"]), b"");
    assert_eq!(made.code, Some(1), "{}", made.stderr);
    for (arguments, code) in [(["topics", "check"].as_slice(), 1), (&["run"], 2)] {
        let ended = run(deployment_command(&deployment, arguments), b"");
        refused(&ended, code, &["topic-partitions", &counts, "create it anew"]);
    }
}

fn deployment_command(deployment: &Deployment, arguments: &[&str]) -> std::process::Command {
    let mut command = tillwatch(arguments);
    command.arg("--config").arg(deployment.config());
    command
}

#[test]
fn exit_codes_are_those_of_the_help() {
    for code in ["  0  ", "  1  ", "  2  ", "  3  "] {
        assert!(of(["--help"]).text().contains(code));
    }
    refused(&of(["bogus"]), 2, &["bogus", "--help"]);
    refused(&of(["replay", "--until", "later", "-"]), 2, &["later", "RFC 3339", "`drain`"]);
    refused(&of(["replay", "/nowhere/events.jsonl"]), 2, &["/nowhere/events.jsonl"]);
    refused(&of(["simulate", "--fault", "dragon=0.1"]), 2, &["dragon", "jam"]);
    assert_eq!(run(tillwatch(["replay", "-"]), b"rubbish\n").code, Some(3));
    assert_eq!(of(["--version"]).code, Some(0));
}

#[test]
fn every_help_shows_an_example() {
    let help = of(["--help"]);
    let commands: Vec<&str> = help
        .text()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        let help = of([command, "--help"]);
        assert_eq!(help.code, Some(0));
        let (_, examples) =
            help.text().split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples"));
        assert!(examples.contains(&format!("tillwatch {command}")), "{command}:\n{examples}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = of(["completions", shell]);
        assert!(script.text().contains("tillwatch") && script.text().contains("replay"), "{shell}");
        assert_eq!(script.code, Some(0));
    }
}

#[test]
fn a_replay_needs_no_configuration_and_says_the_same_bytes_each_time() {
    let events = events();
    let first = replayed("drain", &events);
    assert!(lines(&first).all(|line| line["topic"].is_string()), "only outputs are on standard output");
    assert!(lines(&first).count() > 20);
    assert_eq!(replayed("drain", &events), first);
    let batches = run(tillwatch(["replay", "--batch", "1", "-"]), &events).good();
    assert_eq!(batches, first);
}

#[test]
fn a_replay_ends_where_it_is_told_to() {
    let events = events();
    let last = lines(&events).last().expect("there are events")["ingesttime"].as_str().expect("a text").to_owned();
    let drained = replayed("drain", &events);
    let ended = replayed("end", &events);
    let at_the_last = replayed(&last, &events);
    assert!(drained.starts_with(&ended) && drained.len() > ended.len(), "`end` is a beginning of `drain`");
    assert_eq!(at_the_last, ended);
    let middle = "2026-01-05T00:02:00Z";
    let half = replayed(middle, &events);
    assert!(drained.starts_with(&half) && !half.is_empty() && half.len() < ended.len());
    let time = |line: Value| line["time"].as_str().expect("a text").to_owned();
    assert!(lines(&half).map(time).all(|time| time.as_str() <= middle), "nothing is said of later");
}
