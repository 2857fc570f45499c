//! The binary `tillwatch`.
//!
//! Owns nothing but the way in: everything it does is in the library, so that tests call what it calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    tillwatch::cli::main()
}
