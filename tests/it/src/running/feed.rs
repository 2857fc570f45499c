//! A simulated fleet's day, run at a multiple of its speed.
//!
//! Every instant of the simulator's lines is moved to now and drawn together by [`SPEED`], and so are the windows, so that minutes of
//! payments and of waiting take seconds and mean the same.

use serde_json::Value;
use tillwatch_core::output::rfc3339;

use super::process;

/// How much faster than the simulated clock time goes.
pub const SPEED: i64 = 20;

/// The simulated time that the feed covers, ms: six minutes.
const LENGTH_MS: i64 = 360_000;

/// The windows of `docs/spec/payment.md`, drawn together like the time.
pub const WINDOWS: &str = "\
[rules.correlate-payment.settings.defaults]
response_ms = 3250
terminal_ms = 3000
delivery_ms = 250
display_ms = 250
print_ms = 500
reversal_ms = 1500
reversal_answer_ms = 1500
sync_ms = 3000
slow_ms = 750
late_grace_ms = 250
";

/// One event to send.
pub struct Send {
    /// ms after the beginning.
    pub after: i64,
    /// The terminal.
    pub key: String,
    event: Value,
}

impl Send {
    /// As it is sent where the beginning was at `start`.
    #[must_use]
    pub fn text(&self, start: i64) -> String {
        let mut event = self.event.clone();
        let time = event["time"].as_i64().expect("the feed holds it as a number");
        event["time"] = rfc3339(start + time).into();
        event.to_string()
    }
}

/// The time now, ms since 1970.
#[allow(clippy::disallowed_methods, reason = "a broker's clock is the wall clock, and these events go to one")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("it is before the year 292 million")
}

/// An instant as JSON has it, ms since 1970.
#[must_use]
pub fn instant(text: &Value) -> i64 {
    let text = text.as_str().expect("an instant is a text");
    text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
}

/// Some thousand events of a fleet with many faults.
pub fn feed(seed: u64) -> Vec<Send> {
    let arguments = "simulate --faults demo --terminals 20 --payments-per-hour 500 --duration 5m --start 2026-01-05T04:00:00Z --seed";
    let lines = process::of(arguments.split(' ').chain([seed.to_string().as_str()])).good();
    let lines: Vec<Value> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a JSON object a line"))
        .collect();
    let start = instant(&lines[0]["ingesttime"]);
    let scaled = |text: &Value| (instant(text) - start) / SPEED;
    let sends = lines.into_iter().map(|mut event| {
        let after = scaled(&event["ingesttime"]);
        event["time"] = scaled(&event["time"]).into();
        event.as_object_mut().expect("an object").remove("ingesttime");
        Send { after, key: event["partitionkey"].as_str().expect("a text").to_owned(), event }
    });
    sends.filter(|send| send.after < LENGTH_MS / SPEED).collect()
}

/// A payment that is approved, and then nothing: what the terminal is told and what follows never comes.
pub fn silent(terminal: &str, at: i64) -> [String; 2] {
    let subject = subject(terminal);
    let event = |name: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{terminal}-{name}","source":"/test/{terminal}","type":"pos.payment.{name}","subject":"{subject}","time":"{}","partitionkey":"{terminal}","datacontenttype":"application/json","data":{{"site":"S9","terminal":"{terminal}","merchant":"M9","acquirer":"A01",{data}}}}}"#,
            rfc3339(at)
        )
    };
    [
        event("authorize", r#""rail":"card","amount":100,"currency":"CNY","stan":"000001","batch":"000001""#),
        event("response", r#""rail":"card","leg":"host","outcome":"approved","code":"00","rrn":"1","auth_code":"1""#),
    ]
}

/// The transaction of [`silent`].
pub fn subject(terminal: &str) -> String {
    format!("A01:M9:{terminal}:000001:000001")
}
