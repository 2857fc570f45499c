//! The attributes of one event, wherever they stood, and how a record carries them.

use std::borrow::Cow;

use super::{
    encode::{Format, Mode},
    failure::{BAD_ATTRIBUTE, CONTENT_TYPE, Failure, NOT_CLOUDEVENTS},
    fields::is_text,
};
use crate::{limits::Limits, log::RawRecord};

/// The attributes that the runtime reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Specversion,
    Id,
    Source,
    Type,
    Subject,
    Time,
    Partitionkey,
    Datacontenttype,
    /// When the log took it in; only in JSON lines.
    Ingesttime,
    /// What a tick says of the feed.
    Blind,
    /// Where an exported record came from; only in JSON lines.
    Kafkapartition,
    /// See above.
    Kafkaoffset,
    /// Which partition of the first stage a watermark is of.
    Input,
    /// How many there are.
    Inputs,
}

impl Attribute {
    const ALL: [(&'static str, Self); 14] = [
        ("specversion", Self::Specversion),
        ("id", Self::Id),
        ("source", Self::Source),
        ("type", Self::Type),
        ("subject", Self::Subject),
        ("time", Self::Time),
        ("partitionkey", Self::Partitionkey),
        ("datacontenttype", Self::Datacontenttype),
        ("ingesttime", Self::Ingesttime),
        ("blind", Self::Blind),
        ("kafkapartition", Self::Kafkapartition),
        ("kafkaoffset", Self::Kafkaoffset),
        ("input", Self::Input),
        ("inputs", Self::Inputs),
    ];

    pub(super) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, attribute)| *attribute)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// Whether a JSON number stands for its text: integers of CloudEvents have 32 bits, those of Kafka more, so both are read.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Kafkapartition | Self::Kafkaoffset)
    }
}

/// `data` as it was found.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    /// Bytes of the payload, from `start` on.
    Slice { bytes: &'a [u8], start: usize, coding: Coding },
    /// `data_base64`; its place in the payload where it stands there literally.
    Base64 { text: Cow<'a, str>, start: Option<usize> },
}

/// How a slice of `data` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Known from where it stood.
    As(Format),
    /// As `datacontenttype` says.
    Declared,
}

/// The attributes of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope<'a> {
    /// As they stand in the record; all of them are UTF-8.
    values: [Option<&'a [u8]>; Attribute::ALL.len()],
    /// Those that stand there in another way, with escapes or in chunks.
    made: Vec<(Attribute, String)>,
    pub(super) data: Option<Data<'a>>,
}

impl<'a> Envelope<'a> {
    /// An attribute's text, which is UTF-8; none where absent or empty.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        self.value(attribute).filter(|value| !value.is_empty())
    }

    /// The same as text, for what is seldom.
    pub(super) fn text(&self, attribute: Attribute) -> Option<&str> {
        self.get(attribute).map(|text| std::str::from_utf8(text).expect("invariant: it was checked when it was set"))
    }

    pub(super) fn require(&self, attribute: Attribute) -> Result<&[u8], Failure> {
        self.get(attribute).ok_or_else(|| Failure::missing(attribute.name()))
    }

    fn value(&self, attribute: Attribute) -> Option<&[u8]> {
        self.values[attribute as usize]
            .or_else(|| self.made.iter().find(|(known, _)| *known == attribute).map(|(_, text)| text.as_bytes()))
    }

    pub(super) fn set(&mut self, attribute: Attribute, text: Cow<'a, str>) -> Result<(), Failure> {
        match text {
            Cow::Borrowed(text) => self.set_checked(attribute, text.as_bytes()),
            Cow::Owned(text) => {
                self.once(attribute)?;
                self.made.push((attribute, text));
                Ok(())
            }
        }
    }

    /// Sets an attribute to what is known to be UTF-8.
    fn set_checked(&mut self, attribute: Attribute, text: &'a [u8]) -> Result<(), Failure> {
        self.once(attribute)?;
        self.values[attribute as usize] = Some(text);
        Ok(())
    }

    fn once(&self, attribute: Attribute) -> Result<(), Failure> {
        match self.value(attribute) {
            None => Ok(()),
            Some(_) => Err(Failure::new(BAD_ATTRIBUTE, format!("attribute `{}` is there twice", attribute.name()))),
        }
    }

    pub(super) fn set_data(&mut self, data: Data<'a>) -> Result<(), Failure> {
        if self.data.is_some() {
            return Err(Failure::new(BAD_ATTRIBUTE, "`data` or `data_base64` is there twice"));
        }
        self.data = Some(data);
        Ok(())
    }

    /// The attributes in headers, and what these say of the payload. What is wrong with an attribute matters where the record is in binary mode, which
    /// is not known before; `data` is set by whoever knows the payload.
    pub(super) fn take_headers(
        &mut self,
        headers: &[(&'a str, &'a [u8])],
        limits: &Limits,
    ) -> (Said<'a>, Result<(), Failure>) {
        let (mut said, mut taken) = (Said::default(), Ok(()));
        for (name, value) in headers {
            if let Some(attribute) = said.hear(name, value)
                && taken.is_ok()
            {
                taken = self.take_header(attribute, value, limits);
            }
        }
        (said, taken)
    }

    #[inline(always)]
    fn take_header(&mut self, attribute: Attribute, value: &'a [u8], limits: &Limits) -> Result<(), Failure> {
        if value.len() > limits.text_bytes_max {
            return Err(Failure::long_text(value.len(), limits.text_bytes_max));
        }
        if !is_text(value) {
            return Err(Failure::new(BAD_ATTRIBUTE, format!("attribute `{}` is no UTF-8", attribute.name())));
        }
        self.set_checked(attribute, value)
    }
}

/// The header that says what the payload is, in whatever case.
const CONTENT_TYPE_HEADER: &str = "content-type";

/// What header names of attributes begin with.
pub(super) const PREFIX: &str = "ce_";

/// How a record carries its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) mode: Mode,
    /// Of the payload.
    pub(super) format: Format,
}

/// What headers say of the payload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    content_type: Option<&'a [u8]>,
    /// Whether any is an attribute, known or not.
    attributes: bool,
}

impl<'a> Said<'a> {
    /// One header more; gives the attribute that it is.
    #[inline(always)]
    fn hear(&mut self, name: &str, value: &'a [u8]) -> Option<Attribute> {
        let Some(attribute) = name.strip_prefix(PREFIX) else {
            if name == CONTENT_TYPE_HEADER || name.eq_ignore_ascii_case(CONTENT_TYPE_HEADER) {
                self.content_type = Some(value);
            }
            return None;
        };
        self.attributes = true;
        let attribute = Attribute::by_name(attribute)?;
        if attribute == Attribute::Datacontenttype {
            self.content_type = Some(value);
        }
        Some(attribute)
    }
}

impl Layout {
    /// From the headers; the payload's first byte decides where they are silent.
    pub(super) fn of(raw: &RawRecord<'_>) -> Result<Self, Failure> {
        let mut said = Said::default();
        for (name, value) in raw.headers {
            said.hear(name, value);
        }
        Self::said(said, raw.value)
    }

    /// From what the headers said.
    pub(super) fn said(Said { content_type, attributes }: Said<'_>, payload: Option<&[u8]>) -> Result<Self, Failure> {
        // As nearly all records say it.
        if attributes && content_type == Some(b"application/cbor") {
            return Ok(Self { mode: Mode::Binary, format: Format::Cbor });
        }
        let sniffed = payload.and_then(sniff);
        let content_type = content_type.filter(|value| !value.is_empty()).map(media_type);
        if let Some(kind) = content_type.as_deref().and_then(|kind| kind.strip_prefix("application/cloudevents")) {
            let format = match kind {
                "+json" => Format::Json,
                "+cbor" => Format::Cbor,
                _ => return Err(unsupported("application/cloudevents+json and application/cloudevents+cbor")),
            };
            return Ok(Self { mode: Mode::Structured, format });
        }
        let declared = content_type.as_deref().map(format_of);
        if attributes {
            let format = match declared {
                Some(Some(format)) => format,
                Some(None) => return Err(unsupported("application/json and application/cbor")),
                None => sniffed.unwrap_or(Format::Cbor),
            };
            return Ok(Self { mode: Mode::Binary, format });
        }
        let format = sniffed.or(declared.flatten()).ok_or_else(|| {
            Failure::new(NOT_CLOUDEVENTS, "no `ce_` headers, and the payload is neither a JSON object nor a CBOR map")
        })?;
        Ok(Self { mode: Mode::Structured, format })
    }
}

/// The format that a media type names.
pub(super) fn format_of(media_type: &str) -> Option<Format> {
    match media_type {
        "application/cbor" => Some(Format::Cbor),
        "application/json" | "text/json" => Some(Format::Json),
        other if other.ends_with("+json") => Some(Format::Json),
        other if other.ends_with("+cbor") => Some(Format::Cbor),
        _ => None,
    }
}

/// A content type without its parameters, in lower case. Borrowed in the usual case.
pub(super) fn media_type(content_type: &[u8]) -> Cow<'_, str> {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let essence = String::from_utf8_lossy(content_type[..end].trim_ascii());
    if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        essence
    }
}

pub(super) fn unsupported(supported: &str) -> Failure {
    Failure::new(CONTENT_TYPE, format!("the content type is not one that can be read: {supported}"))
}

/// An object of JSON or a map of CBOR, by its first byte: the two never begin alike.
fn sniff(payload: &[u8]) -> Option<Format> {
    match payload.trim_ascii_start().first()? {
        b'{' => Some(Format::Json),
        0xa0..=0xbf => Some(Format::Cbor),
        _ => None,
    }
}
