//! JSON by serde's visitors: `data`, and the envelope of structured mode. No tree.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tillwatch_wit::table::FieldId;

use super::{
    cbor::depth_max,
    encode::Format,
    envelope::{Attribute, Coding, Data, Envelope},
    failure::{BAD_JSON, Failure, NOT_CLOUDEVENTS},
    fields::{Fields, Tables},
};
use crate::limits::Limits;

/// Reads the fields of one `data`. With `any` it may be something else than an object, which has no fields.
pub(super) fn data(
    bytes: &[u8],
    any: bool,
    tables: &Tables,
    fields: &mut Fields,
    limits: &Limits,
) -> Result<(), Failure> {
    let mut context = Context { bytes, limits, failure: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = json.deserialize_any(Object { context: &mut context, tables, fields, any }).and_then(|()| json.end());
    context.finish(read)
}

/// Reads the envelope of a structured event.
pub(super) fn envelope<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, Failure> {
    let mut context = Context { bytes, limits, failure: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut envelope = Envelope::default();
    let visitor = Attributes { context: &mut context, envelope: &mut envelope };
    let read = json.deserialize_any(visitor).and_then(|()| json.end());
    context.finish(read)?;
    Ok(envelope)
}

/// What every visitor needs. A failure is kept here: serde's own messages would quote the payload.
struct Context<'a, 'l> {
    bytes: &'a [u8],
    limits: &'l Limits,
    failure: Option<Failure>,
}

impl Context<'_, '_> {
    fn finish(self, read: Result<(), serde_json::Error>) -> Result<(), Failure> {
        match (self.failure, read) {
            (Some(failure), _) => Err(failure),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => {
                let what = if error.is_data() { "not of the expected shape".to_owned() } else { error.to_string() };
                Err(Failure::new(BAD_JSON, what))
            }
        }
    }

    fn keep<T, E: Error>(&mut self, result: Result<T, Failure>) -> Result<T, E> {
        result.map_err(|failure| {
            self.failure = Some(failure);
            E::custom("kept aside")
        })
    }

    fn fail<T, E: Error>(&mut self, failure: Failure) -> Result<T, E> {
        self.keep(Err(failure))
    }

    fn measure<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if text.len() > self.limits.text_bytes_max {
            return self.fail(Failure::long_text(text.len(), self.limits.text_bytes_max));
        }
        Ok(())
    }

    /// Where a text begins that was borrowed from the bytes.
    fn place(&self, text: &str) -> Option<usize> {
        let start = text.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        (start + text.len() <= self.bytes.len()).then_some(start)
    }
}

/// The object `data`.
struct Object<'c, 'a, 'l> {
    context: &'c mut Context<'a, 'l>,
    tables: &'c Tables,
    fields: &'c mut Fields,
    any: bool,
}

impl Object<'_, '_, '_> {
    fn other<E: Error>(self, found: &str) -> Result<(), E> {
        if self.any { Ok(()) } else { self.context.fail(Failure::field("data", "a map", found)) }
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name { context: self.context, tables: self.tables })? {
            let fields = match name {
                Some(field) => {
                    let seen = self.fields.see(field);
                    self.context.keep(seen)?;
                    Some((field, &mut *self.fields))
                }
                None => None,
            };
            map.next_value_seed(Value { context: self.context, target: fields, depth: 1 })?;
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        if self.any {
            return Value { context: self.context, target: None, depth: 0 }.visit_seq(seq);
        }
        self.other("an array")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.context.measure(text)?;
        self.other("a text")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.other("a flag")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.other("a number")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.other("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.other("a number")
    }
}

/// A key of `data`.
struct Name<'c, 'a, 'l> {
    context: &'c mut Context<'a, 'l>,
    tables: &'c Tables,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_, '_> {
    type Value = Option<FieldId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_, '_> {
    type Value = Option<FieldId>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        self.context.measure(name)?;
        Ok(self.tables.field(name.as_bytes()))
    }
}

/// Any value: of a field, or of something unknown, which is only checked.
struct Value<'c, 'a, 'l> {
    context: &'c mut Context<'a, 'l>,
    target: Option<(FieldId, &'c mut Fields)>,
    /// Levels around it.
    depth: usize,
}

impl Value<'_, '_, '_> {
    fn give<E: Error>(self, take: impl FnOnce(FieldId, &mut Fields) -> Result<(), Failure>) -> Result<(), E> {
        match self.target {
            Some((field, fields)) => {
                let taken = take(field, fields);
                self.context.keep(taken)
            }
            None => Ok(()),
        }
    }

    fn enter<E: Error>(&mut self, found: &str) -> Result<(), E> {
        if let Some((field, fields)) = self.target.take() {
            let mistyped = fields.mistyped(field, found);
            self.context.keep(mistyped)?;
        }
        self.depth += 1;
        let max = depth_max(self.context.limits);
        if self.depth > max { self.context.fail(Failure::deep(max)) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.context.measure(text)?;
        let place = self.context.place(text);
        self.give(|field, fields| fields.text(field, text.as_bytes(), place))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.context.measure(text)?;
        self.give(|field, fields| fields.text(field, text.as_bytes(), None))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.give(|field, fields| fields.integer(field, i128::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.give(|field, fields| fields.integer(field, i128::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.give(|field, fields| fields.number(field, value))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.give(|field, fields| fields.flag(field, value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.enter("an array")?;
        while seq.next_element_seed(Value { context: self.context, target: None, depth: self.depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.enter("a map")?;
        while map.next_key_seed(Value { context: self.context, target: None, depth: self.depth })?.is_some() {
            map.next_value_seed(Value { context: self.context, target: None, depth: self.depth })?;
        }
        Ok(())
    }
}

/// The object of a structured event.
struct Attributes<'c, 'a, 'l> {
    context: &'c mut Context<'a, 'l>,
    envelope: &'c mut Envelope<'a>,
}

impl<'a> Visitor<'a> for Attributes<'_, 'a, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let context = self.context;
        while let Some(name) = map.next_key_seed(Text { context, name: "the name of an attribute", numbers: false })? {
            let name = name.unwrap_or_default();
            if name == "data" {
                let raw: &'a RawValue = map.next_value()?;
                if raw.get() != "null" {
                    let start = context.place(raw.get()).expect("invariant: a raw value lies in the bytes");
                    let bytes = raw.get().as_bytes();
                    let set = self.envelope.set_data(Data::Slice { bytes, start, coding: Coding::As(Format::Json) });
                    context.keep(set)?;
                }
            } else if name == "data_base64" {
                let text = map.next_value_seed(Text { context, name: "data_base64", numbers: false })?;
                if let Some(text) = text {
                    let start = match &text {
                        Cow::Borrowed(text) => context.place(text),
                        Cow::Owned(_) => None,
                    };
                    let set = self.envelope.set_data(Data::Base64 { text, start });
                    context.keep(set)?;
                }
            } else if let Some(attribute) = Attribute::by_name(&name) {
                if let Some(value) =
                    map.next_value_seed(Text { context, name: attribute.name(), numbers: attribute.counts() })?
                {
                    context.measure(&value)?;
                    let set = self.envelope.set(attribute, value);
                    context.keep(set)?;
                }
            } else {
                context.measure(&name)?;
                map.next_value_seed(Value { context, target: None, depth: 1 })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        self.context.fail(Failure::new(NOT_CLOUDEVENTS, "the payload is no object"))
    }
}

/// A name or the text of an attribute; none for null.
struct Text<'c, 'a, 'l> {
    context: &'c mut Context<'a, 'l>,
    name: &'static str,
    /// Whether whole numbers are read as their text.
    numbers: bool,
}

impl Text<'_, '_, '_> {
    fn refuse<T, E: Error>(self, found: &str) -> Result<T, E> {
        let failure = Failure::attribute(self.name, found);
        self.context.fail(failure)
    }
}

impl<'a> DeserializeSeed<'a> for Text<'_, 'a, '_> {
    type Value = Option<Cow<'a, str>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Text<'_, 'a, '_> {
    type Value = Option<Cow<'a, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        if self.numbers { Ok(Some(Cow::Owned(value.to_string()))) } else { self.refuse("a number") }
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        self.refuse("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        self.refuse("a number")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        self.refuse("a flag")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refuse("an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refuse("a map")
    }
}
