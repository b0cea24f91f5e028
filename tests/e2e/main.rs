//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

mod failures;
mod harness;
mod recorder;
mod session;
