//! The sidecar where the kernel is another one in some respect: without IPv6, and as process 1.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plimsoll_tests::{binaries, poll, process};

const LIMIT: Duration = Duration::from_secs(30);

/// `unshare` with these options. Whoever is not root becomes it in a namespace of its own.
fn unshare(options: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(options);
    command
}

#[test]
fn without_ipv6_the_default_address_serves_ipv4() {
    let volume = tempfile::tempdir().unwrap();
    // The sidecar's own command asks it: nobody else is in there.
    let script = "
        ip link set lo up
        echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        ! grep -q . /proc/net/if_inet6
        \"$0\" serve &
        sidecar=$!
        for attempt in $(seq 300); do
            said=$(\"$0\" check) || true
            [ \"$said\" != 'waiting for the fetcher' ] || break
            sleep 0.1
        done
        kill -TERM $sidecar
        wait $sidecar
        echo \"$said\"";
    let mut command = unshare(&["--net", "sh", "-ec", script]);
    command.arg(binaries::health_sidecar()).env("HEALTH_SERVER", "mlflow").env("HEALTH_DRAIN", "0s");
    command.env("MODEL_DIR", volume.path());
    assert_eq!(process::run(&mut command), "waiting for the fetcher\n");
}

/// The only child of a process.
fn child(of: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", of.id());
    poll::until("a child", LIMIT, || fs::read_to_string(&path).ok()?.trim().parse().ok())
}

#[test]
fn as_process_1_it_ends_when_it_is_told_to() {
    let volume = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut command = unshare(&["--pid", "--fork", "--kill-child"]);
        command
            .arg(binaries::health_sidecar())
            .env("HEALTH_SERVER", "mlflow")
            .env("HEALTH_LISTEN", "127.0.0.1:0");
        command.env("HEALTH_DRAIN", "1s").env("MODEL_DIR", volume.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut outside = command.spawn().unwrap();
        let sidecar = child(&outside);
        let inside = poll::until("its handlers", LIMIT, || {
            let status = fs::read_to_string(format!("/proc/{sidecar}/status")).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
            // SIGINT and SIGTERM are the second and the fifteenth.
            let both = u64::from_str_radix(&caught, 16).ok()? & 0x4002 == 0x4002;
            both.then_some(status)
        });
        let numbers = inside.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        assert!(numbers.ends_with("\t1"), "{numbers}");
        process::run(Command::new("kill").args([format!("-{signal}"), sidecar.to_string()]));
        let ended = poll::until("the end", LIMIT, || outside.try_wait().unwrap());
        assert!(ended.success(), "SIG{signal}: {ended}");
    }
}
