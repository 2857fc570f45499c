//! What people see of the demonstration: a line a finding, incident or command, and the summary at the end. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use tillwatch_core::{Instant, output::rfc3339};

use crate::{clock::parse_rfc3339, feedback::Seen};

/// Which texts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
    /// One under the other.
    Both,
}

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Which texts.
    pub language: Language,
    /// Whether the reader shows colours.
    pub colour: bool,
}

impl View {
    /// What is about to happen.
    #[must_use]
    pub fn welcome(&self, terminals: u32, seconds: u32) -> String {
        match self.language {
            Language::Zh => format!("{terminals} 台模拟终端，实时运行 {seconds} 秒，其中少数会出故障。\n\n"),
            _ => format!("{terminals} simulated terminals for {seconds} s, in real time; a few will fail.\n\n"),
        }
    }

    /// One output as a line.
    #[must_use]
    pub fn line(&self, seen: &Seen, now: Instant) -> String {
        let (word, chinese, colour) = match seen.event_type.as_str() {
            "pos.finding.raised" => ("FOUND", "发现", AnsiColor::Red),
            "pos.finding.updated" => ("CAUSE", "原因", AnsiColor::Yellow),
            "pos.finding.cleared" => ("MENDED", "已恢复", AnsiColor::Green),
            "pos.incident.opened" => ("INCIDENT", "事件", AnsiColor::Magenta),
            "pos.incident.updated" => ("INCIDENT", "事件更新", AnsiColor::Magenta),
            "pos.incident.resolved" => ("OVER", "事件结束", AnsiColor::Green),
            "pos.command" => ("COMMAND", "指令", AnsiColor::Cyan),
            _ => ("CANCELLED", "取消", AnsiColor::BrightBlack),
        };
        let style = if self.colour { Style::new().fg_color(Some(colour.into())).bold() } else { Style::new() };
        let word = if self.language == Language::Zh { chinese } else { word };
        let time = rfc3339(now);
        let time = time.get(11..23).unwrap_or(&time);
        format!("{time}  {style}{word:<9}{style:#}  {}\n", self.says(seen))
    }

    fn says(&self, seen: &Seen) -> String {
        let kind = seen.text("/kind");
        let place = place(seen);
        match seen.event_type.as_str() {
            "pos.finding.raised" => format!("{place}  {kind}: {}", self.text(seen)),
            "pos.finding.updated" => {
                let confidence = seen.data.get("confidence").and_then(Value::as_f64).unwrap_or(0.0);
                format!("{place}  {kind}: {} ({confidence:.2})", seen.text("/cause"))
            }
            "pos.finding.cleared" => {
                let after = seen.data.get("after_ms").and_then(Value::as_i64).unwrap_or(0);
                format!("{place}  {kind}: {}, {} s", seen.text("/resolution"), seconds(after))
            }
            event if event.starts_with("pos.incident.") => {
                let confidence = seen.data.get("confidence").and_then(Value::as_f64).unwrap_or(0.0);
                format!("{place}  {}: {} ({confidence:.2})", seen.text("/cause"), self.text(seen))
            }
            "pos.command" => format!("{place}  {kind} -> {}", seen.text("/target")),
            _ => format!("{place}  {kind}: {}", seen.text("/reason")),
        }
    }

    fn text(&self, seen: &Seen) -> String {
        match self.language {
            Language::En => seen.text("/text/en").to_owned(),
            Language::Zh => seen.text("/text/zh").to_owned(),
            Language::Both => format!("{} / {}", seen.text("/text/en"), seen.text("/text/zh")),
        }
    }
}

/// The terminal and the number of a payment, from its transaction key; else the scope or the command's id.
fn place(seen: &Seen) -> String {
    let txn = seen.text("/txn");
    let parts: Vec<&str> = txn.split(':').collect();
    match parts.as_slice() {
        [_, _, terminal, _, stan] => format!("{terminal}/{stan}"),
        [_, _, order] => (*order).to_owned(),
        _ if !seen.text("/scope").is_empty() => seen.text("/scope").to_owned(),
        _ => seen.text("/command").to_owned(),
    }
}

fn seconds(ms: Instant) -> String {
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    payments: BTreeSet<String>,
    found: BTreeSet<String>,
    mended: BTreeSet<String>,
    raised: BTreeMap<String, Instant>,
    to_find: Vec<Instant>,
    to_mend: Vec<Instant>,
    commands: u64,
}

impl Tally {
    /// A line that the fleet has sent.
    pub fn sent(&mut self, line: &str) {
        if !line.contains("pos.payment.authorize") {
            return;
        }
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        if event["type"] == "pos.payment.authorize"
            && let Some(subject) = event["subject"].as_str()
        {
            self.payments.insert(subject.to_owned());
        }
    }

    /// An output, read at `now`.
    pub fn take(&mut self, seen: &Seen, now: Instant) {
        let (txn, finding) = (seen.text("/txn").to_owned(), seen.text("/finding").to_owned());
        match seen.event_type.as_str() {
            "pos.finding.raised" if !txn.is_empty() => {
                if let Ok(deadline) = parse_rfc3339(seen.text("/deadline")) {
                    self.to_find.push(now - deadline);
                }
                self.raised.insert(finding, now);
                self.found.insert(txn);
            }
            "pos.finding.cleared" => {
                if let Some(raised) = self.raised.remove(&finding) {
                    self.to_mend.push(now - raised);
                    self.mended.insert(txn);
                }
            }
            "pos.command" => self.commands += 1,
            _ => {}
        }
    }

    /// All of it.
    #[must_use]
    pub fn summary(&self, view: &View) -> String {
        let (find, mend) = (median(&self.to_find), median(&self.to_mend));
        let (payments, found, mended) = (self.payments.len(), self.found.len(), self.mended.len());
        let commands = self.commands;
        let english = format!(
            "\n{payments} payments, {found} silent ones found, {mended} mended, {commands} commands\n\
             median time to find {find} (after the deadline), to mend {mend} (after it was found)\n"
        );
        let chinese = format!(
            "\n支付 {payments} 笔，发现静默 {found} 笔，恢复 {mended} 笔，指令 {commands} 条\n\
             发现用时中位数 {find}（截止时间之后），恢复用时中位数 {mend}（发现之后）\n"
        );
        match view.language {
            Language::En => english,
            Language::Zh => chinese,
            Language::Both => english + &chinese,
        }
    }
}

fn median(values: &[Instant]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or_else(|| "-".to_owned(), |value| format!("{} s", seconds(*value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(event_type: &str, data: Value) -> Seen {
        Seen { event_type: event_type.to_owned(), data }
    }

    #[test]
    fn a_payment_is_found_and_mended_once() {
        let mut tally = Tally::default();
        tally.sent(r#"{"type":"pos.payment.authorize","subject":"A:M:T1:1:7"}"#);
        tally.sent(r#"{"type":"pos.payment.authorize","subject":"A:M:T1:1:7"}"#);
        let raised = json!({"finding":"f","txn":"A:M:T1:1:7","deadline":"1970-01-01T00:00:01Z","kind":"not-printed"});
        tally.take(&seen("pos.finding.raised", raised.clone()), 1_600);
        tally.take(&seen("pos.command", json!({"kind":"reprint"})), 1_700);
        tally.take(&seen("pos.finding.cleared", raised), 4_700);
        let view = View { language: Language::En, colour: false };
        let text = tally.summary(&view);
        assert!(text.contains("1 payments, 1 silent ones found, 1 mended, 1 commands"), "{text}");
        assert!(text.contains("to find 0.6 s") && text.contains("to mend 3.1 s"), "{text}");
    }

    #[test]
    fn lines_say_where_and_what_without_colour_codes_for_a_file() {
        let view = View { language: Language::Both, colour: false };
        let data = json!({"kind":"not-printed","txn":"A:M:T1:1:7","text":{"en":"no receipt","zh":"没有小票"}});
        let line = view.line(&seen("pos.finding.raised", data), 0);
        assert_eq!(line, "00:00:00.000  FOUND      T1/7  not-printed: no receipt / 没有小票\n");
        let data =
            json!({"scope":"host:A01/H1","cause":"N4","confidence":0.81,"text":{"en":"9 stuck","zh":"9 笔受阻"}});
        let line = view.line(&seen("pos.incident.opened", data), 0);
        assert_eq!(line, "00:00:00.000  INCIDENT   host:A01/H1  N4: 9 stuck / 9 笔受阻 (0.81)\n");
    }
}
