//! What people read: texts of findings in English and Chinese, headings of the runbook, and the list of commands with their classes.

use crate::output::{Class, Text};

/// Every command with its class (`docs/spec/domain.md`, section 4). What class D lists does not exist as commands.
pub const COMMANDS: &[(&str, Class)] = &[
    ("query-status", Class::A),
    ("redeliver-result", Class::A),
    ("reprint", Class::A),
    ("display-guide", Class::A),
    ("remind", Class::A),
    ("notify-supervisor", Class::A),
    ("open-ticket", Class::A),
    ("diagnose", Class::A),
    ("resync-ledger", Class::A),
    ("move-to-spare", Class::A),
    ("switch-link", Class::B),
    ("route-backup-printer", Class::B),
    ("route-backup-scanner", Class::B),
    ("route-alternate-endpoint", Class::B),
    ("open-breaker", Class::B),
    ("reroute-acquirer", Class::B),
    ("pause-bulk", Class::B),
    ("restart-app", Class::B),
    ("sign-on", Class::B),
    ("push-params", Class::B),
    ("pin-protocol", Class::B),
    ("hold-second-authorize", Class::B),
    ("lock-terminal", Class::B),
    ("flush-pending-reversal", Class::B),
    ("cancel-payment", Class::C),
    ("refund-duplicate", Class::C),
    ("rollback-version", Class::C),
    ("restart-device", Class::C),
    ("schedule-update", Class::C),
    ("adjust-amount", Class::C),
];

/// The class of a command; none for what is no command.
#[must_use]
pub fn command_class(kind: &str) -> Option<Class> {
    COMMANDS.iter().find(|(name, _)| *name == kind).map(|(_, class)| *class)
}

/// Every kind of finding (`docs/spec/events.md`) with its text; `{}` stands for what it is about.
pub const FINDINGS: &[(&str, &str, &str)] = &[
    ("slow-answer", "{}: still no answer from the host; the customer is waiting", "{}:主机尚未应答,顾客正在等待"),
    (
        "no-answer",
        "{}: neither the host nor the terminal has an answer; whether the customer was charged is not known",
        "{}:主机和终端均无应答,是否已扣款未知",
    ),
    (
        "approved-undelivered",
        "{}: approved by the host, but the terminal has not received it; the customer has paid and the POS is silent",
        "{}:主机已批准,但终端未收到结果;顾客已付款,POS 无反应",
    ),
    ("not-shown", "{}: the terminal has the answer but does not show it", "{}:终端已收到应答,但未显示结果"),
    (
        "not-printed",
        "{}: approved and shown, but no receipt was printed or announced",
        "{}:已批准并显示,但未打印小票,也无语音播报",
    ),
    ("unsynced", "{}: paid at the host, but not in the order system", "{}:主机已支付,订单系统未入账"),
    (
        "late-approval",
        "{}: the approval came after the terminal had given up; do not show it as a success",
        "{}:终端超时后才收到批准,不可作为成功显示",
    ),
    (
        "reversal-missing",
        "{}: the terminal has given up and no reversal was seen; the customer may stay charged",
        "{}:终端已放弃交易,但未见冲正;顾客可能仍被扣款",
    ),
    ("reversal-unanswered", "{}: a reversal was asked for and never answered", "{}:冲正请求未得到应答"),
    (
        "double-charge-risk",
        "{}: a second attempt for the same amount while the first is unresolved",
        "{}:上一笔结果未明,同一金额再次发起收款",
    ),
    (
        "double-charge",
        "{}: both attempts for the same amount were approved; the customer was charged twice",
        "{}:同一金额两笔均已批准,顾客被重复扣款",
    ),
    (
        "unresolved",
        "{}: what became of the money could not be established; a person must look",
        "{}:资金状态无法自动确认,需人工处理",
    ),
    (
        "scanner-fault",
        "{}: reads fail or the scanner is gone; the till takes no codes",
        "{}:扫码失败或扫描仪缺失,无法扫码收款",
    ),
    ("device-damage", "{}: the device itself is damaged", "{}:设备本身损坏"),
    ("app-fault", "{}: its software crashes, hangs or does not show answers", "{}:终端软件崩溃、卡死或不显示应答"),
    ("outdated", "{}: payments fail because an update was not applied", "{}:因升级未应用而交易失败"),
    ("operator-help", "{}: needs help far more often than is usual", "{}:需要求助的次数明显多于常态"),
    ("prompts-unanswered", "{}: prompts stay unanswered", "{}:提示长时间未应答"),
    (
        "customers-waiting",
        "{}: customers who have paid are kept waiting (evidence, no verdict)",
        "{}:已付款顾客被迫等待(只作证据,不作定论)",
    ),
    (
        "operator-slips",
        "{}: cancels after approvals, second attempts or repeated slips",
        "{}:批准后取消、重复发起或多次误操作",
    ),
    (
        "feed-blind",
        "{}: events do not arrive; what looks silent may only be unseen, and commands with consequences are held back",
        "{}:事件流中断,看似无反应的终端可能只是看不到;有影响的命令暂缓发送",
    ),
    ("clock-skew", "{}: the clock is off by more than is allowed", "{}:时钟偏差超出允许范围"),
    (
        "rule-quarantined",
        "{}: failed too often and was taken out of service for a while; every other rule goes on",
        "{}:规则故障次数过多,已暂停运行;其他规则不受影响",
    ),
];

/// Why `unresolved` is said (its detail `why`), as a part of its text.
pub const REASONS: &[(&str, &str, &str)] = &[
    ("queries", "the queries are used up", "查询次数已用尽"),
    ("flushes", "the reversal could not be sent", "冲正未能送出"),
    ("undelivered", "the terminal never received the approval", "终端始终未收到批准结果"),
    ("late-approval", "approved after the terminal had given up", "终端放弃后才获批准"),
    ("goods", "goods may be out for a payment that is not kept", "交易不成立但商品可能已交付"),
    ("contradiction", "the answers contradict each other", "各方应答互相矛盾"),
    ("evicted", "too many payments of this till are in trouble at once", "该终端同时异常的交易过多"),
    (
        "masked",
        "its number looks like a card number and was masked, so no command can name it",
        "交易号形似卡号已被掩码,无法下发命令",
    ),
];

/// The text of a finding; `why` says more of `unresolved`. Amounts are in minor units of the currency. A kind that is an integrator's own gets a
/// text that names kind and scope.
#[must_use]
pub fn finding_text(kind: &str, scope: &str, amount: Option<i64>, currency: Option<&str>, why: Option<&str>) -> Text {
    let money = amount.map(|amount| money(amount, currency));
    let about = |word: &str, of: &str| match &money {
        Some(money) => format!("{word}{of} ({money})"),
        None => format!("{word}{of}"),
    };
    let (word, of) = scope.split_once(':').unwrap_or(("", scope));
    let (english, chinese) = scope_words(word);
    let (english, chinese) = match english {
        "" => (about("", scope), about("", scope)),
        _ => (about(&format!("{english} "), of), about(&format!("{chinese} "), of)),
    };
    let reason = REASONS.iter().find(|(known, ..)| kind == "unresolved" && Some(*known) == why);
    match FINDINGS.iter().find(|(known, ..)| *known == kind) {
        Some((_, en, zh)) => {
            let mut text = Text { en: en.replacen("{}", &english, 1), zh: zh.replacen("{}", &chinese, 1) };
            if let Some((_, en, zh)) = reason {
                text.en.push_str(&format!(" ({en})"));
                text.zh.push_str(&format!("({zh})"));
            }
            text
        }
        None => Text { en: format!("{english}: {kind}"), zh: format!("{chinese}:{kind}") },
    }
}

/// Where `docs/runbook.md` speaks of a kind or a code.
#[must_use]
pub fn runbook(kind: &str) -> String {
    format!("docs/runbook.md#{kind}")
}

/// An amount in minor units as people write it, with as many decimals as ISO 4217 gives the currency.
#[must_use]
pub fn money(amount: i64, currency: Option<&str>) -> String {
    let exponent = currency.map_or(2, exponent);
    let unit = 10_u64.pow(exponent);
    let (whole, part) = (amount.unsigned_abs() / unit, amount.unsigned_abs() % unit);
    let sign = if amount < 0 { "-" } else { "" };
    let number = match usize::try_from(exponent).expect("invariant: an exponent is under five") {
        0 => format!("{sign}{whole}"),
        width => format!("{sign}{whole}.{part:0width$}"),
    };
    currency.map_or_else(|| number.clone(), |currency| format!("{currency} {number}"))
}

/// ISO 4217, list one: digits after the point; two where the list is silent.
fn exponent(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

fn scope_words(scope: &str) -> (&'static str, &'static str) {
    match scope {
        "payment" => ("Payment", "交易"),
        "terminal" => ("Terminal", "终端"),
        "site" => ("Site", "门店"),
        "acquirer" => ("Acquirer", "收单机构"),
        "host" => ("Host", "主机"),
        "version" => ("Version", "版本"),
        "operator" => ("Operator", "操作员"),
        "region" => ("Region", "区域"),
        "rule" => ("Rule", "规则"),
        "source" => ("Source", "来源"),
        "partition" => ("Partition", "分区"),
        _ => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_classes_of_the_specification() {
        let domain = include_str!("../../../docs/spec/domain.md");
        let section = domain.split("## 4. Commands").nth(1).unwrap().split("\nD: ").next().unwrap();
        for (class, letter) in [(Class::A, "A: "), (Class::B, "\nB: "), (Class::C, "\nC: ")] {
            let line = section.split(letter).nth(1).unwrap().split("\nB: ").next().unwrap();
            let line = line.split("\nC: ").next().unwrap();
            for (name, _) in COMMANDS.iter().filter(|(_, of)| *of == class) {
                assert!(line.contains(name), "{name} is not of class {letter}");
            }
        }
        assert_eq!(COMMANDS.len(), 30);
        assert_eq!(command_class("flush-pending-reversal"), Some(Class::B));
        assert_eq!(command_class("forge-reversal"), None);
    }

    #[test]
    fn texts_name_what_it_is_about_in_both_languages() {
        let text = finding_text("approved-undelivered", "payment:A01:M1:T1:1:7", Some(1250), Some("CNY"), None);
        assert!(text.en.starts_with("Payment A01:M1:T1:1:7 (CNY 12.50): approved by the host"), "{}", text.en);
        assert!(text.zh.starts_with("交易 A01:M1:T1:1:7 (CNY 12.50):主机已批准"), "{}", text.zh);
        let own = finding_text("drawer-open", "till:7", None, None, None);
        assert_eq!((own.en.as_str(), own.zh.as_str()), ("till:7: drawer-open", "till:7:drawer-open"));
        for (kind, ..) in FINDINGS {
            let text = finding_text(kind, "payment:{}", None, None, None);
            assert!(text.en.starts_with("Payment {}: ") && text.zh.starts_with("交易 {}:"), "{kind}");
        }
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        for (amount, currency, text) in [
            (1250, Some("CNY"), "CNY 12.50"),
            (5, Some("USD"), "USD 0.05"),
            (1250, Some("JPY"), "JPY 1250"),
            (1250, Some("KWD"), "KWD 1.250"),
            (-5, Some("EUR"), "EUR -0.05"),
            (i64::MIN, Some("JPY"), "JPY -9223372036854775808"),
            (100, None, "1.00"),
        ] {
            assert_eq!(money(amount, currency), text);
        }
    }

    #[test]
    fn what_is_unresolved_says_why_and_the_runbook_too() {
        let runbook = include_str!("../../../docs/runbook.md");
        let section = runbook.split("### unresolved\n").nth(1).unwrap().split("\n#").next().unwrap();
        for (why, en, zh) in REASONS {
            let text = finding_text("unresolved", "payment:A01:M1:1", None, None, Some(why));
            assert!(
                text.en.ends_with(&format!("must look ({en})")) && text.zh.ends_with(&format!("({zh})")),
                "{text:?}"
            );
            assert!(section.contains(&format!("`{why}`")), "{why}");
        }
        assert_eq!(
            finding_text("unresolved", "payment:A01:M1:1", None, None, Some("unknown")),
            finding_text("unresolved", "payment:A01:M1:1", None, None, None)
        );
    }

    #[test]
    fn the_runbook_has_a_heading_for_everything_that_leads_there() {
        let runbook = include_str!("../../../docs/runbook.md");
        let headings: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let kinds = FINDINGS.iter().map(|(kind, ..)| *kind);
        let commands = COMMANDS.iter().map(|(kind, _)| *kind);
        let codes = crate::cloudevents::CODES.iter().chain(crate::rules::FAULTS).copied();
        for name in kinds.chain(commands).chain(codes) {
            assert_eq!(headings.iter().filter(|heading| **heading == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_kind_of_the_specification_has_a_text() {
        let events = include_str!("../../../docs/spec/events.md");
        let table = events.split("| kind | in short | broke_at |").nth(1).unwrap();
        let kinds: Vec<_> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .chain(["feed-blind", "clock-skew", "rule-quarantined"])
            .collect();
        assert_eq!(kinds, FINDINGS.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>());
    }
}
