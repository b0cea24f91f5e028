//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

mod harness;
mod mapping;
mod session;
