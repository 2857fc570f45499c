//! Announced maintenance: which places announce it, and of what it is one incident.
//!
//! Owns no window: what is stuck while one is open is found by [`crate::judge::announced`].

use tillwatch_sdk::{Instant, evidence::Notice};

use crate::state::{Cohort, Gathering, PLACES_MAX, Region, entry, word_of};

/// How long announcements are gathered from the first on, ms: the terminals of a region go down one after the other, and gateways speak of
/// their hosts every 30 s.
pub const GATHER_MS: i64 = 35_000;

/// What the announcement of a whole place counts, in those of its terminals.
const WHOLE: u64 = 1_000;

/// Maintenance was announced, or is over: by a terminal of itself, or by a gateway of a host.
pub fn heard(region: &mut Region, notice: &Notice, now: Instant) {
    let cohorts = Cohort::of(&notice.cohorts);
    let begins = notice.until > notice.from;
    let of_terminal = word_of(&notice.about) == "terminal";
    let weight = if of_terminal { 1 } else { WHOLE };
    let covers = |scope: &str| scope == notice.about || cohorts.within(scope);
    if let Some(open) = region.incidents.iter_mut().find(|open| open.maintenance && covers(&open.scope)) {
        let announced = open.announced;
        open.announced = if begins { announced.saturating_add(weight) } else { announced.saturating_sub(weight) };
        open.until = if open.announced == 0 { now } else { open.until.max(notice.until) };
        open.joined_at = now;
        return;
    }
    let place = if of_terminal { cohorts.named("site") } else { Some(notice.about.as_str()) };
    let Some(place) = place else { return };
    if begins {
        let gathering = region.gathering.get_or_insert_with(|| Gathering { since: now, ..Gathering::default() });
        gathering.until = gathering.until.max(notice.until);
        if gathering.places.len() < PLACES_MAX || gathering.places.iter().any(|(known, _)| known == place) {
            let count = entry(&mut gathering.places, place.to_owned());
            *count = count.saturating_add(weight);
        }
    } else if let Some(gathering) = &mut region.gathering {
        let of_it = gathering.places.iter_mut().filter(|(known, _)| known == place);
        of_it.for_each(|(_, count)| *count = count.saturating_sub(weight));
        gathering.places.retain(|(_, count)| *count > 0);
    }
}

/// The scope of the region itself, where it had payments.
pub fn home(region: &Region) -> Option<&str> {
    region.payments.scopes().find(|scope| word_of(scope) == "region")
}

/// Of what it is an incident, with the announcements in it. Half of the sites of a region that had payments are the region, all hosts of an
/// acquirer are that, all hosts the region; otherwise each place is its own, and a site only where more than one till announces it.
#[must_use]
pub fn scopes(gathering: &Gathering, region: &Region, terminals_min: u64) -> Vec<(String, u64)> {
    let all = |places: &[&(String, u64)]| places.iter().map(|(_, count)| count).sum();
    if let Some((home, _)) = gathering.places.iter().find(|(place, _)| word_of(place) == "region") {
        return vec![(home.clone(), all(&gathering.places.iter().collect::<Vec<_>>()))];
    }
    let mut scopes: Vec<(String, u64)> = Vec::new();
    for word in ["site:", "host:"] {
        let places: Vec<&(String, u64)> =
            gathering.places.iter().filter(|(place, _)| place.starts_with(word)).collect();
        let Some((first, _)) = places.first() else { continue };
        let acquirer = first.split_inclusive('/').next().filter(|_| word == "host:").unwrap_or_default();
        let wider = if !acquirer.is_empty() && places.iter().all(|(place, _)| place.starts_with(acquirer)) {
            acquirer
        } else {
            word
        };
        let peers = region.payments.scopes().filter(|scope| scope.starts_with(wider)).count();
        // Hosts that nobody speaks of are well, and gateways speak of each; tills that had payments may have none at this hour.
        let needed = if word == "host:" { peers } else { peers.div_ceil(2) };
        if peers == 0 || places.len() < needed.max(2) {
            scopes.extend(places.into_iter().filter(|(_, count)| *count >= terminals_min).cloned());
        } else if wider == word {
            return home(region).map(|home| (home.to_owned(), all(&places))).into_iter().collect();
        } else {
            let acquirer = wider.trim_start_matches(word).trim_end_matches('/');
            scopes.push((format!("acquirer:{acquirer}"), all(&places)));
        }
    }
    scopes
}
