//! What goes wrong on the way, and what the fetcher makes of it: which exit code, which words, what is kept.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::{poll, process};
use rustix::process::{Pid, Signal, kill_process};

use crate::fetcher::{Fetcher, noise, sample_model, tree};

const ETAG: &str = "\"v1\"";
const SIZE: usize = 3_000_000;

fn pull(fetcher: &Fetcher, server: &FaultServer) -> crate::fetcher::Outcome {
    fetcher.run(&["pull", "--uri", &format!("{}/model.bin?sig=canary", server.url())])
}

/// A fetcher with little patience, and with one connection, so that its requests come in order.
fn hasty() -> Fetcher {
    single().with("FETCHER_RETRY_ATTEMPTS", "3").with("FETCHER_STALL_TIMEOUT", "1s")
}

/// A fetcher with one connection.
fn single() -> Fetcher {
    Fetcher::new().with("FETCHER_CONNECTIONS", "1")
}

#[test]
fn a_dead_server_is_unavailable() {
    let port = process::free_port();
    for registry in [format!("mlflow+http://127.0.0.1:{port}"), format!("catalog+http://127.0.0.1:{port}/c")]
    {
        let failed = hasty().pull(&registry, "a", "v1").expect(69);
        assert!(failed.last_words.starts_with(&format!("a v1: cannot ask {registry}: ")), "{failed:?}");
        assert!(failed.last_words.contains("gave up after 3 attempts"), "{failed:?}");
        assert!(failed.last_words.contains("Connection refused"), "{failed:?}");
    }
}

#[test]
fn a_cut_body_goes_on_where_it_broke() {
    let content = noise(SIZE);
    let served = content.clone();
    let server = FaultServer::start(move |number, request| {
        let answer = Answer::file(request, &served, ETAG);
        // The first request only asks for size and ETag; the next three are cut.
        if (1..=3).contains(&number) { answer.cut(800_000) } else { answer }
    });
    let fetcher = hasty();
    pull(&fetcher, &server).expect(0);
    assert_eq!(fs::read(fetcher.model().join("model.bin")).unwrap(), content);
    let requests = server.requests();
    let offsets: Vec<_> = requests.iter().map(|request| request.offset().unwrap_or(0)).collect();
    assert_eq!(offsets, [0, 0, 800_000, 1_600_000, 2_400_000]);
    assert!(requests[1..].iter().all(|request| request.header("if-match") == Some(ETAG)));
}

#[test]
fn a_source_without_ranges_starts_over() {
    let content = noise(SIZE);
    let served = content.clone();
    let server = FaultServer::start(move |number, _| {
        let answer =
            Answer { status: "200 OK".into(), body: served.clone(), ..Answer::default() }.with("ETag", ETAG);
        if number == 1 { answer.cut(1_000_000) } else { answer }
    });
    let fetcher = hasty();
    pull(&fetcher, &server).expect(0);
    assert_eq!(fs::read(fetcher.model().join("model.bin")).unwrap(), content);
    assert_eq!(fetcher.receipt().bytes, u64::try_from(SIZE).unwrap());
}

#[test]
fn content_that_nobody_vouches_for_is_never_pieced_together() {
    let server = FaultServer::start(move |number, request| {
        // No ETag: the second request may well be for another content.
        let content = noise(SIZE + number)[number..].to_vec();
        let answer = Answer { headers: vec![], ..Answer::file(request, &content, ETAG) };
        if number == 1 { answer.cut(1_000_000) } else { answer }
    });
    let fetcher = hasty();
    pull(&fetcher, &server).expect(0);
    assert!(server.requests().iter().all(|request| request.offset().is_none()));
    assert_eq!(fs::read(fetcher.model().join("model.bin")).unwrap(), noise(SIZE + 2)[2..]);
}

#[test]
fn a_source_that_always_breaks_at_the_same_place_is_given_up() {
    let server = FaultServer::start(move |number, request| {
        let answer = Answer { headers: vec![], ..Answer::file(request, &noise(SIZE), ETAG) };
        if number == 0 { answer } else { answer.cut(1_000_000) }
    });
    let failed = pull(&hasty(), &server).expect(69);
    assert!(failed.last_words.contains("gave up after 3 attempts"), "{}", failed.last_words);
    assert_eq!(server.requests().len(), 4, "one to look, and three");
}

#[test]
fn a_run_ends_when_its_time_is_up() {
    let (fetcher, server) = (single().with("FETCHER_DEADLINE", "2s"), half_way());
    let started = std::time::Instant::now();
    let late = pull(&fetcher, &server).expect(69);
    assert!(started.elapsed() < Duration::from_secs(9), "{}", late.stderr);
    assert!(late.last_words.contains("not done within 2 s"), "{}", late.last_words);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let server = FaultServer::start(|number, request| match number {
        0..=1 => Answer::status("503 Service Unavailable").with("Retry-After", "1"),
        _ => Answer::file(request, b"weights", ETAG),
    });
    let fetcher = hasty();
    let started = std::time::Instant::now();
    pull(&fetcher, &server).expect(0);
    assert!(started.elapsed() >= Duration::from_secs(2), "Retry-After was not waited for");
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
}

#[test]
fn a_stalled_connection_is_cut_and_asked_again() {
    let server = FaultServer::start(|number, request| {
        let mut answer = Answer::file(request, &noise(100_000), ETAG);
        if number == 1 {
            answer.stall = Duration::from_secs(8);
        }
        answer
    });
    let fetcher = hasty();
    let started = std::time::Instant::now();
    let outcome = pull(&fetcher, &server).expect(0);
    assert!(started.elapsed() < Duration::from_secs(7), "{}", outcome.stderr);
    let said = ["the connection stalled or timed out", "the connection was too slow for too long"];
    assert!(said.iter().any(|words| outcome.stderr.contains(words)), "{}", outcome.stderr);
    assert_eq!(tree(&fetcher.model())["model.bin"], noise(100_000));
}

#[test]
fn answers_that_cannot_be_right_are_fatal() {
    type Wrong = fn(Answer) -> Answer;
    let cases: [(&str, i32, Wrong, &str); 4] = [
        (
            "longer",
            65,
            |answer| Answer { body: [answer.body, vec![0; 10]].concat(), ..answer },
            "size mismatch",
        ),
        (
            "changed",
            65,
            |answer| Answer { headers: vec![("ETag".into(), "\"v2\"".into())], ..answer },
            "changed since",
        ),
        ("gone", 66, |_| Answer::status("404 Not Found"), "does not exist"),
        ("encoded", 64, |answer| answer.with("Content-Encoding", "gzip"), "content-encoding"),
    ];
    for (case, code, wrong, words) in cases {
        let server = FaultServer::start(move |number, request| {
            let answer = Answer::file(request, &noise(50_000), ETAG);
            if number == 0 { answer } else { wrong(answer) }
        });
        let fetcher = hasty();
        let failed = pull(&fetcher, &server).expect(code);
        assert!(failed.last_words.contains(words), "{case}: {}", failed.last_words);
        assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt(), "{case}");
        assert!(!failed.stderr.contains("canary"), "{case}: {}", failed.stderr);
    }
}

#[test]
fn a_wrong_range_is_not_written() {
    let server = FaultServer::start(|number, request| match number {
        0 => Answer::file(request, &noise(50_000), ETAG),
        1 => Answer::file(request, &noise(50_000), ETAG).cut(20_000),
        _ => Answer { headers: vec![], ..Answer::file(request, &noise(50_000), ETAG) }
            .with("Content-Range", "bytes 7-49999/50000"),
    });
    let fetcher = hasty();
    let failed = pull(&fetcher, &server).expect(64);
    assert!(failed.last_words.contains("expected a range from 20000, got one from 7"), "{failed:?}");
    assert!(tree(&fetcher.model()).is_empty());
}

#[test]
fn tokens_are_sent_to_the_registry_and_shown_to_nobody() {
    let server = FaultServer::start(|_, _| Answer::status("403 Forbidden"));
    let fetcher = hasty().with("MLFLOW_TRACKING_TOKEN", "canary-token").with("FETCHER_LOG_LEVEL", "trace");
    let refused = fetcher.pull(&format!("mlflow+{}", server.url()), "a", "v1").expect(77);
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer canary-token"));
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
}

#[test]
fn s3_requests_are_signed_with_a_session_or_not_at_all() {
    let server = FaultServer::start(|_, _| Answer::status("404 Not Found"));
    let s3 = || hasty().with("AWS_ENDPOINT_URL", &server.url()).with("AWS_REGION", "us-east-1");
    let signed = s3().with("AWS_ACCESS_KEY_ID", "id").with("AWS_SECRET_ACCESS_KEY", "canary-secret");
    let session = signed.with("AWS_SESSION_TOKEN", "canary-session").with("FETCHER_LOG_LEVEL", "trace");
    let missing = session.run(&["pull", "--uri", "s3://bucket/a"]).expect(66);
    let request = &server.requests()[0];
    assert!(request.target.starts_with("/bucket"), "path style: {}", request.target);
    assert!(request.header("authorization").is_some_and(|header| header.starts_with("AWS4-HMAC-SHA256")));
    assert_eq!(request.header("x-amz-security-token"), Some("canary-session"));
    assert!(!missing.stderr.contains("canary"), "{}", missing.stderr);
    s3().with("AWS_SKIP_SIGNATURE", "true").run(&["pull", "--uri", "s3://bucket/a"]).expect(66);
    assert_eq!(server.requests().last().unwrap().header("authorization"), None);
}

#[test]
fn a_terminal_shows_a_bar_and_a_log_a_line_every_ten_seconds() {
    let (fetcher, server) = (single().with("FETCHER_DEADLINE", "12s"), half_way());
    let uri = format!("{}/model.bin", server.url());
    let logged = fetcher.run(&["pull", "--uri", &uri]).expect(69);
    let lines: Vec<_> = logged.stderr.lines().filter(|line| line.contains("fetching: ")).collect();
    assert_eq!(lines.len(), 2, "when it begins and ten seconds later: {}", logged.stderr);
    assert!(lines[1].contains("1.4 MiB of 2.8 MiB at ") && lines[1].contains("percent=50"), "{}", lines[1]);

    let (fetcher, server) = (single().with("FETCHER_DEADLINE", "3s").with("TERM", "xterm"), half_way());
    let inner = fetcher.command(&["pull", "--uri", &format!("{}/model.bin", server.url())]);
    let mut terminal = Command::new("script");
    let line: Vec<_> = inner.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    let line = format!("{} {}", inner.get_program().display(), line.join(" "));
    terminal.args(["-qefc", &line, "/dev/null"]).env_clear();
    for (name, value) in inner.get_envs() {
        terminal.env(name, value.unwrap());
    }
    let shown = process::output(&mut terminal);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("50% 1.43 MiB/2.86 MiB"), "{shown}");
    assert!(shown.contains("0/1 files of model.bin") && !shown.contains("fetching: "), "{shown}");
}

#[test]
fn a_registry_that_is_something_else_is_said_so_with_a_hint() {
    let server = FaultServer::start(|_, _| Answer::status("404 Not Found"));
    let refused = hasty().pull(&format!("mlflow+{}", server.url()), "a", "v1").expect(64);
    assert!(
        refused.last_words.contains("404 Not Found, and not in MLflow's words"),
        "{}",
        refused.last_words
    );
    assert!(refused.stderr.contains("hint: check the registry's address"), "{}", refused.stderr);
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = FaultServer::start(|_, _| Answer::status("403 Forbidden"));
    let target = other.url();
    let server = FaultServer::start(move |_, request| {
        Answer::status("302 Found").with("Location", &format!("{target}{}", request.target))
    });
    let fetcher = hasty().with("MLFLOW_TRACKING_TOKEN", "canary-token");
    fetcher.pull(&format!("mlflow+{}", server.url()), "a", "v1").expect(77);
    assert!(server.requests()[0].header("authorization").is_some());
    assert_eq!(other.requests().len(), 1);
    assert_eq!(other.requests()[0].header("authorization"), None);
}

/// A server whose body stops in the middle of the file until the client goes away.
fn half_way() -> FaultServer {
    FaultServer::start(|number, request| {
        let mut answer = Answer::file(request, &noise(SIZE), ETAG);
        if number == 1 {
            answer.stall = Duration::from_secs(60);
        }
        answer
    })
}

/// Starts a pull and ends it by a signal once it has staged something.
fn interrupt(fetcher: &Fetcher, server: &FaultServer, signal: Signal) -> std::process::Output {
    let uri = format!("{}/model.bin", server.url());
    let mut command = fetcher.command(&["pull", "--uri", &uri]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The journal has it a moment after the disk.
    let journal = fetcher.layout().staging().join("journal.jsonl");
    poll::until("bytes in the staging area", Duration::from_secs(20), || {
        let text = fs::read_to_string(&journal).ok()?;
        let line: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
        line["landed"][0]["end"].as_u64().filter(|end| *end >= 1_000_000).map(drop)
    });
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn sigterm_keeps_what_is_there_and_the_next_start_goes_on() {
    let (fetcher, server) = (single(), half_way());
    let output = interrupt(&fetcher, &server, Signal::TERM);
    let interrupted = fetcher.outcome(&output).expect(75);
    let words = interrupted.last_words;
    assert!(
        words.starts_with("model.bin unversioned: interrupted by SIGTERM at ") && words.ends_with(" %"),
        "{words}"
    );
    assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
    let progress = handoff::Progress::read(&fetcher.layout().progress()).unwrap();
    assert_eq!(progress.error.map(|error| error.code), Some(75));

    fetcher.run(&["pull", "--uri", &format!("{}/model.bin", server.url())]).expect(0);
    let offset = server.requests().last().unwrap().offset().unwrap();
    assert!(offset >= 1_000_000, "went on from {offset}");
    assert_eq!(fetcher.receipt().resumed_bytes, u64::try_from(offset).unwrap());
    assert_eq!(fs::read(fetcher.model().join("model.bin")).unwrap(), noise(SIZE));
}

#[test]
fn sigkill_loses_no_more_than_a_moment_and_what_is_kept_is_checked() {
    let (fetcher, server) = (single(), half_way());
    let output = interrupt(&fetcher, &server, Signal::KILL);
    assert_eq!(output.status.signal(), Some(9));
    assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
    fetcher.run(&["pull", "--uri", &format!("{}/model.bin", server.url())]).expect(0);
    assert_eq!(fs::read(fetcher.model().join("model.bin")).unwrap(), noise(SIZE));
    assert!(fetcher.receipt().resumed_bytes >= 1_000_000);
    let attempt = handoff::Progress::read(&fetcher.layout().progress()).unwrap().attempt;
    assert_eq!(attempt, 2);
}

#[test]
fn what_an_earlier_run_left_wrong_is_fetched_anew() {
    let (store, model) = (tempfile::tempdir().unwrap(), sample_model());
    // One file after another, the largest first, so that some are staged when a small one fails.
    let fetcher = Fetcher::new().with("FETCHER_CONNECTIONS", "1");
    let registry = format!("catalog+file://{}", store.path().display());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    // A first run that fails late leaves its parts: one of the smaller files is not there.
    let config = store.path().join("a/v1/config.json");
    fs::rename(&config, store.path().join("aside")).unwrap();
    fetcher.pull(&registry, "a", "v1").expect(66);
    fs::rename(store.path().join("aside"), &config).unwrap();
    let parts = fetcher.layout().staging().join("parts");
    for part in fs::read_dir(&parts).unwrap() {
        let path = part.unwrap().path();
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }
    let again = fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(
        again.stderr.contains("what an earlier run left is not right, fetching anew"),
        "{}",
        again.stderr
    );
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn two_fetchers_do_not_work_on_one_volume() {
    let (fetcher, server) = (single(), half_way());
    let uri = format!("{}/model.bin", server.url());
    let mut first = fetcher.command(&["pull", "--uri", &uri]).stderr(Stdio::null()).spawn().unwrap();
    poll::until("the first to begin", Duration::from_secs(20), || {
        (!server.requests().is_empty()).then_some(())
    });
    let second = fetcher.run(&["pull", "--uri", &uri]).expect(75);
    assert!(second.last_words.contains("another fetcher is at work on"), "{}", second.last_words);
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Runs with a model directory on a file system of `size`.
fn on_small_volume(fetcher: &Fetcher, size: &str, arguments: &[&str]) -> Option<crate::fetcher::Outcome> {
    let model = fetcher.model();
    fs::create_dir_all(&model).unwrap();
    let mount = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\"";
    fetcher.run_mounted("a full disk", mount, [size, model.to_str().unwrap()], arguments)
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_the_first_byte() {
    let model = sample_model();
    let uri = format!("file://{}", model.path().display());
    let fetcher = Fetcher::new();
    let Some(failed) = on_small_volume(&fetcher, "1m", &["pull", "--uri", &uri]) else { return };
    let failed = failed.expect(73);
    assert!(failed.last_words.contains("not enough space on"), "{}", failed.last_words);
    assert!(failed.last_words.contains("expected 3.4 MiB, got "), "{}", failed.last_words);
    assert!(failed.stderr.contains("hint: raise the volume's size limit"), "{}", failed.stderr);
}

#[test]
fn a_volume_that_fills_up_is_said_so() {
    // Nobody knows the size beforehand.
    let server = FaultServer::start(|_, _| Answer::chunked(&noise(SIZE)));
    let (fetcher, uri) = (Fetcher::new(), format!("{}/model.bin", server.url()));
    let Some(failed) = on_small_volume(&fetcher, "1m", &["pull", "--uri", &uri]) else { return };
    let failed = failed.expect(73);
    assert!(failed.last_words.contains("No space left on device"), "{}", failed.last_words);
    let unlimited = Fetcher::new();
    unlimited.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(fs::read(unlimited.model().join("model.bin")).unwrap(), noise(SIZE));
}

#[test]
fn a_volume_that_cannot_be_written_to_is_said_so() {
    let fetcher = Fetcher::new();
    let model = sample_model();
    let uri = format!("file://{}", model.path().display());
    let failed = fetcher.run(&["pull", "--uri", &uri, "--dest", "/proc/plimsoll"]).expect(74);
    assert!(failed.last_words.contains("cannot create /proc/plimsoll"), "{}", failed.last_words);
    assert!(!Path::new("/proc/plimsoll").exists());
}

#[test]
fn a_model_without_end_is_cut_off_where_it_may_not_go_on() {
    let content = noise(3_000_000);
    let server = FaultServer::start(move |_, _| Answer::chunked(&content));
    let fetcher = Fetcher::new().with("FETCHER_MAX_SIZE", "1MiB");
    let failed = fetcher.run(&["pull", "--uri", &format!("{}/m.bin", server.url())]).expect(64);
    assert!(failed.last_words.ends_with("m.bin has more than 1048576 bytes"), "{}", failed.last_words);
    assert!(failed.stderr.contains("hint: FETCHER_MAX_SIZE"), "{}", failed.stderr);
    assert!(tree(&fetcher.model()).is_empty());
    let (model, store) = (sample_model(), tempfile::tempdir().unwrap());
    let registry = format!("catalog+file://{}", store.path().display());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    let failed = fetcher.pull(&registry, "a", "v1").expect(64);
    assert!(failed.last_words.contains("expected at most 1048576"), "{}", failed.last_words);
}
