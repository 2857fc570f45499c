#!/bin/sh
# Compiles a crate of the workspace with LLVM's counters on every branch and its operands in every comparison, for libFuzzer. Dependencies
# are compiled as always, so they are shared with every other build. Cargo calls it as RUSTC_WORKSPACE_WRAPPER.
case " $* " in *" --crate-name build_script_build "*) exec "$@" ;; esac
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
