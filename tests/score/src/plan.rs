//! Which scenario a seed stands for.

use anyhow::{Context as _, Result, ensure};
use tillwatch::simulate::{Faults, Inject, Options};
use tillwatch_core::Instant;

const MINUTE: Instant = 60_000;

/// How long customers come, ms.
pub const DURATION_MS: Instant = 40 * MINUTE;

/// Every cause at each level that fits it, two at once, and days on which nothing is injected: normal ones, and of a bad week.
const SHAPES: [&[&str]; 30] = [
    &["N1@site"],
    &["N2@site"],
    &["N3@site"],
    &["N4@host"],
    &["H1@terminal"],
    &["H2@terminal"],
    &["H3@terminal"],
    &["H4@terminal"],
    &["S1@version"],
    &["S2@site"],
    &["S3@version+host"],
    &["S4@site"],
    &["P1@operator"],
    &["P2@operator"],
    &["P3@operator"],
    &["P4@operator"],
    &["maintenance@region"],
    &["maintenance@host"],
    &["customer@site"],
    &["mixed@site"],
    &["N4@acquirer"],
    &["N2@host"],
    &["S2@acquirer"],
    &["S4@version"],
    &["H1@terminal", "H2@terminal"],
    &["N3@site", "N4@host"],
    &["N1@site", "S1@version"],
    &[],
    &["P2@operator", "H4@terminal"],
    &[],
];

/// The shape whose days have a few of each fault that befalls a payment.
const BAD_WEEK: u64 = 29;

/// How strong the faults of a seed are, by turns; the one under 30 is a near miss.
const STRENGTHS: [u8; 8] = [80, 60, 100, 20, 80, 70, 90, 50];

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its faults as flags of `tillwatch simulate` write them.
    pub name: String,
    /// The fleet.
    pub options: Options,
}

/// The scenario of a seed.
///
/// # Panics
/// Never: the shapes are legal, as a test holds.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    let count = SHAPES.len() as u64;
    let place = |value: u64| usize::try_from(value).expect("invariant: below the length of an array");
    let shape = SHAPES[place(seed % count)];
    let strength = STRENGTHS[place(seed / count % STRENGTHS.len() as u64)];
    let people = shape.iter().any(|fault| fault.starts_with('P'));
    // A rule of people compares many payments of one operator with those of the others.
    let (from, lasts) = if people { (5 * MINUTE, 30 * MINUTE) } else { (10 * MINUTE, 15 * MINUTE) };
    let inject = |fault: &&str| {
        let inject: Inject = fault.parse().expect("invariant: the shapes are legal");
        Inject { from, lasts, strength, ..inject }
    };
    // What goes wrong now and then has no injected fault to blame: only the days without one have it.
    let (name, faults) = match shape {
        [] if seed % count == BAD_WEEK => ("a bad week".to_owned(), Faults::some()),
        [] => ("nothing".to_owned(), Faults::day()),
        _ => (format!("{} strength {strength}", shape.join(" ")), Faults::none()),
    };
    let options = Options {
        seed,
        terminals: 48,
        sites: 12,
        regions: 2,
        acquirers: 2,
        hosts: 2,
        versions: 3,
        payments_per_hour: if people { 120.0 } else { 75.0 },
        busy_hours: false,
        faults,
        inject: shape.iter().map(inject).collect(),
        ..Options::default()
    };
    Plan { name, options }
}

/// Reads `7` or `1..240`, both ends included.
///
/// # Errors
/// It is neither.
pub fn range(text: &str) -> Result<Vec<u64>> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u64>().with_context(|| format!("{text:?} is no seed"));
    let (low, high) = (number(low)?, number(high)?);
    ensure!(low <= high && high - low < 100_000, "{text:?} is no range of at most 100000 seeds");
    Ok((low..=high).collect())
}

/// Reads a list: a seed or a range a line, `#` for comments.
///
/// # Errors
/// A line that is neither.
pub fn list(text: &str) -> Result<Vec<u64>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let ranges = lines.map(range).collect::<Result<Vec<_>>>()?;
    Ok(ranges.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tillwatch::simulate::Cause;

    #[test]
    fn the_committed_seeds_are_enough_legal_and_have_every_cause() {
        let (seeds, held_out) = (include_str!("../seeds"), include_str!("../held-out"));
        let (seeds, held_out) = (list(seeds).unwrap(), list(held_out).unwrap());
        assert!(seeds.len() >= 200 && held_out.len() >= 200);
        assert!(seeds.iter().all(|seed| !held_out.contains(seed)));
        let mut causes = BTreeSet::new();
        for seed in seeds {
            let plan = plan(seed);
            assert_eq!(plan.options.errors(), [], "{seed}: {}", plan.name);
            causes.extend(plan.options.inject.iter().map(|inject| inject.cause));
        }
        assert_eq!(causes, Cause::ALL.iter().copied().collect());
    }

    #[test]
    fn lists_are_read_or_refused() {
        assert_eq!(list("# some\n3\n\n5..7\n").unwrap(), [3, 5, 6, 7]);
        assert!(list("7..5").is_err() && list("all").is_err());
    }
}
