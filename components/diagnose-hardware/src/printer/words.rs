//! What people read about a missing receipt, in English and Chinese (`docs/spec/domain.md`, section 6).

use crate::printer::decide::Verdict;

/// The runbook's heading for H1.
pub const RUNBOOK: &str = "docs/runbook.md#h1-printer";
/// The runbook's heading for the finding itself.
pub const RUNBOOK_UNDETERMINED: &str = "docs/runbook.md#not-printed";

/// Every fault of `docs/spec/events.md`, in English and Chinese.
pub const FAULTS: &[(&str, &str, &str)] = &[
    ("paper-low", "paper is low", "纸张不足"),
    ("no-paper", "out of paper", "缺纸"),
    ("jam", "paper jam", "卡纸"),
    ("cover-open", "cover open", "机盖未合"),
    ("overheat", "overheated", "过热"),
    ("cutter", "cutter fault", "切刀故障"),
    ("low-voltage", "low voltage", "电压不足"),
    ("offline", "offline", "离线"),
    ("not-found", "not found", "未找到打印机"),
    ("busy", "busy", "忙"),
    ("other", "a fault of its own", "其他故障"),
];

/// A fault in words; a word that the table has not stands for itself.
fn fault(word: &str) -> (&str, &str) {
    FAULTS.iter().find(|(known, ..)| *known == word).map_or((word, word), |(_, en, zh)| (en, zh))
}

/// The text of the finding with its remedy, in English and Chinese.
#[must_use]
pub fn texts(txn: &str, verdict: &Verdict) -> (String, String) {
    if !verdict.printer {
        return (
            format!(
                "payment {txn}: approved and shown, but no receipt; the printer reports that it is well, so the cause is not determined. \
                 Do not charge again; hand out an e-receipt"
            ),
            format!("支付 {txn}:已批准并显示,但未打印小票;打印机报告正常,原因未能确定。请勿重复收款,可提供电子小票"),
        );
    }
    let (said_en, said_zh) = verdict.fault.as_deref().map_or_else(
        || ("the printer gave no sign of printing it".to_owned(), "打印机无打印结果".to_owned()),
        |word| {
            let (en, zh) = fault(word);
            (format!("the printer reports: {en}"), format!("打印机报告:{zh}"))
        },
    );
    let likely = if verdict.confidence > 60 { ("", "") } else { ("perhaps ", "可能为") };
    (
        format!(
            "payment {txn}: approved and shown, but no receipt; {said_en}. Cause: {}printer jam, out of paper or ink. \
             Do not charge again; call maintenance and use the spare printer",
            likely.0
        ),
        format!(
            "支付 {txn}:已批准并显示,但未打印小票;{said_zh}。原因:{}打印机卡纸或耗材耗尽。请勿重复收款;联系维修,启用备用打印机",
            likely.1
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::decide::{Facts, Job, decide};

    #[test]
    fn the_fault_stands_in_both_texts() {
        for (word, en, zh) in FAULTS {
            let facts = Facts { job: Job::Failed(Some((*word).to_owned())), ..Facts::default() };
            let (english, chinese) = texts("T", &decide(&facts));
            assert!(english.contains(en) && english.contains("spare printer"), "{english}");
            assert!(chinese.contains(zh) && chinese.contains("打印机卡纸或耗材耗尽"), "{chinese}");
        }
    }

    #[test]
    fn what_is_not_determined_is_not_said() {
        let (english, chinese) = texts("T", &decide(&Facts { well: true, ..Facts::default() }));
        assert!(english.contains("not determined") && chinese.contains("未能确定"));
        let (english, chinese) = texts("T", &decide(&Facts::default()));
        assert!(english.contains("perhaps") && chinese.contains("可能"));
    }
}
