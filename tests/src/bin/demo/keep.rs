//! `KEEP=1`: the server stays, with all that is needed to go on by hand.

use std::fs;
use std::path::Path;

use crate::office::Office;
use crate::terminal::{Terminal, psql_path};

/// Leaves the server up and says how to use and to stop it.
pub(crate) fn keep_up(office: Office, terminal: &Terminal) {
    let queries = office.cluster.dir().join("queries.sql");
    fs::write(&queries, terminal.script()).expect("a script can be written");
    let clients = office.clients();
    let services: Vec<_> = clients.iter().map(|client| client.service()).collect();
    let names: Vec<_> = clients.iter().map(|client| client.name).collect();
    let kept = office.cluster.keep();
    let file = kept.dir.join("pg_service.conf");
    fs::write(&file, services.join("\n")).expect("a service file can be written");

    terminal.say(
        "The server stays up, without the sessions of above. These are its clients;
alice, dave and erin are refused:\n",
    );
    let psql = psql_path();
    let programs = Path::new(&psql).parent().expect("a program is in a directory");
    println!("  export PATH={}:$PATH", programs.display());
    println!("  export PGSERVICEFILE={}", file.display());
    for name in names {
        println!("  psql service={name}");
    }
    println!("\nAll queries of above, for what they say now (1, 3 and 6 show who is connected):\n");
    println!("  psql service=admin -f {}", queries.display());
    println!("\nTo stop the server and to remove its files:\n\n  sh {}", kept.stop.display());
}
