//! How many records one core decodes, CloudEvents in binary mode with CBOR, from the bytes that a log lends to events that own what they say:
//! `cargo xtask bench --only decode`. Ordinary payments, card numbers looked for as always.

use clap::Parser;
use tillwatch_bench::{
    figure::{Figure, Reach, Teller, median},
    machine::timed,
    traffic::{self, Bytes, Shape, Traffic},
};
use tillwatch_core::{
    cloudevents::Decoder,
    limits::Limits,
    log::RawRecord,
    partition::{Body, Record},
};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    teller: Teller,
    /// Records of one round: the same in each
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Rounds; the median is told
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Records that a consumer hands over at once, and that are let go before the next
    #[arg(long, default_value_t = 500)]
    batch: usize,
}

fn main() {
    let options = Options::parse();
    let all: Vec<Bytes> =
        Traffic::new(Shape::default()).take(options.events).map(|row| traffic::bytes(row, Shape::default())).collect();
    let headers: Vec<[(&str, &[u8]); 7]> =
        all.iter().map(|bytes| bytes.headers.each_ref().map(|(name, text)| (*name, text.as_bytes()))).collect();
    let raws: Vec<RawRecord<'_>> = (0..)
        .zip(all.iter().zip(&headers))
        .map(|(offset, (bytes, headers))| RawRecord {
            offset,
            ingest: bytes.ingest,
            key: Some(bytes.key.as_bytes()),
            value: Some(&bytes.value),
            headers,
        })
        .collect();
    let mut decoder = Decoder::new("pos.events", &Limits::default());
    let mut records: Vec<Record> = Vec::with_capacity(options.batch);
    let mut rates = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        let ((), took) = timed(|| {
            for batch in raws.chunks(options.batch) {
                records.clear();
                records.extend(batch.iter().map(|raw| decoder.decode(0, *raw)));
            }
        });
        assert!(records.iter().all(|record| matches!(record.body, Body::Event(_))), "what is generated decodes");
        rates.push(options.events as f64 / took.as_secs_f64());
    }
    assert_eq!(decoder.counts().events, (options.events * options.rounds) as u64, "each was decoded");
    options.teller.tell(&Figure {
        name: "decode-cbor-events-per-s".to_owned(),
        value: median(rates),
        unit: "events/s".to_owned(),
        reach: Reach::AtLeast(1.5e6),
        how: format!(
            "median of {} rounds of {} records, {} bytes of CBOR each",
            options.rounds,
            options.events,
            all.iter().map(|bytes| bytes.value.len()).sum::<usize>() / options.events
        ),
    });
}
