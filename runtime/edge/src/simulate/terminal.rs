//! One terminal: who it is, and what it holds right now.

use tillwatch_core::Instant;

use super::{dice::Dice, options::Options};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// A reversal record: written before a sale is sent, cleared when its answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) payment: u64,
    /// How often the reversal was sent.
    pub(super) tries: u32,
}

/// What is wrong with a printer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) fault: &'static str,
    /// The injected fault that it comes from.
    pub(super) blame: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Terminal {
    pub(super) id: String,
    pub(super) region: String,
    pub(super) site: String,
    pub(super) merchant: String,
    pub(super) acquirer: String,
    /// The acquirer's host that takes its payments.
    pub(super) host: String,
    /// The number of that host as the gateway of its region sees it.
    pub(super) host_number: usize,
    pub(super) app_version: String,
    pub(super) param_version: String,
    /// Which terminal of its site it is.
    pub(super) rank: u32,
    /// Who is on duty, and the number of the first of the crew.
    pub(super) operator: String,
    crew: u32,
    /// Numbers of the injected faults that can befall it.
    pub(super) troubles: Vec<usize>,
    /// How far its clock is off, ms.
    pub(super) skew_ms: i64,
    pub(super) stan: u32,
    pub(super) orders: u32,
    pub(super) events: u64,
    /// A customer is served.
    pub(super) busy: bool,
    /// Customers in line.
    pub(super) line: u32,
    pub(super) current: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) reversal: Option<Record>,
    /// What is wrong with the printer, and which repair is on its way.
    pub(super) printer: Option<Broken>,
    pub(super) repair: u64,
    /// Receipts left on the roll; none: it is endless.
    pub(super) roll: Option<u32>,
    /// It cannot send events until then.
    pub(super) dark_until: Instant,
    /// Nothing from it reaches a host until then, nor the other way round.
    pub(super) cut_until: Instant,
    /// It is switched off until then.
    pub(super) off_until: Instant,
    /// It takes no payments until then, though its agent goes on.
    pub(super) locked_until: Instant,
    /// Its app is silent until then, though its agent goes on.
    pub(super) app_down_until: Instant,
    /// How often it sent the customers away.
    pub(super) visit: u64,
    /// Restarts that are reported.
    pub(super) reboots: u32,
    /// Telemetry sent so far.
    pub(super) beat: u64,
    /// Who comes, and what befalls them.
    pub(super) customers: Dice,
    /// How its events travel.
    pub(super) network: Dice,
    /// How it acts on commands, and how reversals go.
    pub(super) answers: Dice,
    /// How injected faults strike, and what people do.
    pub(super) luck: Dice,
}

/// Operators of a terminal; one is on duty in each shift.
const CREW: u32 = 3;

/// A shift's hours; the first one of a day begins at six (UTC+8).
const SHIFT_HOURS: i64 = 8;

/// The zone's hours and the first shift's, together: 22:00 UTC is six in Shanghai.
const SHIFT_OFFSET_MS: i64 = 2 * HOUR_MS;

impl Terminal {
    pub(super) fn new(index: u32, options: &Options) -> Self {
        let (site, rank) = (index % options.sites, index / options.sites);
        let dice = |purpose| Dice::new(options.seed, u64::from(index) * 8 + purpose);
        let acquirer = site / options.regions % options.acquirers;
        let host = rank % options.hosts;
        let mut nature = dice(3);
        let skew_ms = match (nature.chance(options.faults.wrong_clock), nature.chance(0.5)) {
            (false, _) => 0,
            (true, fast) => {
                if fast {
                    HOUR_MS
                } else {
                    -HOUR_MS
                }
            }
        };
        let stan = u32::try_from(nature.between(1, 900_000)).expect("invariant: a STAN has six digits");
        let roll = (options.roll > 0).then(|| {
            u32::try_from(nature.between(1, i64::from(options.roll))).expect("invariant: at most the option's value")
        });
        Self {
            id: format!("T{index:07}"),
            region: region(site % options.regions),
            site: format!("S{site:04}"),
            merchant: format!("M{site:07}"),
            acquirer: format!("A{:02}", acquirer + 1),
            host: format!("H{}", host + 1),
            host_number: usize::try_from(
                (site % options.regions * options.acquirers + acquirer) * options.hosts + host,
            )
            .expect("invariant: a count fits"),
            app_version: app_version(share(options.versions, &mut nature)),
            param_version: param_version(share(options.params, &mut nature)),
            rank,
            operator: operator(index * CREW, options.start),
            crew: index * CREW,
            troubles: Vec::new(),
            skew_ms,
            stan,
            orders: 0,
            events: 0,
            busy: false,
            line: 0,
            current: None,
            last: None,
            reversal: None,
            printer: None,
            repair: 0,
            roll,
            dark_until: Instant::MIN,
            cut_until: Instant::MIN,
            off_until: Instant::MIN,
            locked_until: Instant::MIN,
            app_down_until: Instant::MIN,
            visit: 0,
            reboots: 0,
            beat: u64::from(index) * 7,
            customers: dice(0),
            network: dice(1),
            answers: dice(2),
            luck: dice(4),
        }
    }

    /// All who ever work at it.
    pub(super) fn crew(&self) -> impl Iterator<Item = String> {
        (self.crew..self.crew + CREW).map(|number| format!("op-{number:04}"))
    }

    /// Somebody else comes on duty.
    pub(super) fn change_shift(&mut self, now: Instant) {
        self.operator = operator(self.crew, now);
    }

    /// Whether it takes a customer.
    pub(super) fn serves(&self, now: Instant) -> bool {
        self.off_until <= now && self.locked_until <= now
    }

    /// The next STAN; it wraps.
    pub(super) fn next_stan(&mut self) -> u32 {
        self.stan = self.stan % 999_999 + 1;
        self.stan
    }

    /// From when on commands reach it again; none: they do.
    pub(super) fn unreachable_until(&self, now: Instant) -> Option<Instant> {
        Some(self.dark_until.max(self.off_until)).filter(|until| *until > now)
    }
}

/// When the next shift begins.
pub(super) fn next_shift(now: Instant) -> Instant {
    let shift = SHIFT_HOURS * HOUR_MS;
    ((now + SHIFT_OFFSET_MS).div_euclid(shift) + 1) * shift - SHIFT_OFFSET_MS
}

/// Who of a crew works at this moment.
fn operator(crew: u32, now: Instant) -> String {
    let shift = (now + SHIFT_OFFSET_MS).div_euclid(SHIFT_HOURS * HOUR_MS).rem_euclid(i64::from(CREW));
    format!("op-{:04}", crew + u32::try_from(shift).expect("invariant: below the crew's size"))
}

/// One of so many, the first most often: half of what is left each time.
fn share(count: u32, dice: &mut Dice) -> u32 {
    (0..count - 1).find(|_| dice.permille(500)).unwrap_or(count - 1)
}

/// Regions by number.
pub(super) fn region(number: u32) -> String {
    match ["cn-east", "cn-north", "cn-south", "cn-west"].get(usize::try_from(number).expect("invariant: it fits")) {
        Some(name) => (*name).to_owned(),
        None => format!("cn-{:02}", number + 1),
    }
}

/// The most common version is the newest but one where there are several.
fn app_version(number: u32) -> String {
    match number {
        0 => "3.4.1".to_owned(),
        1 => "3.5.0".to_owned(),
        older => format!("3.3.{}", 10_u32.saturating_sub(older)),
    }
}

fn param_version(number: u32) -> String {
    match number {
        0 => "2026-01".to_owned(),
        older => format!("{}-{:02}", 2025 - (older - 1) / 12, 12 - (older - 1) % 12),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fleet_has_all_that_was_asked_for() {
        let options = Options {
            terminals: 400,
            sites: 100,
            regions: 5,
            acquirers: 4,
            hosts: 2,
            versions: 3,
            params: 2,
            ..Options::default()
        };
        let fleet: Vec<Terminal> = (0..400).map(|index| Terminal::new(index, &options)).collect();
        let count = |of: fn(&Terminal) -> String| fleet.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(count(|terminal| terminal.region.clone()), 5);
        assert_eq!(count(|terminal| format!("{}/{}", terminal.acquirer, terminal.host)), 8);
        assert!(fleet.iter().all(|terminal| terminal.host_number < 5 * 4 * 2));
        assert_eq!(count(|terminal| terminal.app_version.clone()), 3);
        assert_eq!(count(|terminal| terminal.param_version.clone()), 2);
        assert_eq!(count(|terminal| terminal.site.clone()), 100);
    }

    #[test]
    fn operators_take_turns_every_eight_hours() {
        let options = Options::default();
        let mut terminal = Terminal::new(3, &options);
        let crew: BTreeSet<String> = terminal.crew().collect();
        let mut seen = vec![terminal.operator.clone()];
        let mut now = options.start;
        for _ in 0..3 {
            let next = next_shift(now);
            assert!(next > now && next - now <= SHIFT_HOURS * HOUR_MS);
            now = next;
            terminal.change_shift(now);
            seen.push(terminal.operator.clone());
        }
        assert_eq!(seen[0], seen[3]);
        assert_eq!(seen[..3].iter().cloned().collect::<BTreeSet<_>>(), crew);
    }
}
