//! tillwatch-correlate-payment
