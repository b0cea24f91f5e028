//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

mod certificates;
mod docs;
mod encodings;
mod extension;
mod harness;
mod login_grid;
mod mapping;
mod memory;
mod processes;
mod session;
mod sessions;
