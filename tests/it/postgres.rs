//! The fetcher against a real PostgreSQL server: what a row leads to, who is let in, and what is said when the answer
//! is no.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use handoff::Integrity;
use plimsoll_tests::fault_proxy::tcp::{TcpDamage, TcpProxy};
use plimsoll_tests::poll;
use plimsoll_tests::postgres_server::{PASSWORD, PostgresServer, READER};
use plimsoll_tests::s3_server::S3Server;

use crate::fetcher::{Fetcher, Outcome, digest_by_coreutils, sample_model, tree};

/// A version whose bytes are nowhere: enough for what does not come as far as that.
const ROW: &str = "INSERT INTO plimsoll.version VALUES ('a', 'v1', 's3://nowhere/a/v1')";

/// Puts a view of other columns in the place of that of our own migration.
fn show(server: &PostgresServer, columns: &str) {
    server.tell(&format!(
        "DROP VIEW plimsoll.models;
         CREATE VIEW plimsoll.models AS SELECT {columns};
         GRANT SELECT ON plimsoll.models TO {READER}"
    ));
}

fn reader(server: &PostgresServer) -> Fetcher {
    Fetcher::new().with_all(&server.environment()).with("FETCHER_RETRY_ATTEMPTS", "2")
}

/// The reader but for one variable.
fn without(server: &PostgresServer, variable: &str) -> Fetcher {
    let environment = server.environment().into_iter().filter(|(name, _)| name != variable);
    Fetcher::new().with_all(&environment.collect::<Vec<_>>()).with("FETCHER_LOG_LEVEL", "trace")
}

/// Asks for a plan: that far goes what a registry decides.
fn ask(fetcher: &Fetcher, registry: &str, version: &str) -> Outcome {
    fetcher.run(&["resolve", "--registry", registry, "--model-name", "a", "--model-version", version])
}

#[track_caller]
fn assert_refused(outcome: Outcome, code: i32, words: &[&str]) -> Outcome {
    let outcome = outcome.expect(code);
    for word in words {
        assert!(outcome.stderr.contains(word), "expected `{word}`: {}", outcome.stderr);
    }
    let said = format!("{}{}{}", outcome.stdout, outcome.stderr, outcome.last_words);
    assert!(!said.contains("c4n4ry"), "{said}");
    outcome
}

fn copy(from: &Path, to: &Path) {
    for (path, content) in tree(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn a_row_is_found_by_version_and_alias_and_vouches_for_the_model() {
    let (server, store, model) = (PostgresServer::start(), S3Server::start(), sample_model());
    store.create_bucket("models");
    let folder = store.bucket("models").join("a");
    for version in ["v1", "v2"] {
        copy(model.path(), &folder.join(version));
    }
    fs::write(folder.join("v2/config.json"), "{\"other\": 1}").unwrap();
    let digest = digest_by_coreutils(model.path());
    let sums = Fetcher::new().run(&["digest", model.path().to_str().unwrap()]).expect(0).stdout;
    server.tell(&format!(
        "INSERT INTO plimsoll.version (name, version, uri, digest, metadata) VALUES
         ('a', 'v1', 's3://models/a/v1', '{digest}', '{{\"commit\": \"4f1c2ab\"}}'),
         ('a', 'v2', 's3://models/a/v2/', NULL, jsonb_build_object('sha256sums', '{sums}')),
         ('a', 'v3', 's3://models/a/v1', NULL, '{{}}');
         INSERT INTO plimsoll.alias VALUES ('a', 'champion', 'v1')"
    ));
    let registry = server.registry();
    let fetcher = || reader(&server).with_all(&store.environment());
    for (version, resolved, integrity) in [
        ("v1", "v1", Integrity::Registry),
        ("@champion", "v1", Integrity::Registry),
        ("v3", "v3", Integrity::Recorded),
    ] {
        let fetcher = fetcher();
        fetcher.pull(&registry, "a", version).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(model.path()), "{version}");
        let receipt = fetcher.receipt();
        assert_eq!((receipt.digest.to_string(), receipt.integrity), (digest.clone(), integrity));
        assert_eq!(
            (receipt.resolved.registry, receipt.resolved.version),
            (registry.clone(), resolved.into())
        );
        let receipt = fs::read_to_string(fetcher.layout().receipt()).unwrap();
        assert!(!receipt.contains(PASSWORD) && !receipt.contains(READER), "{receipt}");
    }
    // What the other version's sums say is not what is there.
    assert_refused(fetcher().pull(&registry, "a", "v2"), 65, &["mismatch on config.json"]);

    for (name, version, words) in [
        ("b", "v1", "model `b` does not exist in postgres://localhost"),
        ("a' OR '1' = '1", "v1", "does not exist in postgres://localhost"),
        ("a", "v9", "version `v9` of `a` does not exist in postgres://localhost"),
        ("a", "champion", "version `champion` of `a` does not exist"),
        ("a", "@v1", "version `@v1` of `a` does not exist"),
    ] {
        assert_refused(fetcher().pull(&registry, name, version), 66, &[words]);
    }
    assert_refused(fetcher().pull(&registry, "a", "latest"), 64, &["may mean another model tomorrow"]);

    // An alias that moves is followed, and a finished volume does not need the database.
    let fetcher = fetcher();
    fetcher.pull(&registry, "a", "@champion").expect(0);
    server.tell("UPDATE plimsoll.alias SET version = 'v3'");
    fetcher.pull(&registry, "a", "@champion").expect(0);
    assert_eq!(fetcher.receipt().resolved.version, "v3");
    fetcher.pull(&registry, "a", "v1").expect(0);
    drop(server);
    let again = fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
}

#[test]
fn the_roles_of_the_migration_may_do_what_they_are_for_and_nothing_else() {
    let server = PostgresServer::start();
    let publish = |text: &str| server.tell(&format!("SET ROLE plimsoll_publisher; {text}"));
    publish(ROW);
    publish("INSERT INTO plimsoll.alias VALUES ('a', 'best', 'v1')");
    publish("UPDATE plimsoll.alias SET alias = 'worst'");
    for text in [
        "UPDATE plimsoll.version SET uri = 's3://b/c'",
        "DELETE FROM plimsoll.version",
        "DROP VIEW plimsoll.models",
    ] {
        server.refusal("plimsoll_publisher", text);
    }
    for (row, constraint) in [
        ("'a', 'v1', 's3://other/place'", "version_pkey"),
        ("'a', 'latest', 's3://b/c'", "version_version_check"),
        ("'a', 'v2', 'file:///etc'", "version_uri_check"),
        ("'a', 'v2', 's3://b/c', 'md5:1'", "version_digest_check"),
    ] {
        let insert = format!("INSERT INTO plimsoll.version VALUES ({row})");
        let said = server.refusal("plimsoll_publisher", &insert);
        assert!(said.contains(constraint), "{said}");
    }
    for text in [ROW, "TABLE plimsoll.version", "TABLE plimsoll.alias", "DELETE FROM plimsoll.models"] {
        assert!(server.refusal(READER, text).contains("permission denied"), "{text}");
    }
    let settings = server.tell(&format!("SELECT rolconfig FROM pg_roles WHERE rolname = '{READER}'"));
    assert!(settings.contains("default_transaction_read_only=on,statement_timeout=10s"), "{settings}");
}

#[test]
fn who_is_not_let_in_is_told_so_and_no_password_is_shown() {
    let server = PostgresServer::start();
    server.tell("CREATE ROLE stranger LOGIN PASSWORD 'c4n4ry-of-the-stranger'");
    let (registry, folder) = (server.registry(), tempfile::tempdir().unwrap());
    let without = |variable| without(&server, variable);
    let with_file = |text: &str| {
        let path = folder.path().join("pgpass");
        fs::write(&path, text).unwrap();
        without("PGPASSWORD").with("PGPASSFILE", path.to_str().unwrap())
    };
    assert_refused(ask(&reader(&server), &registry, "v1"), 66, &[]);
    let password = format!("localhost:{}:ml:{READER}:{PASSWORD}\n", server.port());
    assert_refused(ask(&with_file(&password), &registry, "v1"), 66, &[]);

    let wrong = "password authentication failed for user";
    let check = "hint: check the registry's credentials and that they may read this model";
    let by_variable = without("PGPASSWORD").with("PGPASSWORD", "c4n4ry-is-wrong");
    for format in ["text", "json"] {
        for fetcher in [
            without("PGPASSWORD").with("PGPASSWORD", "c4n4ry-is-wrong"),
            with_file("*:*:*:*:c4n4ry-in-a-file\n"),
        ] {
            let refused = ask(&fetcher.with("FETCHER_LOG_FORMAT", format), &registry, "v1");
            assert_refused(refused, 77, &[wrong, "SQLSTATE 28P01"]);
        }
    }
    assert_refused(by_variable.pull(&registry, "a", "v1"), 77, &[wrong, check]);
    let none = ["access to postgres://localhost", "it asks for a password, and there is none"];
    assert_refused(ask(&without("PGPASSWORD"), &registry, "v1"), 77, &none);
    assert_refused(ask(&with_file("elsewhere:*:*:*:c4n4ry\n"), &registry, "v1"), 77, &none);
    let missing = without("PGPASSWORD").with("PGPASSFILE", "/does/not/exist");
    assert_refused(ask(&missing, &registry, "v1"), 74, &["cannot access /does/not/exist"]);
    let stranger = reader(&server).with("PGUSER", "stranger").with("PGPASSWORD", "c4n4ry-of-the-stranger");
    let denied = "permission denied for schema plimsoll";
    assert_refused(ask(&stranger, &registry, "v1"), 77, &[denied, check]);

    // What is wrong before anybody is asked.
    assert_refused(ask(&without("PGUSER"), &registry, "v1"), 64, &["PGUSER is not set", "PGPASSFILE"]);
    let with_password = registry.replace("://", "://plimsoll_reader:c4n4ry@");
    assert_refused(ask(&reader(&server), &with_password, "v1"), 64, &["holds credentials", "PGUSER"]);
    let in_query = format!("{registry}?password=c4n4ry");
    assert_refused(ask(&reader(&server), &in_query, "v1"), 64, &["a query that is not understood"]);
}

#[test]
fn tls_is_checked_unless_the_address_says_that_there_is_none() {
    let server = PostgresServer::start();
    let (registry, reader) = (server.registry(), reader(&server));
    ask(&reader, &registry, "v1").expect(66);
    let untrusting = without(&server, "SSL_CERT_FILE");
    let authority = "hint: name the file of its certificate authority in SSL_CERT_FILE";
    let untrusted = ["the certificate of postgres://", "is not trusted: ", authority];
    assert_refused(ask(&untrusting, &registry, "v1"), 64, &untrusted);
    let by_number = server.registry_at("127.0.0.1", "ml");
    assert_refused(ask(&reader, &by_number, "v1"), 64, &["is not trusted: ", "not valid for name"]);

    // The server's rules let nobody at this database without TLS, and nobody at the other one with it.
    let disabled = format!("{registry}?sslmode=disable");
    assert_refused(ask(&reader, &disabled, "v1"), 77, &["no encryption, SQLSTATE 28000"]);
    let no_view = "has no usable view `plimsoll.models`: relation \"plimsoll.models\" does not exist";
    let plain = ask(&untrusting, &server.plain_registry(), "v1");
    assert_refused(plain, 64, &[no_view, "SQLSTATE 42P01", "hint: make the view"]);

    server.sql("postgres", "ALTER SYSTEM SET ssl = off");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let refused = poll::until("TLS to be off", Duration::from_secs(10), || {
        Some(ask(&reader, &registry, "v1")).filter(|outcome| outcome.code != 66)
    });
    assert_refused(refused, 64, &["was refused: the server has no TLS"]);
}

#[test]
fn a_database_that_is_not_as_it_must_be_is_said_so() {
    let server = PostgresServer::start();
    let (registry, reader) = (server.registry(), reader(&server));
    let elsewhere = server.registry_at("localhost", "nothing");
    let missing = "database \"nothing\" does not exist, SQLSTATE 3D000";
    assert_refused(ask(&reader, &elsewhere, "v1"), 64, &[missing]);
    let named = "'a' AS name, 'v1' AS version, 's3://b/c' AS uri, NULL AS digest";
    for (columns, words) in [
        ("'{}' AS metadata", "column \"aliases\" does not exist"),
        ("now() AS aliases, '{}' AS metadata", "cannot cast type timestamp with time zone to text[]"),
        ("NULL AS aliases, 'x' AS metadata", "invalid input syntax for type json"),
    ] {
        show(&server, &format!("{named}, {columns}"));
        let refused = assert_refused(ask(&reader, &registry, "v1"), 64, &[words, "hint: make the view"]);
        assert!(refused.last_words.contains("has no usable view"), "{}", refused.last_words);
    }
}

#[test]
fn what_a_row_says_wrong_is_refused() {
    let server = PostgresServer::start();
    let (registry, reader) = (server.registry(), reader(&server));
    let row = |uri: &str, digest: &str, metadata: &str| {
        format!(
            "'a'::varchar AS name, 'v1' AS version, ARRAY['best']::varchar[] AS aliases,
             {uri} AS uri, {digest} AS digest, {metadata} AS metadata"
        )
    };
    let place = |uri: &str| row(uri, "NULL", "NULL");
    let location = "says the bytes of `a` are at an address that is not usable";
    let not_local = "unsupported scheme `file`, expected s3, http or https from a database";
    let of_row = "the row of a v1 in postgres://";
    let good = "'s3://b/c'";
    let sums = format!("'{{\"sha256sums\": \"{}  ../x\"}}'", "0".repeat(64));
    let huge = "json_build_object('sha256sums', repeat('x', 33554432))";
    for (columns, code, words) in [
        (place("'file:///etc'"), 64, [location, not_local]),
        (place("'ftp://host/x'"), 64, [location, "unsupported scheme `ftp`"]),
        (place("'nowhere'"), 64, [location, "expected a URI"]),
        (place("NULL"), 64, [location, "expected a URI"]),
        (place("E's3://b/\\x1b[2J'"), 64, [location, "holds a character"]),
        (place("'https://me:c4n4ry@host/x'"), 64, [location, "holds credentials"]),
        (row(good, "'md5:1'", "NULL"), 65, [of_row, "`digest`: "]),
        (row(good, "''", "NULL"), 65, [of_row, "`digest`: "]),
        (row(good, "NULL", &sums), 65, [of_row, "`sha256sums`: line 1: "]),
        (row(good, "NULL", huge), 64, ["cannot ask postgres://", "is larger than 33554432 bytes"]),
    ] {
        show(&server, &columns);
        for version in ["v1", "@best"] {
            assert_refused(ask(&reader, &registry, version), code, &words);
        }
    }
    let (one, other) = (place(good), place(good).replace("'v1'", "'../v2'"));
    show(&server, &format!("{one} UNION ALL SELECT {other}"));
    assert_refused(ask(&reader, &registry, "@best"), 66, &["`@best` of `a` is ambiguous in", "carry it"]);
    show(&server, &other);
    assert_refused(ask(&reader, &registry, "@best"), 65, &["the row of a ../v2 in", "expected a version"]);
}

#[test]
fn who_does_not_answer_in_time_is_asked_again_and_given_up() {
    let server = PostgresServer::start();
    let (registry, hasty) = (server.registry(), reader(&server).with("FETCHER_STALL_TIMEOUT", "1s"));
    let (spent, stalled) = ("gave up after 2 attempts", "the connection stalled or timed out");
    server.tell(ROW);
    let slow = "name, version, NULL AS aliases, uri, digest, metadata FROM plimsoll.version, pg_sleep(30)";
    show(&server, slow);
    assert_refused(ask(&hasty, &registry, "v1"), 69, &[spent, stalled]);
    server.tell("ALTER ROLE plimsoll_reader SET statement_timeout = '200ms'");
    let refused = ask(&reader(&server), &registry, "v1");
    assert_refused(refused, 69, &[spent, "statement timeout, SQLSTATE 57014"]);
    server.tell("ALTER ROLE plimsoll_reader CONNECTION LIMIT 0");
    assert_refused(ask(&hasty, &registry, "v1"), 69, &[spent, "SQLSTATE 53300"]);

    // Somebody who says nothing, and nobody.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgres://localhost:{}/ml", silent.local_addr().unwrap().port());
    assert_refused(ask(&hasty, &address, "v1"), 69, &[spent, stalled]);
    drop(silent);
    assert_refused(ask(&hasty, &address, "v1"), 69, &[spent, "cannot connect"]);
}

#[test]
fn a_connection_that_breaks_is_made_anew() {
    let server = PostgresServer::start();
    server.tell(ROW);
    let fetcher = reader(&server).with("FETCHER_STALL_TIMEOUT", "1s");
    // In answer to the first word, in the handshake, and after it.
    let damages: [fn(u64) -> TcpDamage; 4] = [
        |number| if number == 0 { TcpDamage::ResetAfter(0) } else { TcpDamage::None },
        |number| if number == 0 { TcpDamage::CloseAfter(300) } else { TcpDamage::None },
        |number| if number == 0 { TcpDamage::CloseAfter(1500) } else { TcpDamage::None },
        |number| if number == 0 { TcpDamage::StallAfter(1500) } else { TcpDamage::None },
    ];
    for damage in damages {
        let proxy = TcpProxy::start(server.port());
        proxy.damage(damage);
        let registry = format!("postgres://localhost:{}/ml", proxy.port());
        assert_refused(
            ask(&fetcher, &registry, "v9"),
            66,
            &["retrying", "version `v9` of `a` does not exist"],
        );
    }
}
