//! A derived event as other rules see it.

use std::collections::BTreeMap;

use tillwatch_wit::contract::{Derived, Value};

/// Its `data`, CBOR, as the runtime writes it: the fields by name.
///
/// # Panics
/// Never: memory has room.
#[must_use]
pub fn data(derived: &Derived) -> Vec<u8> {
    let value = |value: &Value| match value {
        Value::Text(text) => ciborium::Value::from(text.as_str()),
        Value::Integer(integer) => ciborium::Value::from(*integer),
        Value::Number(number) => ciborium::Value::from(*number),
        Value::Flag(flag) => ciborium::Value::from(*flag),
    };
    let map: BTreeMap<&str, ciborium::Value> =
        derived.details.iter().map(|(name, of)| (name.as_str(), value(of))).collect();
    let mut bytes = Vec::new();
    ciborium::into_writer(&map, &mut bytes).expect("invariant: written to memory");
    bytes
}
