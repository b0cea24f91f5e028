//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

mod certificates;
mod docs;
mod encodings;
mod extension;
mod failures;
mod harness;
mod inventory;
mod memory;
mod processes;
mod recorder;
mod session;
mod sessions;
mod settings;
mod stress;
