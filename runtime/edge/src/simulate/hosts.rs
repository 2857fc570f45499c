//! The acquirers' hosts as the gateway of each region sees them: what was asked, what failed, how long it took.
//!
//! Owns the counts of an interval and the sample made of them. Owns no fault: an overloaded host shows here because payments fared badly.

use serde_json::json;
use tillwatch_core::Instant;

use super::{
    fleet::{Fleet, Step},
    outbox::Draft,
    terminal,
};

/// How often a gateway samples each host, ms.
const EVERY_MS: i64 = 30_000;

/// When a gateway counts a request as timed out, ms.
pub(super) const TIME_OUT_MS: i64 = 15_000;

/// Answer times kept of an interval; the rest is counted only.
const TIMES_MAX: usize = 4_096;

/// Response codes that speak of the host and not of the payment.
const HOST_CODES: [&str; 5] = ["68", "91", "92", "96", "98"];

/// One host and its interval so far.
#[derive(Clone, Debug)]
pub(super) struct Host {
    region: String,
    acquirer: String,
    name: String,
    samples: u64,
    total: u64,
    failed: u64,
    timed_out: u64,
    times: Vec<i64>,
    /// It is down until then.
    pub(super) down_until: Instant,
}

impl Host {
    pub(super) fn new(region: u32, acquirer: u32, host: u32) -> Self {
        Self {
            region: terminal::region(region),
            acquirer: format!("A{:02}", acquirer + 1),
            name: format!("H{}", host + 1),
            samples: 0,
            total: 0,
            failed: 0,
            timed_out: 0,
            times: Vec::new(),
            down_until: Instant::MIN,
        }
    }

    /// It has answered a request after so long.
    pub(super) fn answered(&mut self, after_ms: i64, code: &str) {
        if after_ms >= TIME_OUT_MS {
            return;
        }
        self.total += 1;
        self.failed += u64::from(HOST_CODES.contains(&code));
        if self.times.len() < TIMES_MAX {
            self.times.push(after_ms);
        }
    }

    /// It has not answered one in time.
    pub(super) fn missed(&mut self) {
        self.total += 1;
        self.timed_out += 1;
    }

    fn p95_ms(&mut self) -> i64 {
        self.times.sort_unstable();
        let place = (self.times.len() * 95).div_ceil(100).saturating_sub(1);
        self.times.get(place).copied().unwrap_or(0)
    }
}

impl Fleet {
    pub(super) fn first_host_samples(&mut self) {
        let start = self.options.start;
        for number in 0..self.hosts.len() {
            let apart = i64::try_from(number).expect("invariant: hosts are few") * 1_700 % EVERY_MS;
            self.plan(start + apart + EVERY_MS, Step::HostSample(number));
        }
    }

    pub(super) fn host_sample(&mut self, number: usize, now: Instant) {
        if self.stopped() {
            return;
        }
        self.plan(now + EVERY_MS, Step::HostSample(number));
        let host = &mut self.hosts[number];
        host.samples += 1;
        let mut data = vec![
            ("region", json!(host.region)),
            ("acquirer", json!(host.acquirer)),
            ("host", json!(host.name)),
            ("total", json!(host.total)),
            ("failed", json!(host.failed)),
            ("timed_out", json!(host.timed_out)),
            ("p95_ms", json!(host.p95_ms())),
            ("reachable", json!(host.down_until <= now)),
        ];
        data.extend((host.down_until > now).then_some(("maintenance", json!(true))));
        let key = format!("{}/{}", host.acquirer, host.name);
        let draft = Draft {
            id: format!("{}-{}-{:08}", host.acquirer, host.name, host.samples),
            source: format!("/r/{}/g/{}", host.region, host.acquirer),
            kind: "pos.host.sample",
            subject: None,
            time: now,
            key: &key,
            data,
        };
        host.times.clear();
        (host.total, host.failed, host.timed_out) = (0, 0, 0);
        self.send_evidence(&draft, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_counts_each_request_once() {
        let mut host = Host::new(0, 0, 1);
        (1..=100).for_each(|ms| host.answered(ms, "00"));
        host.answered(TIME_OUT_MS, "00");
        host.missed();
        host.answered(7, "91");
        assert_eq!((host.total, host.failed, host.timed_out, host.p95_ms()), (102, 1, 1, 95));
        assert_eq!(Host::new(0, 0, 0).p95_ms(), 0);
    }
}
