//! The contract between the runtime and its rules.
//!
//! Owns the WIT package ([`RULE_WIT`]), the plain Rust shape of what crosses the boundary ([`contract`]), the table of event types and
//! fields that host and SDK share ([`table`]), how findings and commands are named ([`ids`]), and what a masked card number looks like
//! ([`mask`]). Owns no behaviour, no I/O and no encoding beyond that of one piece.

pub mod contract;
pub mod ids;
pub mod mask;
pub mod table;

/// The text of `wit/rule.wit`.
pub const RULE_WIT: &str = include_str!("../rule.wit");

#[cfg(test)]
mod tests {
    use super::RULE_WIT;

    #[test]
    fn the_package_parses_and_every_item_is_documented() {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("rule.wit", RULE_WIT).expect("rule.wit parses");
        assert_eq!(resolve.packages[package].name.to_string(), "tillwatch:rule@0.1.0");
        let interface = &resolve.interfaces[resolve.packages[package].interfaces["types"]];
        for (name, id) in &interface.types {
            let item = &resolve.types[*id];
            assert!(item.docs.contents.is_some(), "type {name} has no documentation");
            let undocumented: Vec<_> = match &item.kind {
                wit_parser::TypeDefKind::Record(r) => {
                    r.fields.iter().filter(|f| f.docs.contents.is_none()).map(|f| f.name.clone()).collect()
                }
                wit_parser::TypeDefKind::Variant(v) => {
                    v.cases.iter().filter(|c| c.docs.contents.is_none()).map(|c| c.name.clone()).collect()
                }
                wit_parser::TypeDefKind::Enum(e) => {
                    e.cases.iter().filter(|c| c.docs.contents.is_none()).map(|c| c.name.clone()).collect()
                }
                _ => Vec::new(),
            };
            assert_eq!(undocumented, Vec::<String>::new(), "in {name}");
        }
        let world = &resolve.worlds[resolve.packages[package].worlds["rule"]];
        let functions: Vec<_> =
            world.exports.values().filter(|e| matches!(e, wit_parser::WorldItem::Function(_))).collect();
        assert_eq!(functions.len(), 4);
        let imported_functions = world.imports.values().any(|i| matches!(i, wit_parser::WorldItem::Function(_)));
        assert!(!imported_functions, "a rule imports nothing");
    }
}
