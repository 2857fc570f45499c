//! One short line an output, as people write expectations.
//!
//! Owns the words: `+TIME raised KIND SCOPE deadline +T`, `+TIME updated KIND SCOPE cause CAUSE`, `+TIME cleared KIND SCOPE RESOLUTION after MS by ID`,
//! `+TIME sign CAUSE WHAT ABOUT COUNT/OF`, `+TIME census COUNT of TERMINAL`, `+TIME stuck KIND TXN cause CAUSE`, `+TIME ended KIND RESOLUTION`,
//! `+TIME notice ABOUT from +T until +T`, `+TIME incident-opened CAUSE SCOPE payments N findings N SEVERITY maintenance opened-as CAUSE inhibits N ended ENDS`
//! (`incident-updated` and `incident-resolved` alike),
//! `+TIME command KIND ATTEMPT/MAX TARGET until +T`, `+TIME cancelled KIND REASON by ID`, `+TIME dead CODE`. An expectation may leave words out, and may
//! give a range of times (`+100..+200`), where the specification spreads commands by a hash.

use serde_json::Value;
use tillwatch_core::Instant;

/// Reads RFC 3339 in UTC, as `replay` writes it.
#[must_use]
pub fn instant(text: &str) -> Option<Instant> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// An output in short.
///
/// # Panics
/// Where the line is no output.
#[must_use]
pub fn line(line: &str, start: Instant) -> String {
    let line: Value = serde_json::from_str(line).expect("an output is JSON");
    let data = &line["data"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let moment = |value: &Value| {
        value.as_str().and_then(instant).map_or_else(|| "-".to_owned(), |at| format!("+{}", at - start))
    };
    let finding = || format!("{} {}", text(&data["kind"]), text(&data["scope"]));
    let what = match line["type"].as_str().unwrap_or_default() {
        "pos.finding.raised" => format!(
            "raised {} deadline {} generation {} why {}",
            finding(),
            moment(&data["deadline"]),
            data["generation"],
            text(&data["details"]["why"])
        ),
        "pos.finding.updated" => format!("updated {} cause {}", finding(), text(&data["cause"])),
        "pos.finding.cleared" => format!(
            "cleared {} {} after {} by {}",
            finding(),
            text(&data["resolution"]),
            data["after_ms"],
            text(&data["cleared_by"])
        ),
        "pos.command" => format!(
            "command {} {}/{} {} until {} txn {}",
            text(&data["kind"]),
            data["attempt"],
            data["max_attempts"],
            text(&data["target"]),
            moment(&data["expires_at"]),
            text(&data["txn"])
        ),
        "pos.command.cancelled" => {
            format!("cancelled {} {} by {}", text(&data["kind"]), text(&data["reason"]), text(&data["cleared_by"]))
        }
        "pos.dead-letter" => format!("dead {} rule {}", text(&data["code"]), text(&data["rule"])),
        "pos.evidence.census" => format!("census {} of {}", data["payments"], text(&data["terminal"])),
        "pos.evidence.stuck" => {
            format!("stuck {} {} cause {}", text(&data["kind"]), text(&data["txn"]), text(&data["cause"]))
        }
        "pos.evidence.ended" => format!("ended {} {}", text(&data["kind"]), text(&data["resolution"])),
        "pos.evidence.sign" => format!(
            "sign {} {} {} {}/{}",
            text(&data["cause"]),
            text(&data["what"]),
            text(&data["about"]),
            data["count"],
            data["of"]
        ),
        "pos.evidence.notice" => {
            let from_to = |name: &str| data[name].as_i64().unwrap_or(0) - start;
            format!("notice {} from +{} until +{}", text(&data["about"]), from_to("from"), from_to("until"))
        }
        incident if incident.starts_with("pos.incident.") => format!(
            "{} {} {} payments {} findings {} {} {} opened-as {} inhibits {} ended {}",
            incident.replacen("pos.incident.", "incident-", 1),
            text(&data["cause"]),
            text(&data["scope"]),
            data["payments"],
            data["findings"],
            text(&data["severity"]),
            if data["maintenance"] == true { "maintenance" } else { "-" },
            text(&data["opened_as"]),
            data["inhibits"].as_array().map_or(0, Vec::len),
            data["report"]["ended"]
        ),
        other => other.to_owned(),
    };
    format!("{} {what}", moment(&line["time"]))
}

/// Whether an output in short is what was expected: the time is the one or in the range, the words stand in it in this order, from the
/// first on.
#[must_use]
pub fn fits(expected: &str, got: &str) -> bool {
    let (mut expected, mut got) = (expected.split_whitespace(), got.split_whitespace());
    let number = |text: &str| text.trim_start_matches('+').parse::<i64>().ok();
    let (Some(when), Some(time)) = (expected.next(), got.next().and_then(number)) else { return false };
    let in_time = match when.split_once("..") {
        None => number(when) == Some(time),
        Some((from, until)) => {
            number(from).zip(number(until)).is_some_and(|(from, until)| (from..=until).contains(&time))
        }
    };
    in_time && expected.next() == got.next() && expected.all(|word| got.any(|candidate| candidate == word))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn an_expectation_names_time_and_words_in_their_order() {
        let got = "+5000 cleared no-answer payment:A mended after 12 by e1";
        for fitting in
            ["+5000 cleared no-answer", "+4000..+5000 cleared mended after 12", "+5000 cleared no-answer by e1"]
        {
            assert!(fits(fitting, got), "{fitting}");
        }
        for other in
            ["+5001 cleared no-answer", "+5001..+6000 cleared", "+5000 no-answer", "+5000 cleared mended no-answer", ""]
        {
            assert!(!fits(other, got), "{other}");
        }
    }
}
