//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

#![allow(clippy::unwrap_used)]

mod certificates;
mod check_reload;
mod demo;
mod docs;
mod encodings;
mod exporters;
mod extension;
mod failures;
mod harness;
mod in_force;
mod inventory;
mod login;
mod login_dates;
mod login_grid;
mod login_keys;
mod login_refusals;
mod logins;
mod mapping;
mod memory;
mod metrics;
mod monitoring;
mod operations;
mod out_of_memory;
mod processes;
mod recorder;
mod rehearsal;
mod revocation;
mod server_names;
mod session;
mod sessions;
mod settings;
mod staged_grid;
mod stress;
mod termination;
mod troubleshooting;
mod verdicts;
