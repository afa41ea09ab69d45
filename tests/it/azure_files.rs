//! Azure's file shares, of which there is no real server here, nor one by others: a stand-in that looks at signatures, and that
//! KServe's initializer reads from as well, in `kserve.rs`.

use std::fs;

use handoff::Integrity;
use plimsoll_tests::azure_files::{ACCOUNT, FileShares, KEY, sign};
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::skip;

use crate::fetcher::{Fetcher, noise, sample_model, tree};

const V1: &str = "https://plimsoll.file.core.windows.net/models/a/v1";

/// A share with the sample model below `a/v1`, and a neighbour whose name begins in the same way.
fn server() -> (FileShares, tempfile::TempDir) {
    let (folder, model) = (tempfile::tempdir().unwrap(), sample_model());
    for (below, files) in [("models/a/v1", tree(model.path())), ("models/a/v1-2", tree(model.path()))] {
        for (name, content) in files {
            let path = folder.path().join(below).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    fs::create_dir(folder.path().join("models/a/v1/empty")).unwrap();
    (FileShares::start(folder.path()), folder)
}

fn nobody(server: &FileShares) -> Fetcher {
    Fetcher::new()
        .with("AZURE_STORAGE_FILE_ENDPOINT", &server.url())
        .with("FETCHER_RETRY_ATTEMPTS", "2")
        .with("FETCHER_LOG_LEVEL", "trace")
}

fn with_key(server: &FileShares) -> Fetcher {
    nobody(server).with("AZURE_STORAGE_ACCESS_KEY", KEY)
}

#[test]
fn a_folder_is_pulled_page_by_page_and_checked() {
    let (server, folder) = server();
    let v1 = folder.path().join("models/a/v1");
    fs::write(v1.join("__init__.py"), "").unwrap();
    fs::write(v1.join("ends with a dot."), "text").unwrap();
    fs::write(v1.join("large.bin"), noise(20_000_000)).unwrap();
    server.keep_md5("models/a/v1/config.json");
    server.page(2);
    let zoned = V1.replace("file.core.windows.net", "z07.file.storage.azure.net");
    let by_string = format!("AccountName={ACCOUNT};AccountKey={KEY};FileEndpoint={}", server.url());
    let by_string = Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", &by_string);
    for (fetcher, uri) in
        [(with_key(&server), V1), (with_key(&server), &format!("{zoned}/")), (by_string, V1)]
    {
        fetcher.run(&["pull", "--uri", uri]).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(&v1), "{uri}");
        let checked = |name: &str| {
            let files = fetcher.receipt().files;
            files.into_iter().find(|file| file.path.as_str() == name).unwrap().checked
        };
        assert_eq!((checked("config.json"), checked("large.bin")), (Integrity::Store, Integrity::Recorded));
    }
    let large = server.requests().into_iter().filter(|request| request.target.ends_with("/large.bin"));
    assert!(large.filter(|request| request.header("range").is_some()).count() > 1, "in ranges");

    server.tell_types();
    let share = with_key(&server);
    share.run(&["pull", "--uri", "https://plimsoll.file.core.windows.net/models"]).expect(0);
    assert_eq!(tree(&share.model()), tree(&folder.path().join("models")));
    for name in ["größe/模型 1.bin", "__init__.py", "config.json"] {
        let single = with_key(&server);
        single.run(&["pull", "--uri", &format!("{V1}/{name}")]).expect(0);
        let found: Vec<_> = tree(&single.model()).into_iter().collect();
        let last = name.rsplit('/').next().unwrap().to_owned();
        assert_eq!(found, [(last, fs::read(v1.join(name)).unwrap())]);
    }
    let again = with_key(&server);
    again.run(&["pull", "--uri", V1]).expect(0);
    assert_eq!(tree(&again.model()), tree(&v1), "where a folder is called one");
}

#[test]
fn a_signature_opens_a_share_or_one_file_until_it_is_over() {
    // Signed by the official client, which is where KServe's initializer is.
    if skip::asked("kserve", "a_signature_opens_a_share_or_one_file_until_it_is_over") {
        return;
    }
    let (server, folder) = server();
    let (of_share, of_file) = (sign("models", None, 1), sign("models", Some("a/v1/config.json"), 1));
    let named = |signature: &str| nobody(&server).with("AZURE_STORAGE_SAS_TOKEN", signature);
    let all = tree(&folder.path().join("models/a/v1"));
    for (fetcher, uri, signature) in [
        (named(&of_share), V1.to_owned(), &of_share),
        (nobody(&server), format!("{V1}?{of_share}"), &of_share),
        (nobody(&server), format!("{V1}/config.json?{of_file}"), &of_file),
    ] {
        let outcome = fetcher.run(&["pull", "--uri", &uri]).expect(0);
        let pulled = tree(&fetcher.model());
        let expected = if uri.contains("config.json") { 1 } else { all.len() };
        assert!(pulled.len() == expected && pulled.iter().all(|(name, content)| all[name] == *content));
        let secret = signature.split("sig=").nth(1).unwrap().chars().take(12).collect::<String>();
        let receipt = fs::read_to_string(fetcher.layout().receipt()).unwrap();
        assert!(!receipt.contains(&secret) && !outcome.stderr.contains(&secret), "{}", outcome.stderr);
    }
    for signature in [sign("models", None, -1), sign("other", None, 1), of_file] {
        let refused = named(&signature).run(&["pull", "--uri", V1]).expect(77);
        let words = format!("access to {V1} was refused (403 ");
        assert!(refused.last_words.contains(&words), "{}", refused.last_words);
    }
}

#[test]
fn a_token_opens_a_share_to_programs() {
    let (server, folder) = server();
    server.admit("canary-token");
    let identity = FaultServer::start(|_, _| {
        let token = r#"{"access_token": "canary-token", "token_type": "Bearer", "expires_on": "4102444800"}"#;
        Answer { body: token.into(), ..Answer::status("200 OK") }.with("Content-Type", "application/json")
    });
    let fetcher = nobody(&server).with("IDENTITY_ENDPOINT", &identity.url());
    let outcome = fetcher.run(&["pull", "--uri", V1]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(&folder.path().join("models/a/v1")));
    assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    assert_eq!(identity.requests().len(), 1, "a token is asked for once");
}

#[test]
fn who_may_not_read_and_what_is_not_there_are_said() {
    let (server, folder) = server();
    let says = |fetcher: Fetcher, uri: &str, code: i32, words: &str| {
        let failed = fetcher.run(&["pull", "--uri", uri]).expect(code);
        assert!(failed.last_words.ends_with(words), "{}", failed.last_words);
    };
    let wrong = nobody(&server).with("AZURE_STORAGE_ACCESS_KEY", "Y2FuYXJ5");
    says(wrong, V1, 77, &format!("access to {V1} was refused (403 Forbidden)"));
    for missing in [V1.replace("/a/", "/nothing/"), V1.replace("models", "nothing")] {
        says(with_key(&server), &missing, 66, &format!("cannot list {missing}: {missing} does not exist"));
    }
    let asked = server.requests().len();
    let anonymous = nobody(&server).with("AZURE_SKIP_SIGNATURE", "true");
    let words = format!(
        "access to {V1} was refused (a file share lets nobody in without credentials, and there are none)"
    );
    says(anonymous, V1, 77, &words);
    assert_eq!(server.requests().len(), asked, "it is not even asked");
    let published =
        with_key(&server).publish(&folder.path().join("models/a/v1"), &format!("catalog+{V1}"), "v1", &[]);
    assert!(published.expect(64).stderr.contains("it cannot hold a catalog"));
}

#[test]
fn a_file_that_is_damaged_or_was_overwritten_is_not_let_in() {
    for (method, words) in [
        ("", "checksum mismatch on config.json: expected md5 "),
        ("HEAD", "plimsoll.file.core.windows.net/models/a/v1/config.json changed since it was listed"),
        ("GET", "plimsoll.file.core.windows.net/models/a/v1/config.json changed since it was listed"),
    ] {
        let (server, folder) = server();
        let name = "models/a/v1/config.json";
        server.keep_md5(name);
        let mut other = fs::read(folder.path().join(name)).unwrap();
        other[0] ^= 1;
        server.damage(name, &other);
        server.overwrite(method, name);
        let fetcher = with_key(&server);
        let failed = fetcher.run(&["pull", "--uri", V1]).expect(65);
        assert!(failed.last_words.contains(words), "{method}: {}", failed.last_words);
        assert!(tree(&fetcher.model()).is_empty());
    }
}
