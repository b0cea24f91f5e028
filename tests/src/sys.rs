//! What needs the operating system itself: accounts, signals, child processes that cannot outlive
//! us, and the directory of this run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::FromRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use crate::cluster::Server;

/// Directories of runs start with this.
const RUN_PREFIX: &str = "pgtls-e2e-";

/// A Unix socket's path has 107 bytes; this leaves room for what the harness adds.
const LONGEST_RUN_PARENT: usize = 60;

/// Whom the server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

/// The unprivileged account of servers when we are root, which PostgreSQL refuses to run as; `None`
/// otherwise.
pub(crate) fn server_account() -> Option<Account> {
    static ACCOUNT: OnceLock<Option<Account>> = OnceLock::new();
    *ACCOUNT.get_or_init(|| {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let find = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        };
        Some(
            find("postgres")
                .or_else(|| find("nobody"))
                .expect("there is a user postgres or nobody"),
        )
    })
}

/// Gives `path` to the server's account.
pub(crate) fn give_to_server(path: &Path) {
    if let Some(account) = server_account() {
        chown(path, Some(account.uid), Some(account.gid))
            .unwrap_or_else(|e| panic!("chown {}: {e}", path.display()));
    }
}

/// Writes a file of the server, whole or not at all.
pub(crate) fn install(path: &Path, content: &[u8], mode: u32) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap_or_else(|e| panic!("write {}: {e}", draft.display()));
    set_mode(&draft, mode);
    give_to_server(&draft);
    fs::rename(&draft, path).unwrap_or_else(|e| panic!("rename to {}: {e}", path.display()));
}

/// Makes a directory of the server.
pub(crate) fn make_dir(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
    set_mode(path, mode);
    give_to_server(path);
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|e| panic!("chmod {}: {e}", path.display()));
}

/// Sends a signal to one process that this harness started, or to a child of one.
pub(crate) fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    assert!(pid > 1, "a pid is positive: 0 and below name groups");
    // SAFETY: kill takes plain numbers.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a process with this pid exists.
pub fn process_exists(pid: u32) -> bool {
    signal(pid, 0).is_ok()
}

/// The parent of a process, from /proc.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything: fields count from the last parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Starts a command as the server's account.
pub(crate) fn spawn_as_server(mut command: Command) -> io::Result<Child> {
    if let Some(account) = server_account() {
        // With a uid given and no groups, the standard library also drops the supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    spawn(command)
}

/// Starts a command that the kernel ends (SIGQUIT: a server's immediate shutdown) when this process
/// is gone.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    type Job = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();

    let us = std::process::id();
    let die_with_us = move || {
        // SAFETY: prctl(PR_SET_PDEATHSIG) and getppid only concern the calling process; both are
        // async-signal-safe.
        let parent = unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGQUIT) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::getppid()
        };
        // We may have gone before the kernel was told.
        if u32::try_from(parent) == Ok(us) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: the closure allocates nothing and makes two system calls, which is sound after fork.
    unsafe { command.pre_exec(die_with_us) };

    // "Parent is gone" means the thread that forked: a test's thread ends long before a shared
    // cluster may. So one thread, which never ends, forks them all.
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in queue {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(jobs)
    });
    let (answer, result) = channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .expect("the spawner never ends");
    result.recv().expect("the spawner answers")
}

/// Runs a command as the server's account to its end.
///
/// # Panics
/// If it fails, with what it printed.
pub(crate) fn run_as_server(command: Command) -> Output {
    let shown = format!("{command:?}");
    let output = output_as_server(command);
    assert!(
        output.status.success(),
        "{shown}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// The same, however it ends.
pub(crate) fn output_as_server(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let output = spawn_as_server(command).and_then(Child::wait_with_output);
    output.unwrap_or_else(|e| panic!("{shown}: {e}"))
}

/// The directory of this run: everything the harness writes is below it, and it goes when the
/// process exits.
pub(crate) fn run_dir() -> &'static Path {
    static RUN: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (path, _) = RUN.get_or_init(|| {
        let mut parent = std::env::temp_dir();
        if parent.as_os_str().len() > LONGEST_RUN_PARENT {
            parent = PathBuf::from("/tmp");
        }
        remove_leftovers(&parent);
        let path = tempfile::Builder::new()
            .prefix(RUN_PREFIX)
            .tempdir_in(&parent)
            .unwrap_or_else(|e| panic!("a directory in {}: {e}", parent.display()))
            .keep();
        set_mode(&path, 0o755);
        // Locked before it has its name: who finds a lock it can take has found a leftover.
        let lock = File::create(path.join("lock.draft")).expect("a lock file can be made");
        lock.lock().expect("a new file can be locked");
        fs::rename(path.join("lock.draft"), path.join("lock")).expect("a file can be renamed");
        // SAFETY: the handler is a plain function that does not unwind.
        unsafe { libc::atexit(clean_up) };
        (path, lock)
    });
    path
}

/// Set by [`keep_run_dir`].
static KEPT: AtomicBool = AtomicBool::new(false);

/// Leaves the directory of this run when the process exits, and for good: what has no lock is
/// nobody's leftover.
pub(crate) fn keep_run_dir() -> &'static Path {
    let dir = run_dir();
    KEPT.store(true, Ordering::Relaxed);
    fs::remove_file(dir.join("lock")).expect("the lock file can be removed");
    dir
}

/// Removes a directory, unless [`keep_run_dir`] was called.
pub(crate) fn remove_dir(path: &Path) {
    if !KEPT.load(Ordering::Relaxed) {
        let _ = fs::remove_dir_all(path);
    }
}

/// A new directory below the run's.
pub(crate) fn fresh_dir(kind: &str) -> PathBuf {
    tempfile::Builder::new()
        .prefix(kind)
        .rand_bytes(4)
        .tempdir_in(run_dir())
        .expect("a directory can be made")
        .keep()
}

/// Removes what runs left behind that were killed.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(RUN_PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join("lock")) else { continue };
        match lock.try_lock() {
            Ok(()) => drop(fs::remove_dir_all(entry.path())),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// Servers that run; those in a `static` are never dropped.
static RUNNING: Mutex<Vec<Weak<Server>>> = Mutex::new(Vec::new());

/// Has [`clean_up`] stop this server, should nobody have done so.
pub(crate) fn stop_at_exit(server: Weak<Server>) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|server| server.strong_count() > 0);
    running.push(server);
}

/// At exit: stops what still runs and removes the run's directory.
extern "C" fn clean_up() {
    let _ = std::panic::catch_unwind(|| {
        let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
        running.iter().filter_map(Weak::upgrade).for_each(|server| server.stop());
        remove_dir(run_dir());
    });
}

/// A TCP connection whose near end has this address.
pub(crate) fn connect_from(source: Ipv4Addr, server: SocketAddrV4) -> io::Result<TcpStream> {
    let address = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    };
    let (near, far) = (address(source, 0), address(*server.ip(), server.port()));
    let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).expect("small");
    // SAFETY: a new socket that nobody else has; both addresses are live and of the size given.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = TcpStream::from_raw_fd(socket);
        if libc::bind(socket, (&raw const near).cast(), size) != 0
            || libc::connect(socket, (&raw const far).cast(), size) != 0
        {
            return Err(io::Error::last_os_error());
        }
        Ok(stream)
    }
}

/// Limits the address space of a process to what it has and `more` bytes; `None` lifts the limit.
/// False if the process has ended.
pub fn limit_address_space(pid: u32, more: Option<u64>) -> bool {
    let limit = match more {
        Some(more) => address_space(pid).saturating_add(more).to_string(),
        None => "unlimited".to_owned(),
    };
    // By a process of the server's account: not every root may do that to others.
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--as={limit}:")]);
    let output = output_as_server(command);
    let is_there = output.status.success();
    assert!(is_there || !process_exists(pid), "prlimit of {pid}: {output:?}");
    is_there
}

/// Limits the size of the files that a process writes, as a disk without room does; `None` lifts the
/// limit. A write beyond it fails in its middle: server processes ignore the signal.
pub fn limit_file_size(pid: u32, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--fsize={limit}:")]);
    let output = output_as_server(command);
    assert!(output.status.success(), "prlimit of {pid}: {output:?}");
}

/// The address space of a process, in bytes.
pub fn address_space(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process is there");
    let pages = statm.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    // SAFETY: sysconf takes plain numbers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.expect("a number of pages") * u64::try_from(page).expect("a page has a size")
}
