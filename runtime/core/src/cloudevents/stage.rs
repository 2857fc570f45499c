//! What the second stage reads beside events: how far the partitions of the first have come. And which types each stage takes.

use tillwatch_wit::table::TICK;

use super::{
    envelope::{Attribute, Envelope},
    failure::{BAD_ATTRIBUTE, Failure},
    fields::event_time,
    time::Times,
};
use crate::{
    partition::Body,
    stage::{INPUTS_MAX, LEFT_OUT, LeftOut, Passed, Stage, WATERMARK},
};

/// A record of the second stage that is no event, by its type's name.
pub(super) fn body(
    name: &[u8],
    envelope: &Envelope<'_>,
    ingest: i64,
    times: &mut Times,
) -> Option<Result<Body, Failure>> {
    if name == WATERMARK.as_bytes() {
        Some(passed(envelope, ingest, times))
    } else if name == LEFT_OUT.as_bytes() {
        Some(left_out(envelope, ingest, times))
    } else {
        None
    }
}

fn passed(envelope: &Envelope<'_>, ingest: i64, times: &mut Times) -> Result<Body, Failure> {
    let at = event_time(envelope.require(Attribute::Time)?, ingest, times)?;
    let (input, inputs) = (number(envelope, Attribute::Input)?, number(envelope, Attribute::Inputs)?);
    if input >= inputs {
        return Err(Failure::new(BAD_ATTRIBUTE, "attribute `input` of a watermark is not below `inputs`"));
    }
    Ok(Body::Passed(Passed { input, inputs, at }))
}

fn left_out(envelope: &Envelope<'_>, ingest: i64, times: &mut Times) -> Result<Body, Failure> {
    let passed = envelope.get(Attribute::Time).map(|text| event_time(text, ingest, times)).transpose()?;
    Ok(Body::LeftOut(LeftOut { input: number(envelope, Attribute::Input)?, passed }))
}

fn number(envelope: &Envelope<'_>, attribute: Attribute) -> Result<u32, Failure> {
    let text = envelope.text(attribute).ok_or_else(|| Failure::missing(attribute.name()))?;
    let number = text.parse().ok().filter(|number| *number <= INPUTS_MAX);
    let wrong = || format!("attribute `{}` is no number up to {INPUTS_MAX}", attribute.name());
    number.ok_or_else(|| Failure::new(BAD_ATTRIBUTE, wrong()))
}

/// Whether a stage refuses events of that type. The first takes none that Tillwatch writes itself, the second none but evidence.
pub(super) fn refused(stage: Stage, name: &[u8]) -> bool {
    let ours = name.strip_prefix(b"pos.");
    match stage {
        Stage::First => match ours {
            None => name.starts_with(b"tillwatch."),
            Some(rest) => {
                rest.starts_with(b"finding.")
                    || rest.starts_with(b"evidence")
                    || rest.starts_with(b"incident")
                    || matches!(rest, b"command" | b"command.cancelled" | b"dead-letter")
            }
        },
        Stage::Second => name != TICK.as_bytes() && !ours.is_some_and(|rest| rest.starts_with(b"evidence")),
    }
}
