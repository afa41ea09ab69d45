//! Git repositories, by Git's own program behind a web server, and their large files.

use handoff::Integrity;
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::git_server::{GitServer, USER};

use crate::fetcher::{Fetcher, noise, tree};

type Files<'a> = [(&'a str, &'a [u8])];

fn as_tree(files: &Files<'_>) -> Vec<(String, Vec<u8>)> {
    files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

fn left(fetcher: &Fetcher) -> Vec<(String, Vec<u8>)> {
    tree(&fetcher.model()).into_iter().collect()
}

#[test]
fn a_branch_a_tag_and_a_commit_are_pulled_and_every_file_is_held_to_it() {
    let server = GitServer::start();
    let (weights, many) = (noise(3_000_000), "similar folders are sent as differences\n".repeat(60));
    let mut first: Vec<(String, Vec<u8>)> = (0..40)
        .map(|number| (format!("code/{number:02}/a b.txt"), format!("{many}{number}").into_bytes()))
        .collect();
    first.push(("code/__init__.py".to_owned(), Vec::new()));
    first.push(("größe/model.bin".to_owned(), weights));
    first.sort();
    let files: Vec<(&str, &[u8])> =
        first.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let old = server.commit(&files);
    server.tag("v1");
    let second: [(&str, &[u8]); 1] = [("model.bin", b"another model")];
    let new = server.commit(&second);

    let pull = |revision: &str| {
        let fetcher = Fetcher::new();
        fetcher.run(&["pull", "--uri", &format!("{}{revision}", server.uri())]).expect(0);
        fetcher
    };
    for (revision, commit, expected) in [
        ("", &new, as_tree(&second)),
        ("@main", &new, as_tree(&second)),
        ("@v1", &old, first.clone()),
        (&format!("@{old}"), &old, first.clone()),
    ] {
        let fetcher = pull(revision);
        assert_eq!(left(&fetcher), expected, "{revision}");
        let receipt = fetcher.receipt();
        assert_eq!(receipt.resolved.version, *commit);
        assert!(receipt.files.iter().all(|file| file.checked == Integrity::Registry), "{receipt:?}");
    }
    let folder = pull("@v1#subdirectory=größe");
    assert_eq!(left(&folder), [("model.bin".to_owned(), noise(3_000_000))]);

    // What a plan says stays what it is when the branch moves.
    let plan = Fetcher::new().run(&["resolve", "--uri", &server.uri()]).expect(0).stdout;
    server.commit(&[("model.bin", b"a third model")]);
    assert!(plan.contains(&new), "{plan}");
    let pinned = pull(&format!("@{new}"));
    assert_eq!(left(&pinned), as_tree(&second));
}

#[test]
fn large_files_come_from_their_server_and_a_private_repository_wants_to_know_who() {
    let server = GitServer::private();
    let weights = noise(2_000_000);
    let pointer = server.keep_large(&weights);
    server.commit(&[("config.json", b"{}"), ("model.safetensors", &pointer)]);
    let with = |password: &str| {
        let (user, _) = USER;
        Fetcher::new()
            .with("GIT_USERNAME", user)
            .with("GIT_PASSWORD", password)
            .with("FETCHER_RETRY_ATTEMPTS", "2")
    };
    let fetcher = with(USER.1);
    let outcome = fetcher.run(&["pull", "--uri", &server.uri()]).expect(0);
    assert!(!outcome.stderr.contains(USER.1), "{}", outcome.stderr);
    assert_eq!(left(&fetcher), as_tree(&[("config.json", b"{}"), ("model.safetensors", &weights)]));
    assert!(fetcher.receipt().files.iter().all(|file| file.checked == Integrity::Registry));

    // As KServe has it, the address may name the user, and a `.netrc` will do as well.
    let named = Fetcher::new().with("GIT_PASSWORD", USER.1);
    named
        .run(&["pull", "--uri", &server.uri().replace("127.0.0.1", &format!("{}@127.0.0.1", USER.0))])
        .expect(0);
    let netrc = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(netrc.path(), format!("machine 127.0.0.1 login {} password {}", USER.0, USER.1)).unwrap();
    let by_netrc = Fetcher::new().with("NETRC", netrc.path().to_str().unwrap());
    by_netrc.run(&["pull", "--uri", &server.uri()]).expect(0);

    for refused in [with("wrong"), Fetcher::new()] {
        let refused = refused.run(&["pull", "--uri", &server.uri()]).expect(77);
        let words = format!(
            "cannot resolve {}: access to {}/info/refs?… was refused (401 Unauthorized)",
            server.uri(),
            server.uri().trim_start_matches("git+")
        );
        assert!(refused.last_words.ends_with(&words), "{}", refused.last_words);
        assert!(
            refused.stderr.contains("hint: a private repository needs GIT_USERNAME and GIT_PASSWORD"),
            "{}",
            refused.stderr
        );
    }

    let nobodys =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n", "ab".repeat(32));
    server.commit(&[("model.safetensors", nobodys.as_bytes())]);
    let missing = with(USER.1).run(&["pull", "--uri", &server.uri()]).expect(66);
    assert!(
        missing.last_words.contains(&format!("the large file {} of http://", "ab".repeat(32))),
        "{}",
        missing.last_words
    );
}

#[test]
fn what_is_not_there_and_what_no_server_sends_is_said() {
    let server = GitServer::start();
    server.commit(&[("model.bin", b"weights")]);
    let failed = |uri: &str, code| Fetcher::new().run(&["pull", "--uri", uri]).expect(code);
    let uri = server.uri();
    for missing in
        [format!("{uri}@v9"), format!("{uri}@{}", "ab".repeat(20)), format!("{uri}#subdirectory=a")]
    {
        let failed = failed(&missing, 66);
        assert!(
            failed.stderr.contains("hint: check the repository's address, and the branch"),
            "{}",
            failed.stderr
        );
    }
    let failed_at_v9 = failed(&format!("{uri}@v9"), 66);
    assert_eq!(
        failed_at_v9.last_words,
        format!("model v9: cannot resolve {uri}@v9: {uri}@v9 does not exist")
    );
    failed(&uri.replace("model.git", "nothing.git"), 66);

    server.without_filter();
    let without = failed(&uri, 64);
    assert!(without.last_words.contains("have it set `uploadpack.allowFilter`"), "{}", without.last_words);
    let web = FaultServer::start(|_, _| Answer { body: b"<html>".to_vec(), ..Answer::status("200 OK") });
    let web = failed(&format!("git+{}/model.git", web.url()), 64);
    assert!(web.last_words.contains("expected the length of a line in four digits"), "{}", web.last_words);
}
