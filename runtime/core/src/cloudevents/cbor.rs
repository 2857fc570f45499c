//! CBOR by pulling headers: `data`, and the envelope of structured mode. No tree, and nothing allocated by what a length claims.

use std::borrow::Cow;

use ciborium_ll::{Header, simple, tag};
use tillwatch_wit::table::FieldId;

use super::{
    encode::Format,
    envelope::{Attribute, Coding, Data, Envelope},
    failure::{BAD_CBOR, Failure, NOT_CLOUDEVENTS},
    fields::{Fields, Tables, ascii, is_text},
    usual::Coming,
};
use crate::limits::Limits;

/// The tag of a text that is a date and time.
const TAG_DATE_TIME: u64 = 0;

/// Reads the fields of one `data`. With `any` it may be something else than a map, which has no fields.
pub(super) fn data(
    bytes: &[u8],
    any: bool,
    tables: &Tables,
    usual: &mut Coming<'_>,
    fields: &mut Fields,
    limits: &Limits,
) -> Result<(), Failure> {
    let mut cursor = Cursor::new(bytes, limits);
    match cursor.pull()? {
        Header::Map(length) => {
            cursor.ascii = ascii(cursor.rest());
            let mut entries = Entries(length);
            loop {
                cursor.usual_texts(&mut entries, usual, fields);
                if !entries.more() {
                    break;
                }
                match cursor.field_name(&mut entries, tables, usual)? {
                    Some(Some(field)) => cursor.entry(field, fields)?,
                    Some(None) => {
                        let value = cursor.pull()?;
                        cursor.skip(value, 1)?;
                    }
                    None => break,
                }
            }
        }
        Header::Simple(simple::NULL | simple::UNDEFINED) => {}
        other if any => cursor.skip(other, 0)?,
        other => return Err(Failure::field("data", "a map", name_of(other))),
    }
    cursor.end()
}

/// Reads the envelope of a structured event.
pub(super) fn envelope<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, Failure> {
    let mut cursor = Cursor::new(bytes, limits);
    let Header::Map(length) = cursor.pull()? else {
        return Err(Failure::new(NOT_CLOUDEVENTS, "the payload is no map"));
    };
    let mut envelope = Envelope::default();
    let mut entries = Entries(length);
    while let Some(header) = entries.next(&mut cursor)? {
        let name = cursor.name(header)?;
        let start = cursor.at;
        let value = cursor.pull()?;
        if name == "data" {
            let data = match value {
                Header::Simple(simple::NULL | simple::UNDEFINED) => continue,
                Header::Bytes(Some(length)) => {
                    let bytes = cursor.take(length)?;
                    Data::Slice { bytes, start: cursor.at - length, coding: Coding::Declared }
                }
                other => {
                    cursor.skip(other, 0)?;
                    Data::Slice { bytes: &bytes[start..cursor.at], start, coding: Coding::As(Format::Cbor) }
                }
            };
            envelope.set_data(data)?;
            continue;
        }
        let Some(attribute) = Attribute::by_name(&name) else {
            cursor.skip(value, 1)?;
            continue;
        };
        match value {
            Header::Text(Some(length)) => envelope.set(attribute, Cow::Borrowed(cursor.text(length)?))?,
            Header::Text(None) => envelope.set(attribute, Cow::Owned(cursor.chunks()?))?,
            Header::Tag(TAG_DATE_TIME) => match cursor.pull()? {
                Header::Text(Some(length)) => envelope.set(attribute, Cow::Borrowed(cursor.text(length)?))?,
                other => return Err(Failure::attribute(attribute.name(), name_of(other))),
            },
            Header::Simple(simple::NULL | simple::UNDEFINED) => {}
            other => return Err(Failure::attribute(attribute.name(), name_of(other))),
        }
    }
    cursor.end()?;
    Ok(envelope)
}

/// Calls `each` with the names of a map and the bytes of their values, as far as they can be read.
pub(super) fn entries(bytes: &[u8], each: &mut dyn FnMut(&str, &[u8])) {
    let limits = Limits { text_bytes_max: usize::MAX, depth_max: usize::MAX, ..Limits::default() };
    let mut cursor = Cursor::new(bytes, &limits);
    let Ok(Header::Map(length)) = cursor.pull() else { return };
    let mut entries = Entries(length);
    while let Ok(Some(header)) = entries.next(&mut cursor) {
        let name = cursor.name(header);
        let start = cursor.at;
        let read = cursor.pull().and_then(|value| cursor.skip(value, 1));
        let (Ok(name), Ok(())) = (name, read) else { return };
        if !name.is_empty() {
            each(&name, &bytes[start..cursor.at]);
        }
    }
}

/// Calls `found(start, end, joined)` with every text and byte string, as far as the bytes can be read; `joined`: a chunk that belongs to the string before.
pub(super) fn strings(bytes: &[u8], found: &mut dyn FnMut(usize, usize, bool)) {
    let limits = Limits { text_bytes_max: usize::MAX, ..Limits::default() };
    let mut cursor = Cursor::new(bytes, &limits);
    let (mut chunks, mut joined) = (false, false);
    while cursor.at < bytes.len() {
        match cursor.pull() {
            Ok(Header::Text(Some(length)) | Header::Bytes(Some(length))) => {
                let Ok(string) = cursor.take(length) else { return };
                found(cursor.at - string.len(), cursor.at, joined);
                joined = chunks;
            }
            Ok(Header::Text(None) | Header::Bytes(None)) => (chunks, joined) = (true, false),
            Ok(Header::Break) => (chunks, joined) = (false, false),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// The entries that a map still has.
struct Entries(Option<usize>);

impl Entries {
    /// The header of the next key; none at the end.
    #[inline(always)]
    fn next(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<Option<Header>, Failure> {
        if self.more() { self.head(cursor) } else { Ok(None) }
    }

    /// Whether there may be one more, which then counts as read.
    #[inline(always)]
    fn more(&mut self) -> bool {
        match &mut self.0 {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        true
    }

    /// The header of a key that may be there; none where a break is.
    #[inline(always)]
    fn head(&self, cursor: &mut Cursor<'_, '_>) -> Result<Option<Header>, Failure> {
        match (cursor.pull()?, self.0) {
            (Header::Break, None) => Ok(None),
            (Header::Break, Some(_)) => Err(cursor.bad("a break in a map of known length")),
            (header, _) => Ok(Some(header)),
        }
    }
}

/// Where the reading is.
struct Cursor<'a, 'l> {
    bytes: &'a [u8],
    at: usize,
    limits: &'l Limits,
    /// Nothing that is left is anything but ASCII: no text of it has to be looked at.
    ascii: bool,
}

impl<'a, 'l> Cursor<'a, 'l> {
    fn new(bytes: &'a [u8], limits: &'l Limits) -> Self {
        Self { bytes, at: 0, limits, ascii: false }
    }

    /// The next header. Those that fit two bytes, nearly all of them, are read here: through a reader they cost twice the rest (ADR 0003).
    #[inline(always)]
    fn pull(&mut self) -> Result<Header, Failure> {
        let rest = self.rest();
        if let Some(&first) = rest.first() {
            let (size, value) = match (first & 0x1f, rest.get(1)) {
                (small @ 0..24, _) => (1, small),
                (24, Some(&next)) => (2, next),
                _ => return self.pull_long(),
            };
            let header = match first >> 5 {
                0 => Header::Positive(u64::from(value)),
                1 => Header::Negative(u64::from(value)),
                2 => Header::Bytes(Some(usize::from(value))),
                3 => Header::Text(Some(usize::from(value))),
                4 => Header::Array(Some(usize::from(value))),
                5 => Header::Map(Some(usize::from(value))),
                6 => Header::Tag(u64::from(value)),
                _ => Header::Simple(value),
            };
            self.at += size;
            return Ok(header);
        }
        self.pull_long()
    }

    /// Integers of two and four bytes are amounts and counts; everything else that is long is seldom.
    fn pull_long(&mut self) -> Result<Header, Failure> {
        let (size, value) = match *self.rest() {
            [0x19, a, b, ..] => (3, u64::from(u16::from_be_bytes([a, b]))),
            [0x1a, a, b, c, d, ..] => (5, u64::from(u32::from_be_bytes([a, b, c, d]))),
            _ => return self.pull_any(),
        };
        self.at += size;
        Ok(Header::Positive(value))
    }

    #[cold]
    fn pull_any(&mut self) -> Result<Header, Failure> {
        let mut decoder = ciborium_ll::Decoder::from(self.rest());
        match decoder.pull() {
            Ok(header) => {
                self.at += decoder.offset();
                Ok(header)
            }
            Err(ciborium_ll::Error::Io(_)) => Err(self.bad("the bytes end inside an item")),
            Err(ciborium_ll::Error::Syntax(_)) => Err(self.bad("no CBOR item begins like this")),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let Some(bytes) = self.rest().get(..length) else {
            return Err(self.bad("a string is longer than what follows"));
        };
        self.at += length;
        Ok(bytes)
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<&'a str, Failure> {
        let bytes = self.take_text(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.no_utf8(length))
    }

    /// The bytes of a text, which nobody has looked at.
    #[inline]
    fn take_text(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let bytes = self.take(length)?;
        if length > self.limits.text_bytes_max {
            return Err(Failure::long_text(length, self.limits.text_bytes_max));
        }
        Ok(bytes)
    }

    /// The text of so many bytes just before is none.
    #[cold]
    fn no_utf8(&mut self, length: usize) -> Failure {
        self.at -= length;
        self.bad("a text is no UTF-8")
    }

    /// The next item where it is a text in one piece of fewer than 256 bytes, as nearly every name and text is; nobody has looked at its bytes.
    /// None, and nothing is read, where it is anything else.
    #[inline(always)]
    fn short_text(&mut self) -> Option<&'a [u8]> {
        let (text, behind) = self.split_text(self.rest())?;
        self.at = self.bytes.len() - behind.len();
        Some(text)
    }

    /// The same at the beginning of any bytes, and what is behind it.
    #[inline(always)]
    fn split_text<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let (length, rest) = match bytes {
            [first @ 0x60..=0x77, rest @ ..] => (first - 0x60, rest),
            [0x78, length, rest @ ..] => (*length, rest),
            _ => return None,
        };
        rest.split_at_checked(usize::from(length)).filter(|(text, _)| text.len() <= self.limits.text_bytes_max)
    }

    /// What is left.
    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next name, and the field that it is of; neither where a break is. Names of the table are UTF-8: what is one of them needs no check.
    fn field_name(
        &mut self,
        entries: &mut Entries,
        tables: &Tables,
        usual: &mut Coming<'_>,
    ) -> Result<Option<Option<FieldId>>, Failure> {
        let start = self.at;
        if let Some(name) = usual.ahead().first()
            && let Some(behind) = name.before(self.rest())
        {
            self.at = self.bytes.len() - behind.len();
            let field = name.field;
            usual.came(1);
            return Ok(Some(Some(field)));
        }
        if let Some(name) = self.short_text() {
            let field = tables.field(name);
            match field {
                Some(field) => usual.put(&self.bytes[start..self.at], field),
                None if !self.is_text(name) => return Err(self.no_utf8(name.len())),
                None => {}
            }
            return Ok(Some(field));
        }
        let Some(header) = entries.head(self)? else { return Ok(None) };
        Ok(Some(tables.field(self.name(header)?.as_bytes())))
    }

    /// Whether bytes that are left, or were just read, are UTF-8.
    #[inline(always)]
    fn is_text(&self, bytes: &[u8]) -> bool {
        self.ascii || is_text(bytes)
    }

    /// Reads entries as long as each has the name that usually comes next and a short text, as nearly all have, and leaves the first that has not
    /// to those who read everything, and say what is wrong with it.
    #[inline(never)]
    fn usual_texts(&mut self, entries: &mut Entries, usual: &mut Coming<'_>, fields: &mut Fields) {
        let (Some(left), Some(base)) = (&mut entries.0, fields.base()) else { return };
        let (end, mut rest) = (base + self.bytes.len(), self.rest());
        let ahead = usual.ahead();
        let ahead = &ahead[..ahead.len().min(*left)];
        let mut names = ahead.iter();
        while let [name, ..] = names.as_slice() {
            if !name.text {
                break;
            }
            let Some(value) = name.before(rest) else { break };
            let Some((text, behind)) = self.split_text(value) else { break };
            let text_end = end - behind.len();
            if !self.is_text(text) || !fields.new_text(name.field, text_end - text.len(), text_end) {
                break;
            }
            rest = behind;
            names.next();
        }
        let came = ahead.len() - names.len();
        *left -= came;
        usual.came(came);
        self.at = self.bytes.len() - rest.len();
    }

    /// The value of a field whose name is just before.
    fn entry(&mut self, field: FieldId, fields: &mut Fields) -> Result<(), Failure> {
        fields.see(field)?;
        if let Some(text) = self.short_text() {
            return self.field_text(field, text, fields);
        }
        let value = self.pull()?;
        self.field(field, value, fields)
    }

    /// A field whose text is just before.
    fn field_text(&mut self, field: FieldId, text: &[u8], fields: &mut Fields) -> Result<(), Failure> {
        if !self.is_text(text) {
            return Err(self.no_utf8(text.len()));
        }
        fields.text(field, text, Some(self.at - text.len()))
    }

    /// A text in chunks, whose header was just read.
    fn chunks(&mut self) -> Result<String, Failure> {
        let mut whole = String::new();
        loop {
            match self.pull()? {
                Header::Text(Some(length)) => whole.push_str(self.text(length)?),
                Header::Break => return Ok(whole),
                _ => return Err(self.bad("a chunk of a text is no text of known length")),
            }
            if whole.len() > self.limits.text_bytes_max {
                return Err(Failure::long_text(whole.len(), self.limits.text_bytes_max));
            }
        }
    }

    /// The key of a map, whose header was just read; empty, as no name is, where it is no text.
    #[inline(always)]
    fn name(&mut self, header: Header) -> Result<Cow<'a, str>, Failure> {
        match header {
            Header::Text(Some(length)) => self.text(length).map(Cow::Borrowed),
            Header::Text(None) => self.chunks().map(Cow::Owned),
            other => self.skip(other, 1).map(|()| Cow::Borrowed("")),
        }
    }

    /// The rest of an item whose header was just read, `depth` levels down.
    fn skip(&mut self, header: Header, depth: usize) -> Result<(), Failure> {
        match header {
            Header::Text(Some(length)) => self.text(length).map(drop),
            Header::Text(None) => self.chunks().map(drop),
            Header::Bytes(Some(length)) => self.take(length).map(drop),
            Header::Bytes(None) => loop {
                match self.pull()? {
                    Header::Bytes(Some(length)) => self.take(length).map(drop)?,
                    Header::Break => return Ok(()),
                    _ => return Err(self.bad("a chunk of a byte string is no byte string of known length")),
                }
            },
            Header::Array(length) => self.items(length, depth + 1),
            Header::Map(length) => {
                self.descend(depth + 1)?;
                let mut entries = Entries(length);
                while let Some(key) = entries.next(self)? {
                    self.skip(key, depth + 1)?;
                    let value = self.pull()?;
                    self.skip(value, depth + 1)?;
                }
                Ok(())
            }
            Header::Tag(_) => self.items(Some(1), depth + 1),
            Header::Break => Err(self.bad("a break outside of an item of unknown length")),
            Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => Ok(()),
        }
    }

    fn items(&mut self, length: Option<usize>, depth: usize) -> Result<(), Failure> {
        self.descend(depth)?;
        let mut left = length;
        loop {
            match &mut left {
                Some(0) => return Ok(()),
                Some(left) => *left -= 1,
                None => {}
            }
            match (self.pull()?, left) {
                (Header::Break, None) => return Ok(()),
                (header, _) => self.skip(header, depth)?,
            }
        }
    }

    fn descend(&self, depth: usize) -> Result<(), Failure> {
        let max = depth_max(self.limits);
        if depth > max { Err(Failure::deep(max)) } else { Ok(()) }
    }

    /// The value of a field of the table, whose header was just read.
    fn field(&mut self, field: FieldId, header: Header, fields: &mut Fields) -> Result<(), Failure> {
        match header {
            Header::Text(Some(length)) => {
                let text = self.take_text(length)?;
                self.field_text(field, text, fields)
            }
            Header::Text(None) => fields.text(field, self.chunks()?.as_bytes(), None),
            Header::Positive(value) => fields.integer(field, i128::from(value)),
            Header::Negative(value) => fields.integer(field, -1 - i128::from(value)),
            Header::Float(value) => fields.number(field, value),
            Header::Simple(simple::NULL | simple::UNDEFINED) => Ok(()),
            Header::Simple(value @ (simple::FALSE | simple::TRUE)) => fields.flag(field, value == simple::TRUE),
            Header::Tag(TAG_DATE_TIME) => match self.pull()? {
                header @ Header::Text(_) => self.field(field, header, fields),
                other => {
                    fields.mistyped(field, name_of(other))?;
                    self.skip(other, 1)
                }
            },
            other => {
                fields.mistyped(field, name_of(other))?;
                self.skip(other, 1)
            }
        }
    }

    fn end(&self) -> Result<(), Failure> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.bad("more bytes follow the item")) }
    }

    fn bad(&self, what: &str) -> Failure {
        Failure::new(BAD_CBOR, format!("at byte {}: {what}", self.at))
    }
}

/// serde_json stops at 128 levels, so nothing deeper is read in either format, whatever the limit says.
pub(super) fn depth_max(limits: &Limits) -> usize {
    limits.depth_max.min(127)
}

fn name_of(header: Header) -> &'static str {
    match header {
        Header::Positive(_) | Header::Negative(_) => "an integer",
        Header::Float(_) => "a floating-point number",
        Header::Simple(simple::FALSE | simple::TRUE) => "a flag",
        Header::Simple(_) => "a simple value",
        Header::Tag(tag::BIGPOS | tag::BIGNEG) => "a big number",
        Header::Tag(_) => "a tagged item",
        Header::Break => "a break",
        Header::Bytes(_) => "a byte string",
        Header::Text(_) => "a text",
        Header::Array(_) => "an array",
        Header::Map(_) => "a map",
    }
}
