//! Two members on a real Apache Kafka: silence, kill -9, SIGTERM, and every time the same set.

use serde_json::Value;

use tillwatch_it::running::deployment::Deployment;
use tillwatch_it::running::feed::{feed, now, silent, subject};
use tillwatch_it::running::process::{Member, run, tillwatch};
use tillwatch_it::running::verdict::{assert_plenty, once};

/// Sends a payment that falls silent, and waits for what is said of it.
fn one_silent(deployment: &Deployment, terminal: &str, said: &mut Vec<Value>) {
    for event in silent(terminal, now()) {
        deployment.send(Some(0), terminal, Some(event.as_bytes()));
    }
    deployment.flush();
    let what = format!("the finding about {terminal}");
    deployment.until(&what, said, |said| {
        let about = |output: &&Value| output["subject"] == subject(terminal).as_str();
        said.iter().filter(about).any(|output| output["data"]["kind"] == "reversal-missing")
    });
}

#[test]
fn where_the_input_may_not_be_written_to_silence_is_found_once_and_nothing_is_appended_on_kafka() {
    let deployment = Deployment::new("local");
    let local = [("TILLWATCH_KAFKA__LOCAL_TICKS", "true")];
    let mut said = Vec::new();
    let member = deployment.member_with("a", &local);
    one_silent(&deployment, "SILENT0", &mut said);
    member.kill();
    let member = deployment.member_with("a", &local);
    one_silent(&deployment, "SILENT1", &mut said);
    member.stop();
    // A third goes on from where the second has stopped, and has nothing to say again.
    let member = deployment.member_with("a", &local);
    one_silent(&deployment, "SILENT2", &mut said);
    member.stop();
    let raised: Vec<_> = said.iter().filter(|output| output["type"] == "pos.finding.raised").cloned().collect();
    for terminal in ["SILENT0", "SILENT1", "SILENT2"] {
        let of = |kind: &str| {
            let about =
                |output: &&Value| output["subject"] == subject(terminal).as_str() && output["data"]["kind"] == kind;
            raised.iter().filter(about).count()
        };
        assert_eq!((of("approved-undelivered"), of("reversal-missing")), (1, 1), "{terminal}");
    }
    once(said);
    assert_eq!(deployment.records(), 6, "two events of each payment, and no tick");
    let mut doctor = tillwatch(["doctor", "--config"]);
    doctor.arg(deployment.config()).envs(local);
    let told = run(doctor, b"");
    assert!(told.text().contains("advice  clock: kafka.local_ticks is set"), "{}", told.text());
}

/// What readers saw is what the log's export replays to, and nothing of it is a dead letter.
fn judge(deployment: &Deployment, said: Vec<Value>) {
    let dead = deployment.topic("pos.dead-letters");
    assert_eq!(said.iter().find(|output| output["topic"] == dead.as_str()), None, "nothing was wrong with the events");
    assert_plenty(&deployment.judge(said));
}

#[test]
fn silence_is_found_and_a_replay_of_the_export_says_the_same_on_kafka() {
    let deployment = Deployment::new("silence");
    let members = [deployment.member("a"), deployment.member("b")];
    let mut said = Vec::new();
    deployment.play(&feed(1), &mut said, |_| {});
    deployment.fall_silent(&mut said);
    judge(&deployment, said);
    members.into_iter().for_each(|member| member.stop());
}

#[test]
fn a_member_that_is_killed_or_stopped_loses_nothing_on_kafka() {
    let deployment = Deployment::new("killed");
    let (mut a, mut b) = (Some(deployment.member("a")), Some(deployment.member("b")));
    let feed = feed(2);
    let mut said = Vec::new();
    deployment.play(&feed, &mut said, |index| match index * 8 / feed.len() {
        2 => a.take().into_iter().for_each(Member::kill),
        3 if a.is_none() => a = Some(deployment.member("a")),
        5 => b.take().into_iter().for_each(Member::stop),
        6 if b.is_none() => b = Some(deployment.member("b")),
        _ => {}
    });
    deployment.fall_silent(&mut said);
    judge(&deployment, said);
    [a, b].into_iter().flatten().for_each(Member::stop);
}
