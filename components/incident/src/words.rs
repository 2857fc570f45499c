//! What people read of an incident: its text, and the report at its end, in English and Chinese.

use std::fmt::Write as _;

use tillwatch_sdk::{Report, cause};

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

/// Its text.
pub(crate) fn text(open: &Open) -> (String, String) {
    let cause = cause::by_id(&open.cause);
    let (en, zh) = about(&open.scope);
    let count = open.payments;
    let (payments, perhaps_zh) =
        (if count == 1 { "payment" } else { "payments" }, if open.percent > 60 { "" } else { "可能为" });
    let perhaps = if open.percent > 60 { "" } else { "perhaps " };
    (
        format!("{en}: {count} {payments} stuck. Cause: {perhaps}{}", cause.name.0),
        format!("{zh}:{count} 笔交易受阻。原因:{perhaps_zh}{}", cause.name.1),
    )
}

/// The report: what, when, how many payments and how much money, how each ended.
pub(crate) fn report(open: &Open, lasted_ms: i64) -> Report {
    let mut ended = open.ended.clone();
    let unended = open.members.len() as u64;
    if unended > 0 {
        ended.push(("open".to_owned(), unended));
    }
    let (text_en, text_zh) = text(open);
    let seconds = lasted_ms / 1_000;
    let mut en = format!(
        "# Incident\n\n{text_en}\n\n- Lasted: {seconds} s\n- Findings: {}\n- Payments: {}\n",
        open.findings, open.payments
    );
    let mut zh =
        format!("# 事件报告\n\n{text_zh}\n\n- 持续:{seconds} 秒\n- 告警:{}\n- 交易:{}\n", open.findings, open.payments);
    for (currency, amount) in &open.money {
        writeln!(en, "- Money at risk, minor units: {currency} {amount}").expect("invariant: a text takes text");
        writeln!(zh, "- 风险金额(最小单位):{currency} {amount}").expect("invariant: a text takes text");
    }
    let ways = |ended: &[(String, u64)]| {
        let each: Vec<String> = ended.iter().map(|(how, count)| format!("{how} {count}")).collect();
        each.join(", ")
    };
    let cause = cause::by_id(&open.cause);
    writeln!(en, "- Ended: {}\n- Remedy: {}", ways(&ended), cause.remedy.0).expect("invariant: a text takes text");
    writeln!(zh, "- 结果:{}\n- 处理:{}", ways(&ended), cause.remedy.1).expect("invariant: a text takes text");
    Report { ended, markdown_en: en, markdown_zh: zh }
}
