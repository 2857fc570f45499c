//! Which rule wants which event, and which of its fields: compiled once from the descriptors.

use std::{collections::BTreeMap, fmt};

use tillwatch_wit::{
    contract::{Descriptor, Scope},
    table::{CUSTOM, FieldId, TypeId},
};

use super::snapshot::StoredRule;
use crate::{event::Event, stage::Stage};

/// A rule as the engine needs it.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) key: Scope,
    /// The fields that it declared; their places are its pieces.
    pub(super) fields: Vec<FieldId>,
    /// The place of each field of the table among them; [`UNDECLARED`] where it is not.
    pub(super) places: [u8; 256],
    pub(super) stored: StoredRule,
    /// Its capabilities, sorted.
    capabilities: Vec<String>,
}

/// Stands as the place of a field that a rule does not declare.
pub(super) const UNDECLARED: u8 = u8::MAX;

impl Rule {
    /// Whether the rule declared `verb:object`.
    pub(super) fn may(&self, verb: &str, object: &str) -> bool {
        self.capabilities
            .binary_search_by(|known| {
                let (known_verb, known_object) = known.split_once(':').unwrap_or((known, ""));
                (known_verb, known_object).cmp(&(verb, object))
            })
            .is_ok()
    }
}

/// A rule that wants an event: (rule, index of the type in its descriptor).
pub(super) type Want = (u16, u32);

/// The compiled routes.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) rules: Vec<Rule>,
    /// For the order of timers: the rank of each rule's id among all.
    pub(super) rank: Vec<u16>,
    wants: Wants,
    /// In the second stage, of the rules that are keyed by each scope; empty in the first, where every rule is the terminal's.
    by_scope: BTreeMap<&'static str, Wants>,
}

/// Who wants which type.
#[derive(Debug, Default)]
struct Wants {
    known: Vec<Vec<Want>>,
    named: BTreeMap<String, Vec<Want>>,
    custom: Vec<Want>,
}

impl Wants {
    fn add(&mut self, rule: u16, descriptor: &Descriptor) {
        self.known.resize(256, Vec::new());
        for (index, name) in (0u32..).zip(&descriptor.events) {
            let event_type = TypeId::by_name(name);
            if event_type != TypeId::CUSTOM {
                self.known[event_type.0 as usize].push((rule, index));
            } else if name == CUSTOM {
                self.custom.push((rule, index));
            } else {
                self.named.entry(name.clone()).or_default().push((rule, index));
            }
        }
    }

    /// Types that one rule names are custom for every other that asks for those.
    fn settle(&mut self) {
        for wants in self.named.values_mut() {
            let all = self.custom.iter().filter(|want| !wants.iter().any(|named| named.0 == want.0));
            let all: Vec<Want> = all.copied().collect();
            wants.extend(all);
            wants.sort_unstable();
        }
    }

    #[inline]
    fn of(&self, event: &Event) -> &[Want] {
        if event.event_type() == TypeId::CUSTOM {
            self.named.get(event.type_name()).unwrap_or(&self.custom)
        } else {
            self.known.get(event.event_type().0 as usize).map_or(&[], Vec::as_slice)
        }
    }
}

/// A set of rules that cannot run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// Two rules with one id.
    DuplicateRule(String),
    /// A descriptor names a field that the table does not have: (rule, field).
    UnknownField(String, String),
    /// A rule keyed by something that one input partition does not hold together: (rule, scope).
    WrongKey(String, Scope),
    /// A rule of the second stage that would send to it: (rule, capability).
    Loop(String, String),
    /// More rules than there is room for.
    TooManyRules(usize),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateRule(id) => write!(f, "two rules are called {id}: rename or disable one in the config"),
            Self::UnknownField(id, field) => write!(
                f,
                "rule {id} declares the field {field:?}, which this version does not know: build the rule against this version's table"
            ),
            Self::WrongKey(id, key) => write!(
                f,
                "rule {id} is keyed by {}: the first stage runs rules keyed by payment or terminal, the second those keyed by anything else",
                key.name()
            ),
            Self::Loop(id, capability) => write!(
                f,
                "rule {id} declares {capability} and is of the second stage: nothing waits for what it would send to itself. Send findings \
                 or incidents"
            ),
            Self::TooManyRules(count) => write!(f, "{count} rules: at most {RULES_MAX} run together"),
        }
    }
}

impl std::error::Error for SetupError {}

/// Rules of one engine.
pub const RULES_MAX: usize = 64;

impl Routes {
    pub(super) fn new(stage: Stage, descriptors: &[Descriptor]) -> Result<Self, SetupError> {
        if descriptors.len() > RULES_MAX {
            return Err(SetupError::TooManyRules(descriptors.len()));
        }
        let mut routes =
            Self { rules: Vec::new(), rank: Vec::new(), wants: Wants::default(), by_scope: BTreeMap::new() };
        for (rule, descriptor) in (0u16..).zip(descriptors) {
            if routes.rules.iter().any(|other| other.id == descriptor.id) {
                return Err(SetupError::DuplicateRule(descriptor.id.clone()));
            }
            if stage != stage_of(descriptor.key) {
                return Err(SetupError::WrongKey(descriptor.id.clone(), descriptor.key));
            }
            routes.wants.add(rule, descriptor);
            if stage == Stage::Second {
                routes.by_scope.entry(descriptor.key.name()).or_default().add(rule, descriptor);
                if let Some(wrong) =
                    descriptor.capabilities.iter().find(|known| known.starts_with("derive:pos.evidence"))
                {
                    return Err(SetupError::Loop(descriptor.id.clone(), wrong.clone()));
                }
            }
            routes.rules.push(compile(descriptor)?);
        }
        routes.wants.settle();
        routes.by_scope.values_mut().for_each(Wants::settle);
        let mut ids: Vec<&str> = descriptors.iter().map(|descriptor| descriptor.id.as_str()).collect();
        ids.sort_unstable();
        routes.rank = routes
            .rules
            .iter()
            .map(|rule| {
                let rank = ids.binary_search(&rule.id.as_str()).expect("invariant: every id is in the list");
                u16::try_from(rank).expect("invariant: at most RULES_MAX rules")
            })
            .collect();
        Ok(routes)
    }

    /// Who wants the event, in the order of the rules; in the second stage, of those that are keyed by the scope that it is addressed to.
    #[inline]
    pub(super) fn of(&self, event: &Event) -> &[Want] {
        if self.by_scope.is_empty() {
            return self.wants.of(event);
        }
        let scope = event.key().split_once(':').map_or("", |(scope, _)| scope);
        self.by_scope.get(scope).map_or(&[], |wants| wants.of(event))
    }

    /// Whether any rule wants that type.
    pub(super) fn wanted(&self, event_type: TypeId) -> bool {
        self.wants.known.get(event_type.0 as usize).is_some_and(|wants| !wants.is_empty())
    }
}

/// The stage that runs rules of a key.
#[must_use]
pub fn stage_of(key: Scope) -> Stage {
    match key {
        Scope::Payment | Scope::Terminal => Stage::First,
        Scope::Site | Scope::Acquirer | Scope::Host | Scope::Version | Scope::Operator | Scope::Region => Stage::Second,
    }
}

fn compile(descriptor: &Descriptor) -> Result<Rule, SetupError> {
    let field = |name: &String| {
        FieldId::by_name(name).ok_or_else(|| SetupError::UnknownField(descriptor.id.clone(), name.clone()))
    };
    let mut capabilities = descriptor.capabilities.clone();
    capabilities.sort_by(|a, b| a.split_once(':').unwrap_or((a, "")).cmp(&b.split_once(':').unwrap_or((b, ""))));
    let fields = descriptor.fields.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let mut places = [UNDECLARED; 256];
    for (place, field) in (0u8..).zip(&fields) {
        places[field.0 as usize] = place;
    }
    Ok(Rule {
        id: descriptor.id.clone(),
        version: descriptor.version.clone(),
        key: descriptor.key,
        stored: StoredRule::new(&descriptor.id, descriptor.state_version),
        fields,
        places,
        capabilities,
    })
}
