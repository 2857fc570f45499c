//! TLS, passwords and rights: all that Tillwatch does works with them, what is wrong names who must act, and no secret is ever printed.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tillwatch_fault::brokers::Brokers;
use tillwatch_it::running::deployment::Deployment;
use tillwatch_it::running::feed::{WINDOWS, now, silent, subject};
use tillwatch_it::running::process::{Ended, Member, run, tillwatch};
use xtask::kafka::{Access, GUEST, USER};

/// How long a member that is refused may take to say so.
const REFUSAL_MAX: Duration = Duration::from_secs(60);

/// As whom, how, with what, trusting whom.
#[derive(Clone, Copy)]
struct As<'a> {
    user: &'a str,
    mechanism: &'a str,
    password: &'a Path,
    ca: &'a Path,
}

impl As<'_> {
    /// Lines of `[kafka]`.
    fn lines(self, access: &Access) -> String {
        format!(
            "brokers = [\"{}\"]\nsecurity = \"sasl-ssl\"\nsasl_mechanism = \"{}\"\nusername = \"{}\"\npassword_file = \"{}\"\nca_file = \"{}\"\n\
             request_ms = 5000",
            access.bootstrap,
            self.mechanism,
            self.user,
            self.password.display(),
            self.ca.display()
        )
    }
}

/// Runs a command with everything logged that can be.
fn told(deployment: &Deployment, arguments: &[&str]) -> Ended {
    let mut command = tillwatch(arguments);
    command.arg("--config").arg(deployment.config()).env("TILLWATCH_TELEMETRY__LEVEL", "trace");
    run(command, b"")
}

/// What a member says that is refused at its start.
fn refused(deployment: &Deployment, code: i32) -> String {
    let mut command = tillwatch(["run", "--config"]);
    command.arg(deployment.config()).env("TILLWATCH_TELEMETRY__LEVEL", "trace");
    let (ended, text) = Member::start(command).ends(REFUSAL_MAX);
    assert_eq!(ended, Some(code), "{text}");
    text
}

#[test]
fn all_commands_work_with_tls_and_passwords_and_refusals_name_who_must_act_on_kafka() {
    let brokers = Brokers::secured();
    let access = brokers.cluster.access().expect("it was asked for");
    let mut deployment = Deployment::at(&brokers.cluster.bootstrap(), "secured");
    let good = As { user: USER, mechanism: "SCRAM-SHA-512", password: &access.password, ca: &access.ca };
    let mut printed = Vec::new();

    deployment.access(&good.lines(&access), WINDOWS);
    deployment.create();
    let member = deployment.member("a");
    deployment.read();
    for event in silent("T1", now()) {
        deployment.send(None, "T1", Some(event.as_bytes()));
    }
    deployment.flush();
    let raised = |output: &Value| output["subject"] == subject("T1").as_str();
    deployment.until("the finding", &mut Vec::new(), |said| said.iter().any(raised));
    member.stop();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        deployment.access(&As { mechanism, ..good }.lines(&access), WINDOWS);
        let doctor = told(&deployment, &["doctor"]);
        assert_eq!(doctor.code, Some(0), "{mechanism}: {}{}", doctor.text(), doctor.stderr);
        printed.push(doctor);
    }
    let export = told(&deployment, &["export"]);
    assert_eq!(export.code, Some(0), "{}", export.stderr);
    assert!(export.text().contains(&subject("T1")));
    printed.push(export);

    let strangers = [
        ("a certificate of another authority", As { ca: &access.other_ca, ..good }),
        ("another's password", As { password: &access.guest_password, ..good }),
    ];
    let mut texts = Vec::new();
    for (what, stranger) in strangers {
        deployment.access(&stranger.lines(&access), WINDOWS);
        for arguments in [&["topics", "check"][..], &["doctor"], &["export"]] {
            let ended = told(&deployment, arguments);
            assert_eq!(ended.code, Some(1), "{what}, {arguments:?}: {}", ended.stderr);
            let all = format!("{}{}", ended.text(), ended.stderr);
            assert!(all.contains("kafka-authentication"), "{what}, {arguments:?}: {all}");
            printed.push(ended);
        }
        let text = refused(&deployment, 2);
        assert!(text.contains("kafka-authentication") && text.contains("Check `security`"), "{what}: {text}");
        texts.push(text);
    }
    let guest = As { user: GUEST, password: &access.guest_password, ..good };
    deployment.access(&guest.lines(&access), WINDOWS);
    let check = told(&deployment, &["topics", "check"]);
    assert_eq!(check.code, Some(1), "{}", check.stderr);
    assert!(check.stderr.contains("kafka-authorization") && check.stderr.contains("rights"), "{}", check.stderr);
    printed.push(check);
    let text = refused(&deployment, 1);
    assert!(text.contains("kafka-authorization") && text.contains("docs/runbook.md"), "{text}");
    texts.push(text);

    let secrets = [&access.password, &access.guest_password].map(|file| std::fs::read_to_string(file).expect("text"));
    for text in texts.into_iter().chain(printed.into_iter().map(|ended| format!("{}{}", ended.text(), ended.stderr))) {
        for secret in &secrets {
            assert!(!text.contains(secret.trim()), "a secret was printed: {text}");
        }
    }
    brokers.remove();
}
