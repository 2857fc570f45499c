//! CloudEvents 1.0 in and out: binary and structured mode, JSON and CBOR. Pure.
