//! The causes of `docs/spec/domain.md`, section 3, in words: what every rule that names one says of it, in English and Chinese.
//!
//! Owns names, remedies and the runbook's headings. Owns no decision.

use tillwatch_wit::contract::{Details, Value};

/// A cause in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its id, as it stands in findings.
    pub id: &'static str,
    /// What it is, in English and Chinese (section 6).
    pub name: (&'static str, &'static str),
    /// What to do about it, in English and Chinese.
    pub remedy: (&'static str, &'static str),
    /// Where the runbook speaks of it.
    pub runbook: &'static str,
}

/// The sixteen causes, the two labels that are no faults of the site, and the honest answer where nothing explains it.
pub const CAUSES: &[Cause] = &[
    cause(
        "N1",
        ("bandwidth too small", "网络带宽不足"),
        ("upgrade the line; pause bulk transfers until then", "升级线路带宽;在此之前暂停批量传输"),
        "docs/runbook.md#n1-bandwidth",
    ),
    cause(
        "N2",
        ("firewall or security software interferes", "防火墙或安全软件干扰"),
        ("review the firewall rules for the peer named here", "检查针对该对端地址的防火墙规则"),
        "docs/runbook.md#n2-firewall",
    ),
    cause(
        "N3",
        ("router fault or misconfiguration", "路由器故障或配置错误"),
        ("check the router and its configuration; use the second line", "检查路由器及其配置;切换到备用线路"),
        "docs/runbook.md#n3-router",
    ),
    cause(
        "N4",
        ("acquirer host overloaded", "服务器负载过重"),
        ("balance the load; send new payments elsewhere until the host is well", "进行负载均衡;主机恢复前将新交易改道"),
        "docs/runbook.md#n4-host",
    ),
    cause(
        "H1",
        ("printer jam, out of paper or ink", "打印机卡纸或耗材耗尽"),
        ("call maintenance and use the spare printer", "联系维修,启用备用打印机"),
        "docs/runbook.md#h1-printer",
    ),
    cause(
        "H2",
        ("scanner fault", "扫描仪故障"),
        ("use the spare scanner, or let the customer scan the merchant's code", "启用备用扫描仪,或改用商户收款码"),
        "docs/runbook.md#h2-scanner",
    ),
    cause(
        "H3",
        ("internal hardware damage", "POS 机内部硬件损坏"),
        (
            "replace the unit; never restart or re-key one whose tamper response has fired",
            "更换整机;已触发防拆的设备不得重启或重灌密钥",
        ),
        "docs/runbook.md#h3-device",
    ),
    cause(
        "H4",
        ("operating system or app fault on the terminal", "POS 机软件故障"),
        ("update or repair the terminal's software", "更新或修复终端软件"),
        "docs/runbook.md#h4-software",
    ),
    cause(
        "S1",
        ("payment handler error", "支付处理程序错误"),
        ("review the payment handler; propose a rollback of the version", "检查支付处理程序;建议回退该版本"),
        "docs/runbook.md#s1-handler",
    ),
    cause(
        "S2",
        ("databases out of sync", "数据库同步问题"),
        ("append the missing entries automatically, then see why they were missing", "自动补记缺失的订单,并查明原因"),
        "docs/runbook.md#s2-ledger",
    ),
    cause(
        "S3",
        ("payment interface incompatible", "支付接口兼容性问题"),
        (
            "test the interface between this version and this host; tell the integrator",
            "测试该版本与该主机之间的接口;通知集成方",
        ),
        "docs/runbook.md#s3-interface",
    ),
    cause(
        "S4",
        ("upgrade or patch not applied", "系统升级或补丁未应用"),
        ("apply the updates, parameters or certificate that it lacks", "应用缺失的升级、参数或证书"),
        "docs/runbook.md#s4-updates",
    ),
    cause(
        "P1",
        ("operator not trained", "操作员培训不足"),
        ("train the operator; show the guide at the till", "安排培训;在终端显示操作指引"),
        "docs/runbook.md#p1-training",
    ),
    cause(
        "P2",
        ("operator careless", "操作员疏忽"),
        ("remind at the till, then let the supervisor look", "先在终端提醒,再请主管关注"),
        "docs/runbook.md#p2-attention",
    ),
    cause(
        "P3",
        ("deliberate delay (evidence only, no verdict)", "操作员故意延误(只作证据,不作定论)"),
        (
            "let the supervisor look at the evidence; it is no verdict and no ground for a sanction",
            "请主管查看证据;仅作证据,不作定论,不得据此处罚",
        ),
        "docs/runbook.md#p3-delay",
    ),
    cause(
        "P4",
        ("operator error: wrong key, wrong amount or a second attempt", "操作员误操作"),
        (
            "show a clear guide; do not charge again before the first payment is known",
            "提供清晰指引;第一笔结果明确前请勿再次收款",
        ),
        "docs/runbook.md#p4-slips",
    ),
    cause(
        "maintenance",
        ("announced maintenance", "计划维护"),
        ("nothing; it ends with the maintenance", "无需处理,维护结束后自动恢复"),
        "docs/runbook.md#maintenance",
    ),
    cause(
        "customer",
        ("the customer: wrong PIN, no funds, or left", "顾客原因:密码错误、余额不足或离开"),
        ("nothing at the till; another means of payment", "终端无需处理,可更换支付方式"),
        "docs/runbook.md#customer",
    ),
    cause(
        "undetermined",
        ("not determined", "原因未能确定"),
        ("look at the evidence; nothing that was seen explains it", "请查看证据;现有信息不足以解释"),
        "docs/runbook.md#undetermined",
    ),
];

const fn cause(
    id: &'static str,
    name: (&'static str, &'static str),
    remedy: (&'static str, &'static str),
    runbook: &'static str,
) -> Cause {
    Cause { id, name, remedy, runbook }
}

/// What a rule has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause's id.
    pub cause: &'static str,
    /// How sure that is, percent.
    pub percent: u8,
    /// The next best explanation.
    pub runner_up: &'static str,
    /// What was seen, in English and Chinese, for the finding's text.
    pub said: (String, String),
}

/// Below this a text says perhaps, percent.
const PERHAPS: u8 = 60;

impl Verdict {
    /// As a finding's details have it; `about` is what the finding is about, in English and Chinese.
    #[must_use]
    pub fn details(&self, about: (&str, &str)) -> Details {
        let cause = by_id(self.cause);
        let (perhaps_en, perhaps_zh) = if self.percent > PERHAPS { ("", "") } else { ("perhaps ", "可能为") };
        let en =
            format!("{}: {}. Cause: {perhaps_en}{}. To do: {}", about.0, self.said.0, cause.name.0, cause.remedy.0);
        let zh = format!("{}:{}。原因:{perhaps_zh}{}。处理:{}", about.1, self.said.1, cause.name.1, cause.remedy.1);
        vec![
            ("cause".to_owned(), Value::from(self.cause)),
            ("confidence".to_owned(), Value::Number(f64::from(self.percent) / 100.0)),
            ("runner_up".to_owned(), Value::from(self.runner_up)),
            ("text_en".to_owned(), Value::from(en)),
            ("text_zh".to_owned(), Value::from(zh)),
            ("runbook".to_owned(), Value::from(cause.runbook)),
        ]
    }
}

/// The cause of that id.
///
/// # Panics
/// There is none: ids are constants of the rules.
#[must_use]
pub fn by_id(id: &str) -> &'static Cause {
    CAUSES.iter().find(|cause| cause.id == id).unwrap_or_else(|| panic!("invariant: {id} is a cause"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_the_specification_has_its_words_and_its_heading() {
        let domain = include_str!("../../../docs/spec/domain.md");
        let rows: Vec<&str> = domain
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .filter_map(|line| line.split(" | ").next())
            .filter(|id| id.len() == 2 && id.starts_with(['N', 'H', 'S', 'P']))
            .collect();
        assert_eq!(rows, CAUSES[..16].iter().map(|cause| cause.id).collect::<Vec<_>>());
        let runbook = include_str!("../../../docs/runbook.md");
        let anchors: Vec<String> = runbook
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(|heading| heading.to_lowercase().replace(": ", "-").replace(' ', "-"))
            .collect();
        for cause in CAUSES {
            assert_eq!(by_id(cause.id), cause);
            let anchor = cause.runbook.strip_prefix("docs/runbook.md#").expect("it leads into the runbook");
            assert_eq!(anchors.iter().filter(|known| *known == anchor).count(), 1, "{anchor}");
        }
    }

    #[test]
    fn chinese_names_are_those_of_section_six() {
        let domain = include_str!("../../../docs/spec/domain.md");
        let words = domain.split("## 6. Words").nth(1).expect("there is a section 6");
        for cause in &CAUSES[..16] {
            assert!(words.contains(cause.name.1), "{}", cause.name.1);
        }
    }
}
