//! Records of evidence of a small region, as the first stage sends them. Its tills are few, so that what is stuck finds company.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tillwatch_sdk::{
    Instant,
    evidence::{CENSUS, Census, Cohorts, ENDED, Ended, NOTICE, Notice, SIGN, STUCK, Sign, Stuck},
    ids, native,
};

const KINDS: &[&str] = &["no-answer", "no-answer", "approved-undelivered", "not-shown", "not-printed", "unsynced"];
const CAUSES: &[&str] = &["N1", "N2", "N3", "N4", "H1", "H4", "S1", "S2", "P4"];
const RESOLUTIONS: &[&str] = &["mended", "proved-wrong", "expired"];

/// The data of an event of this type; of any other type an empty map.
pub(super) fn record(event: &str, now: Instant, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut below = |bound: usize| usize::try_from(random.next_u64() % bound as u64).expect("invariant: below a usize");
    // The tills behind one host are in trouble more often than the others.
    let till = [below(24), below(8) * 3][usize::from(event == STUCK && below(4) > 0)];
    let cohorts = Cohorts {
        region: "R".to_owned(),
        site: format!("S{}", till / 6),
        terminal: format!("T{till}"),
        acquirer: "A".to_owned(),
        host: format!("h{}", till % 3),
        app_version: format!("v{}", till % 2),
        operator: if below(3) == 0 { String::new() } else { format!("o{till}") },
    };
    let kind = KINDS[below(KINDS.len())].to_owned();
    let number = below(40);
    let finding = ids::finding("correlate-payment", &kind, &format!("payment:{till}:{number}"), "");
    let scopes = [
        format!("site:S{}", till / 6),
        format!("host:A/h{}", till % 3),
        format!("terminal:T{till}"),
        "region:R".into(),
    ];
    let about = scopes[below(scopes.len())].clone();
    let cause = CAUSES[below(CAUSES.len())].to_owned();
    let known = below(3) == 0;
    let [count, of] = [below(30), below(60)].map(|count| i64::try_from(count).expect("invariant: few"));
    let derived = match event {
        CENSUS => Census { cohorts, payments: count, from: now - 30_000, until: now }.derived(),
        STUCK => Stuck {
            cohorts,
            finding,
            kind,
            txn: format!("A:M:T{till}:1:{number}"),
            broke_at: String::new(),
            amount: 1_250 * count,
            currency: ["CNY", "EUR"][below(2)].to_owned(),
            cause: if known { cause } else { String::new() },
            confidence: if known { 0.7 } else { 0.0 },
        }
        .derived(),
        ENDED => {
            let resolution = RESOLUTIONS[below(RESOLUTIONS.len())].to_owned();
            Ended { cohorts, finding, kind, resolution, after_ms: 1_000 * of }.derived()
        }
        SIGN => Sign {
            cohorts,
            cause,
            about,
            what: "sample".to_owned(),
            strength: [0.7, 0.35, -0.5][below(3)],
            count,
            of,
            event: "pos.host.sample".to_owned(),
            event_id: format!("e{number}"),
            event_time: now,
            ..Sign::default()
        }
        .derived(),
        // Seldom: it explains everything.
        NOTICE => Notice { cohorts, about, from: now, until: now + [0, 0, 60_000][below(3)] }.derived(),
        _ => return vec![0xa0],
    };
    native::data(&derived)
}
