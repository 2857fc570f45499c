//! The host with real guests, most of them hostile.

mod cache;
mod faults;
mod limits;
mod load;
mod support;
