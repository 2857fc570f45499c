//! What people read of an incident: its text, and the report at its end, in English and Chinese.

use tillwatch_sdk::{Instant, Report, cause};

use crate::state::{Open, word_of};

/// What an incident is about, in English and Chinese.
fn about(scope: &str) -> (String, String) {
    let id = scope.split_once(':').map_or(scope, |(_, id)| id);
    let (en, zh) = match word_of(scope) {
        "terminal" => ("Terminal", "终端"),
        "site" => ("Site", "门店"),
        "acquirer" => ("Acquirer", "收单机构"),
        "host" => ("Host", "主机"),
        "version" => ("Version", "版本"),
        "operator" => ("Operator", "操作员"),
        _ => ("Region", "区域"),
    };
    (format!("{en} {id}"), format!("{zh} {id}"))
}

/// Its text; `reason` is what people have written of planned maintenance, or nothing.
pub(crate) fn text(open: &Open, reason: &str) -> (String, String) {
    let cause = cause::by_id(&open.cause);
    let (en, zh) = about(&open.scope);
    let count = open.payments;
    let (payments, perhaps_zh) =
        (if count == 1 { "payment" } else { "payments" }, if open.percent > 60 { "" } else { "可能为" });
    let perhaps = if open.percent > 60 { "" } else { "perhaps " };
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if count == 0 {
        // It was announced, and nothing is stuck.
        return (format!("{en}: {}{why}", cause.name.0), format!("{zh}:{}{why}", cause.name.1));
    }
    (
        format!("{en}: {count} {payments} stuck. Cause: {perhaps}{}{why}", cause.name.0),
        format!("{zh}:{count} 笔交易受阻。原因:{perhaps_zh}{}{why}", cause.name.1),
    )
}

/// A moment in UTC, to the second (Howard Hinnant's civil calendar: years begin in March, so that a leap day is their last).
fn moment(at: Instant) -> String {
    let (days, seconds) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000) / 1_000);
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, (march + 2) % 12 + 1);
    let year = year + era * 400 + i64::from(month < 3);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

/// What mends a finding of a kind: what was missing came after all.
fn mends(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "no-answer" => ("the answer came", "收到应答"),
        "approved-undelivered" => ("the terminal got the answer", "终端收到结果"),
        "not-shown" => ("the result was shown", "结果已显示"),
        "not-printed" => ("a receipt was printed or announced", "小票已打印或已播报"),
        "unsynced" => ("the order system has it", "订单系统已入账"),
        "reversal-missing" | "reversal-unanswered" => ("the reversal was done", "冲正已完成"),
        _ => ("the matter was settled", "已处理"),
    }
}

/// The report: what, when, how many payments and how much money, how each ended, what mended them.
pub(crate) fn report(open: &Open, reason: &str, now: Instant) -> Report {
    let mut ended = open.ended.clone();
    let unended = open.members.len() as u64;
    if unended > 0 {
        ended.push(("open".to_owned(), unended));
    }
    let (text_en, text_zh) = text(open, reason);
    let (from, until, seconds) = (moment(open.first_at), moment(now), (now - open.first_at) / 1_000);
    let mut en = format!(
        "# Incident\n\n{text_en}\n\n- From: {from}\n- Until: {until} ({seconds} s)\n- Findings: {}\n- Payments: {}\n",
        open.findings, open.payments
    );
    let mut zh = format!(
        "# 事件报告\n\n{text_zh}\n\n- 开始:{from}\n- 结束:{until}({seconds} 秒)\n- 告警:{}\n- 交易:{}\n",
        open.findings, open.payments
    );
    for (currency, amount) in &open.money {
        en += &format!("- Money at risk, minor units: {currency} {amount}\n");
        zh += &format!("- 风险金额(最小单位):{currency} {amount}\n");
    }
    let ways = |ended: &[(String, u64)]| {
        let each: Vec<String> = ended.iter().map(|(how, count)| format!("{how} {count}")).collect();
        each.join(", ")
    };
    let cause = cause::by_id(&open.cause);
    let (ways, ends) = (ways(&ended), "\n");
    en += &["- Ended: ", &ways, ends].concat();
    zh += &["- 结果:", &ways, ends].concat();
    for (kind, count) in &open.mended {
        let (kind, by) = (format!("{kind} {count}"), mends(kind));
        en += &["- Mended: ", &kind, ": ", by.0, ends].concat();
        zh += &["- 恢复:", &kind, ":", by.1, ends].concat();
    }
    en += &["- Remedy: ", cause.remedy.0, ends].concat();
    zh += &["- 处理:", cause.remedy.1, ends].concat();
    Report { ended, markdown_en: en, markdown_zh: zh }
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00Z"),
            (1_795_339_800_000, "2026-11-22T09:30:00Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment(at), text);
        }
    }
}
