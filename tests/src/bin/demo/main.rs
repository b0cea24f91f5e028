//! `make demo`: a throw-away server with TLS, several clients, and what `psql` shows each of them.
//!
//! `KEEP=1` leaves the server up and says how to connect, where the queries are and how to stop it.

mod keep;
mod office;
mod scenes;
mod terminal;

use std::process::ExitCode;

use office::Office;
use terminal::Terminal;

fn main() -> ExitCode {
    let keep = std::env::var("KEEP").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    if keep && std::env::var_os("PGTLS_IN_CHROOT").is_some() {
        eprintln!("KEEP=1 needs a PostgreSQL of this machine: what runs in a chroot ends with it");
        return ExitCode::FAILURE;
    }

    let office = Office::open();
    let mut terminal = Terminal::new(office.cluster.dir());
    scenes::play(&office, &mut terminal);
    if keep {
        keep::keep_up(office, &terminal);
    } else {
        terminal.say(
            "The server is stopped and its files are removed. make demo KEEP=1 leaves it up,
with all these queries in a file.",
        );
    }
    ExitCode::SUCCESS
}
