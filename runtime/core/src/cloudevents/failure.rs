//! Why a record cannot be read. A reason names the place and never quotes the payload, which may hold what must be masked.

/// Every code of a dead letter that the decoder writes; each is a heading of `docs/runbook.md`.
pub const CODES: &[&str] = &[
    BAD_ATTRIBUTE,
    BAD_CBOR,
    BAD_FIELD,
    BAD_JSON,
    BAD_TIME,
    CONTENT_TYPE,
    EMPTY,
    KEY_MISMATCH,
    MISSING_ATTRIBUTE,
    NOT_CLOUDEVENTS,
    RESERVED_TYPE,
    TOMBSTONE,
    TOO_DEEP,
    TOO_LARGE,
];

pub(super) const BAD_ATTRIBUTE: &str = "bad-attribute";
pub(super) const BAD_CBOR: &str = "bad-cbor";
pub(super) const BAD_FIELD: &str = "bad-field";
pub(super) const BAD_JSON: &str = "bad-json";
pub(super) const BAD_TIME: &str = "bad-time";
pub(super) const CONTENT_TYPE: &str = "content-type";
pub(super) const EMPTY: &str = "empty";
pub(super) const KEY_MISMATCH: &str = "key-mismatch";
pub(super) const MISSING_ATTRIBUTE: &str = "missing-attribute";
pub(super) const NOT_CLOUDEVENTS: &str = "not-cloudevents";
pub(super) const RESERVED_TYPE: &str = "reserved-type";
pub(super) const TOMBSTONE: &str = "tombstone";
pub(super) const TOO_DEEP: &str = "too-deep";
pub(super) const TOO_LARGE: &str = "too-large";

/// What is wrong with a record. Boxed, since it travels in every result of the hot path and is hardly ever there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(Box<Why>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Why {
    code: &'static str,
    reason: String,
}

impl Failure {
    #[cold]
    pub(super) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self(Box::new(Why { code, reason: reason.into() }))
    }

    /// One of [`CODES`], and for a person what is wrong, where.
    pub(super) fn into_parts(self) -> (&'static str, String) {
        (self.0.code, self.0.reason)
    }

    pub(super) fn field(name: &str, expected: &str, found: &str) -> Self {
        Self::new(BAD_FIELD, format!("field `{name}` must be {expected}, not {found}"))
    }

    pub(super) fn attribute(name: &str, found: &str) -> Self {
        Self::new(BAD_ATTRIBUTE, format!("attribute `{name}` must be a text, not {found}"))
    }

    pub(super) fn missing(attribute: &str) -> Self {
        Self::new(MISSING_ATTRIBUTE, format!("attribute `{attribute}` is missing or empty"))
    }

    pub(super) fn long_text(bytes: usize, max: usize) -> Self {
        Self::new(TOO_LARGE, format!("a text of {bytes} bytes; `text_bytes_max` is {max}"))
    }

    pub(super) fn deep(max: usize) -> Self {
        Self::new(TOO_DEEP, format!("nested deeper than `depth_max`, {max}"))
    }
}
