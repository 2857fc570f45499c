//! Event types and fields: one table that decoder, host and SDK share.
//!
//! A field's name means the same and has the same type in every event family; a descriptor's `fields` are these names.
//! Source of the names: `docs/spec/events.md`, the wire format.

/// How a field's piece is encoded. An absent field is an empty piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8; the empty text is the same as absent.
    Text,
    /// s64, little-endian, 8 bytes.
    Integer,
    /// f64, little-endian, 8 bytes, never NaN.
    Number,
    /// One byte, 0 or 1.
    Flag,
    /// An RFC 3339 text on the wire; s64 milliseconds since 1970 in the piece.
    Instant,
    /// One CBOR item.
    Any,
}

/// A field: index into [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u8);

impl FieldId {
    /// The field of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let index = FIELDS.iter().position(|field| field.name == name)?;
        u8::try_from(index).ok().map(Self)
    }

    /// Its row in the table.
    #[must_use]
    #[inline]
    pub fn field(self) -> &'static Field {
        &FIELDS[self.0 as usize]
    }
}

/// A row of the field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As it stands in `data` (or, for the first five, in the envelope).
    pub name: &'static str,
    /// Its encoding.
    pub kind: Kind,
}

/// Calls the macro `$callback` with every row: `(CONSTANT, accessor, "name", Kind, "doc")`.
/// The SDK makes its typed accessors from it.
#[macro_export]
macro_rules! for_each_field {
    ($callback:ident) => {
        $callback! {
            (ID, id, "id", Text, "CloudEvents id, unique with the source."),
            (SOURCE, source, "source", Text, "CloudEvents source: who sent it."),
            (TYPE, event_type, "type", Text, "CloudEvents type."),
            (SUBJECT, subject, "subject", Text, "The transaction key."),
            (PARTITIONKEY, partitionkey, "partitionkey", Text, "The terminal id."),
            (DATA, data, "data", Any, "The whole of `data` as CBOR; only for rules that ask for `custom` events."),
            (REGION, region, "region", Text, "Region id."),
            (SITE, site, "site", Text, "Site id."),
            (TERMINAL, terminal, "terminal", Text, "Terminal id."),
            (MERCHANT, merchant, "merchant", Text, "Merchant id."),
            (ACQUIRER, acquirer, "acquirer", Text, "Acquirer id."),
            (OPERATOR, operator, "operator", Text, "The operator's pseudonym."),
            (RAIL, rail, "rail", Text, "`card`, `wechat`, `alipay`, `unionpay-qr` or `other`."),
            (APP_VERSION, app_version, "app_version", Text, "Version of the terminal's application."),
            (PARAM_VERSION, param_version, "param_version", Text, "Version of the terminal's parameters."),
            (AMOUNT, amount, "amount", Integer, "Minor units."),
            (CURRENCY, currency, "currency", Text, "ISO 4217."),
            (ORDER, order, "order", Text, "Order number."),
            (STAN, stan, "stan", Text, "System trace audit number."),
            (BATCH, batch, "batch", Text, "Batch number."),
            (REPEAT, repeat, "repeat", Flag, "The same payment sent again (fourth MTI digit 1)."),
            (LEG, leg, "leg", Text, "`host`: the gateway saw the answer; `terminal`: the terminal received it."),
            (OUTCOME, outcome, "outcome", Text, "`approved`, `partial`, `declined`, `pending` or `unknown`."),
            (CODE, code, "code", Text, "Response code."),
            (RRN, rrn, "rrn", Text, "Retrieval reference number: an alias, from the response on."),
            (AUTH_CODE, auth_code, "auth_code", Text, "Authorisation code."),
            (SHOWN, shown, "shown", Text, "`approved`, `declined` or `unknown`."),
            (BY, by, "by", Text, "`cashier` or `pos`."),
            (RESULT, result, "result", Text, "Answer to a status query."),
            (AS_OF, as_of, "as_of", Instant, "The moment that a status speaks of."),
            (COMMAND, command, "command", Text, "Command id."),
            (PHASE, phase, "phase", Text, "`request` or `response`."),
            (REASON, reason, "reason", Text, "Why: of a reversal, or of a cancellation."),
            (ORIGINAL, original, "original", Text, "What a reversal names as its original."),
            (STATE, state, "state", Text, "State of a print, an announcement, a ledger entry, a scan, an app, a batch or a command."),
            (FAULT, fault, "fault", Text, "Printer fault."),
            (DUPLICATE, duplicate, "duplicate", Flag, "A receipt marked as duplicate."),
            (PRINTER, printer, "printer", Text, "`ok` or a fault."),
            (SCANNER, scanner, "scanner", Text, "`ok` or a fault."),
            (PED, ped, "ped", Text, "`ok` or a fault of the PIN entry device."),
            (BATTERY_PCT, battery_pct, "battery_pct", Number, "Percent."),
            (TEMP_C, temp_c, "temp_c", Number, "Degrees Celsius."),
            (REBOOTS_1H, reboots_1h, "reboots_1h", Integer, "Restarts in the last hour."),
            (TAMPER, tamper, "tamper", Flag, "The tamper response has fired."),
            (MEM_FREE_MB, mem_free_mb, "mem_free_mb", Number, "Free memory."),
            (LINK, link, "link", Text, "`ethernet`, `wifi`, `cell` or `none`."),
            (RTT_MS, rtt_ms, "rtt_ms", Number, "Round trip."),
            (LOSS_PCT, loss_pct, "loss_pct", Number, "Packet loss."),
            (TX_KBPS, tx_kbps, "tx_kbps", Number, "Sent."),
            (CAP_KBPS, cap_kbps, "cap_kbps", Number, "Capacity."),
            (GATEWAY_OK, gateway_ok, "gateway_ok", Flag, "The default gateway answers."),
            (PROBE_OK, probe_ok, "probe_ok", Flag, "The control probe answers."),
            (DNS_ERROR, dns_error, "dns_error", Text, "Error text."),
            (TCP_ERROR, tcp_error, "tcp_error", Text, "Error text."),
            (TLS_ERROR, tls_error, "tls_error", Text, "Error text."),
            (PEER, peer, "peer", Text, "`host:port`."),
            (VERSION, version, "version", Text, "Version."),
            (MIN_VERSION, min_version, "min_version", Text, "Least version wanted."),
            (PARAM_LAG, param_lag, "param_lag", Integer, "Parameter versions behind."),
            (CERT_EXPIRES, cert_expires, "cert_expires", Instant, "End of the certificate."),
            (ERROR, error, "error", Text, "Error text."),
            (HOST, host, "host", Text, "The acquirer's host that takes the payment, or that a sample is of."),
            (TOTAL, total, "total", Integer, "Requests in the interval."),
            (FAILED, failed, "failed", Integer, "Failed ones."),
            (TIMED_OUT, timed_out, "timed_out", Integer, "Timed out ones."),
            (P95_MS, p95_ms, "p95_ms", Number, "95th percentile."),
            (REACHABLE, reachable, "reachable", Flag, "The host answers."),
            (ACTION, action, "action", Text, "What the operator did."),
            (DWELL_MS, dwell_ms, "dwell_ms", Integer, "How long."),
            (DETAIL, detail, "detail", Text, "Free text of a command's result."),
            (FINDING, finding, "finding", Text, "Finding id."),
            (KIND, kind, "kind", Text, "Kind of finding or command."),
            (SCOPE, scope, "scope", Text, "Scope of a finding."),
            (TXN, txn, "txn", Text, "Transaction key of a finding."),
            (RULE, rule, "rule", Text, "Rule that raised a finding."),
            (GENERATION, generation, "generation", Integer, "Generation of a finding."),
            (SEVERITY, severity, "severity", Text, "`info`, `warning` or `critical`."),
            (DEADLINE, deadline, "deadline", Instant, "Deadline missed."),
            (OPENED_AT, opened_at, "opened_at", Instant, "When a finding was decided."),
            (BROKE_AT, broke_at, "broke_at", Text, "Where the chain broke."),
            (CAUSE, cause, "cause", Text, "Cause id."),
            (CONFIDENCE, confidence, "confidence", Number, "0 to 1."),
            (RUNNER_UP, runner_up, "runner_up", Text, "Second cause."),
            (RESOLUTION, resolution, "resolution", Text, "How a finding ended."),
            (CLEARED_BY, cleared_by, "cleared_by", Text, "Event id that ended it."),
            (AFTER_MS, after_ms, "after_ms", Integer, "How long after the deadline."),
            (AUTHORIZED_AT, authorized_at, "authorized_at", Instant, "Time of the first authorize seen."),
            (GIVES_UP_AT, gives_up_at, "gives_up_at", Instant, "When the terminal gives up."),
            (APPROVED_AT, approved_at, "approved_at", Instant, "Time of the first approval."),
            (REVERSAL_SEEN, reversal_seen, "reversal_seen", Flag, "A reversal of the payment was seen."),
            (GOODS, goods, "goods", Flag, "Evidence that goods may have been handed over."),
            (LATE_WINDOW, late_window, "late_window", Flag, "The finding's window was opened by a late event."),
            (WHY, why, "why", Text, "Why `unresolved` was decided."),
            (CHAIN, chain, "chain", Text, "Command kind of a chain that ran out."),
            (MAINTENANCE, maintenance, "maintenance", Flag, "It is down on purpose, and that was announced."),
        }
    };
}

macro_rules! constants {
    ($(($constant:ident, $accessor:ident, $name:literal, $kind:ident, $doc:literal)),+ $(,)?) => {
        /// Every field; [`FieldId`] counts its rows.
        pub static FIELDS: &[Field] = &[$(Field { name: $name, kind: Kind::$kind }),+];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names the constants below")]
        #[repr(u8)]
        enum Row { $($constant),+ }

        impl FieldId {
            $(#[doc = $doc] pub const $constant: FieldId = FieldId(Row::$constant as u8);)+
        }
    };
}
for_each_field!(constants);

/// How many fields stand in the envelope, before those of `data`.
pub const ENVELOPE: usize = 5;

/// A row of the table of event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// CloudEvents type.
    pub name: &'static str,
    /// Its fields in `data`, beside [`COMMON`].
    pub fields: &'static [FieldId],
    /// Without a `subject` it means nothing.
    pub about_payment: bool,
}

/// Fields that every event may carry.
pub static COMMON: &[FieldId] = &[
    FieldId::REGION,
    FieldId::SITE,
    FieldId::TERMINAL,
    FieldId::MERCHANT,
    FieldId::ACQUIRER,
    FieldId::HOST,
    FieldId::OPERATOR,
    FieldId::RAIL,
    FieldId::APP_VERSION,
    FieldId::PARAM_VERSION,
];

/// Fields of `pos.finding.*` as rules of the same terminal see them.
const FINDING: &[FieldId] = &[
    FieldId::FINDING,
    FieldId::KIND,
    FieldId::SCOPE,
    FieldId::TXN,
    FieldId::RULE,
    FieldId::GENERATION,
    FieldId::SEVERITY,
    FieldId::DEADLINE,
    FieldId::OPENED_AT,
    FieldId::BROKE_AT,
    FieldId::AMOUNT,
    FieldId::CURRENCY,
    FieldId::CAUSE,
    FieldId::CONFIDENCE,
    FieldId::RUNNER_UP,
    FieldId::RESOLUTION,
    FieldId::CLEARED_BY,
    FieldId::AFTER_MS,
    FieldId::AUTHORIZED_AT,
    FieldId::GIVES_UP_AT,
    FieldId::APPROVED_AT,
    FieldId::REVERSAL_SEEN,
    FieldId::GOODS,
    FieldId::LATE_WINDOW,
    FieldId::WHY,
    FieldId::CHAIN,
];

/// Every event type that the runtime knows; others go to rules that ask for `custom`.
pub static EVENTS: &[EventType] = &[
    EventType {
        name: "pos.payment.authorize",
        about_payment: true,
        fields: &[FieldId::AMOUNT, FieldId::CURRENCY, FieldId::ORDER, FieldId::STAN, FieldId::BATCH, FieldId::REPEAT],
    },
    EventType {
        name: "pos.payment.response",
        about_payment: true,
        fields: &[FieldId::LEG, FieldId::OUTCOME, FieldId::CODE, FieldId::RRN, FieldId::AUTH_CODE],
    },
    EventType { name: "pos.payment.display", about_payment: true, fields: &[FieldId::SHOWN] },
    EventType { name: "pos.payment.confirm", about_payment: true, fields: &[FieldId::BY] },
    EventType { name: "pos.payment.notify", about_payment: true, fields: &[FieldId::OUTCOME] },
    EventType {
        name: "pos.payment.status",
        about_payment: true,
        fields: &[FieldId::RESULT, FieldId::AS_OF, FieldId::COMMAND],
    },
    EventType {
        name: "pos.payment.reversal",
        about_payment: true,
        fields: &[FieldId::PHASE, FieldId::REASON, FieldId::OUTCOME, FieldId::ORIGINAL],
    },
    EventType {
        name: "pos.print.result",
        about_payment: false,
        fields: &[FieldId::STATE, FieldId::FAULT, FieldId::DUPLICATE],
    },
    EventType { name: "pos.announce.result", about_payment: false, fields: &[FieldId::STATE] },
    EventType { name: "pos.ledger.entry", about_payment: false, fields: &[FieldId::STATE, FieldId::AMOUNT] },
    EventType { name: "pos.scan.result", about_payment: false, fields: &[FieldId::STATE] },
    EventType {
        name: "pos.device.status",
        about_payment: false,
        fields: &[
            FieldId::PRINTER,
            FieldId::SCANNER,
            FieldId::PED,
            FieldId::BATTERY_PCT,
            FieldId::TEMP_C,
            FieldId::REBOOTS_1H,
            FieldId::TAMPER,
            FieldId::MEM_FREE_MB,
        ],
    },
    EventType {
        name: "pos.net.sample",
        about_payment: false,
        fields: &[
            FieldId::LINK,
            FieldId::RTT_MS,
            FieldId::LOSS_PCT,
            FieldId::TX_KBPS,
            FieldId::CAP_KBPS,
            FieldId::GATEWAY_OK,
            FieldId::PROBE_OK,
            FieldId::DNS_ERROR,
            FieldId::TCP_ERROR,
            FieldId::TLS_ERROR,
            FieldId::PEER,
        ],
    },
    EventType {
        name: "pos.app.state",
        about_payment: false,
        fields: &[
            FieldId::STATE,
            FieldId::VERSION,
            FieldId::MIN_VERSION,
            FieldId::PARAM_LAG,
            FieldId::CERT_EXPIRES,
            FieldId::ERROR,
            FieldId::MAINTENANCE,
        ],
    },
    EventType {
        name: "pos.host.sample",
        about_payment: false,
        fields: &[
            FieldId::TOTAL,
            FieldId::FAILED,
            FieldId::TIMED_OUT,
            FieldId::P95_MS,
            FieldId::REACHABLE,
            FieldId::MAINTENANCE,
        ],
    },
    EventType { name: "pos.batch.result", about_payment: false, fields: &[FieldId::STATE, FieldId::CODE] },
    EventType { name: "pos.operator.action", about_payment: false, fields: &[FieldId::ACTION, FieldId::DWELL_MS] },
    EventType {
        name: "pos.command.result",
        about_payment: false,
        fields: &[FieldId::COMMAND, FieldId::STATE, FieldId::DETAIL],
    },
    EventType { name: "pos.finding.raised", about_payment: false, fields: FINDING },
    EventType { name: "pos.finding.updated", about_payment: false, fields: FINDING },
    EventType { name: "pos.finding.cleared", about_payment: false, fields: FINDING },
    // Derived by `compensate` for `correlate-payment`, which alone raises `unresolved`; carries the payment's `subject`.
    EventType { name: "tillwatch.unresolved", about_payment: true, fields: &[FieldId::WHY, FieldId::CHAIN] },
];

/// The descriptor's word for every type not in [`EVENTS`].
pub const CUSTOM: &str = "custom";

/// The type of the records that carry only time.
pub const TICK: &str = "tillwatch.tick";

/// An event type: index into [`EVENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u8);

impl TypeId {
    /// Every type that is not in the table; its name travels with the event.
    pub const CUSTOM: Self = Self(u8::MAX);

    /// The type of that name, [`TypeId::CUSTOM`] where the table has none.
    #[must_use]
    pub fn by_name(name: &str) -> Self {
        EVENTS
            .iter()
            .position(|event| event.name == name)
            .and_then(|index| u8::try_from(index).ok())
            .map_or(Self::CUSTOM, Self)
    }

    /// Its row; none for [`TypeId::CUSTOM`].
    #[must_use]
    pub fn event_type(self) -> Option<&'static EventType> {
        EVENTS.get(self.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_ids_fit() {
        for (index, field) in FIELDS.iter().enumerate() {
            assert_eq!(FieldId::by_name(field.name).map(|id| id.0 as usize), Some(index), "{}", field.name);
        }
        for (index, event) in EVENTS.iter().enumerate() {
            assert_eq!(TypeId::by_name(event.name).0 as usize, index, "{}", event.name);
        }
        assert_eq!(TypeId::by_name("x.y"), TypeId::CUSTOM);
        assert!(EVENTS.len() < 255 && FIELDS.len() < 255);
    }

    #[test]
    fn the_envelope_stands_first() {
        let names: Vec<_> = FIELDS[..ENVELOPE].iter().map(|field| field.name).collect();
        assert_eq!(names, ["id", "source", "type", "subject", "partitionkey"]);
    }
}
