//! The sidecar's page as a browser shows it: with and without scripts, light and dark, wide and narrow.
//!
//! The pictures stay in the build directory, in `tmp/page`, for whoever wants to look at them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::time::Duration;

use plimsoll_tests::browser::{Browser, Look};
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::{places, poll, skip};

use crate::sidecar::Sidecar;

const GROUP: &str = "page";
/// A narrow window, as beside a terminal.
const NARROW: u32 = 400;

type Colour = (u8, u8, u8);

/// The colour of a phase's name, on a light and on a dark ground.
struct Tone {
    light: Colour,
    dark: Colour,
}

const BUSY: Tone = Tone { light: (0x1f, 0x62, 0xc6), dark: (0x7d, 0xb0, 0xff) };
const BAD: Tone = Tone { light: (0xb9, 0x2a, 0x25), dark: (0xff, 0x8f, 0x87) };
const GOOD: Tone = Tone { light: (0x17, 0x73, 0x3f), dark: (0x55, 0xc9, 0x8c) };

/// How many points of each colour a picture has.
fn colours(picture: &[u8]) -> BTreeMap<Colour, usize> {
    let mut decoder = png::Decoder::new(Cursor::new(picture));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut points = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut points).unwrap();
    let mut colours = BTreeMap::new();
    for point in points[..info.buffer_size()].chunks_exact(info.color_type.samples()) {
        *colours.entry((point[0], point[1], point[2])).or_default() += 1;
    }
    colours
}

fn brightness(colour: Colour) -> u32 {
    u32::from(colour.0) + u32::from(colour.1) + u32::from(colour.2)
}

/// Fails unless the picture has one ground, dark or light, with text on it and the phase in its colour.
#[track_caller]
fn assert_shows(name: &str, picture: &[u8], dark: bool, tone: Colour) {
    let colours = colours(picture);
    let all: usize = colours.values().sum();
    let (&ground, &most) = colours.iter().max_by_key(|(_, count)| **count).unwrap();
    assert!(most * 100 > all * 60, "{name}: no ground, {most} of {all}");
    assert_eq!(brightness(ground) < 384, dark, "{name}: {ground:?}");
    let against = |colour: Colour| brightness(colour).abs_diff(brightness(ground)) > 384;
    let text: usize = colours.iter().filter(|(colour, _)| against(**colour)).map(|(_, count)| count).sum();
    assert!(text > 2000, "{name}: only {text} points of text");
    let toned = colours.get(&tone).copied().unwrap_or_default();
    assert!(toned > 200, "{name}: only {toned} points of {tone:?}");
}

/// Looks at the page in every way. Every text of `said` must be in the document, whether scripts run or not.
#[track_caller]
fn look(browser: &Browser, phase: &str, tone: &Tone, said: &[&str]) {
    let folder = places::target().join("tmp/page");
    fs::create_dir_all(&folder).unwrap();
    for (name, scripts, dark, width) in [
        ("light", true, false, 1280),
        ("dark", false, true, 1280),
        ("narrow-light", false, false, NARROW),
        ("narrow-dark", true, true, NARROW),
    ] {
        let page = browser.open("/", Look { scripts, dark, width });
        let document = page.document().replace("&nbsp;", " ");
        for text in said {
            assert!(document.contains(text), "{phase}, {name}: no `{text}` in {document}");
        }
        assert_eq!(page.size().0, u64::from(width), "{phase}, {name}: something is wider than the window");
        let (name, picture) = (format!("{phase}-{name}"), page.picture());
        fs::write(folder.join(format!("{name}.png")), &picture).unwrap();
        assert_shows(&name, &picture, dark, if dark { tone.dark } else { tone.light });
    }
}

#[test]
fn a_browser_shows_every_phase_and_asks_for_nothing_else() {
    if skip::asked(GROUP, "page: a_browser_shows_every_phase_…") {
        return;
    }
    let sidecar = Sidecar::start("search-ranking", "v2.3");
    let browser = Browser::for_port(sidecar.port());
    sidecar.fetching();
    let said = [
        "<title>Fetching search-ranking v2.3</title>",
        "fetching 63 % at 412.0 MiB/s, 12 s left (attempt 2)",
        "Not in service",
        "8.5 GiB of 13.4 GiB",
        "412.0 MiB/s",
        "about 12 s left",
    ];
    look(&browser, "fetching", &BUSY, &said);

    let failure = "checksum mismatch on model-00003-of-00006.safetensors: expected sha256 ab12…, got cd34…";
    sidecar.failed(failure);
    look(&browser, "failed", &BAD, &["<title>Failed search-ranking v2.3</title>", failure, "Not in service"]);

    sidecar.fetching();
    sidecar.fetched(332, 43_627_212);
    sidecar.until("loading");
    let asked = format!("GET {}/ping: expected status 200, got 503", sidecar.model_server());
    look(&browser, "loading", &BUSY, &["<title>Loading search-ranking v2.3</title>", &asked, "not loaded"]);

    sidecar.set_loaded(true);
    sidecar.until("ready");
    let said = [
        "<title>Ready search-ranking v2.3</title>",
        "In service",
        "Loaded the model in",
        "<b>signed</b>",
        "model-00020-of-00332.safetensors",
        "and 312 more",
        "13.4 GiB in 41 s, of which 700.0 MiB",
    ];
    look(&browser, "ready", &GOOD, &said);

    let page = format!("http://127.0.0.1:{}/", sidecar.port());
    let elsewhere: Vec<_> = browser.asked().into_iter().filter(|asked| *asked != page).collect();
    assert_eq!(elsewhere, Vec::<String>::new());
}

#[test]
fn the_page_loads_again_by_itself_without_a_script() {
    if skip::asked(GROUP, "page: the_page_loads_again_by_itself_…") {
        return;
    }
    let sidecar = Sidecar::start("search-ranking", "v2.3");
    sidecar.fetching();
    let browser = Browser::for_port(sidecar.port());
    let _page = browser.open("/", Look { scripts: false, ..Look::default() });
    poll::until("the third load", Duration::from_secs(60), || (browser.asked().len() >= 3).then_some(()));
}

/// Text from outside stays text in a real parser of HTML.
#[test]
fn hostile_text_is_shown_and_does_nothing() {
    if skip::asked(GROUP, "page: hostile_text_is_shown_and_does_nothing") {
        return;
    }
    let attack = "</title><script>document.title='owned'</script><img src=//127.0.0.2/x onerror=alert(1)>";
    let sidecar = Sidecar::start(attack, "\"'><svg/onload=alert(1)>");
    let browser = Browser::for_port(sidecar.port());
    let styled = "<style>*{background:url(//127.0.0.2/y)}</style><base href=//127.0.0.2/>";
    sidecar.failed(&format!("{attack}{styled}"));
    let page = browser.open("/", Look::default());
    let document = page.document();
    let shown = "&lt;/title&gt;&lt;script&gt;document.title='owned'&lt;/script&gt;&lt;img src=//127.0.0.2/x";
    for place in ["<title>Failed ", "<b>", "<p class=\"reason\">failed: ", "<dd>"] {
        assert!(document.contains(&format!("{place}{shown}")), "{place} in {document}");
    }
    for element in ["<script", "<img", "<base", "<svg/"] {
        assert!(!document.contains(element), "{element} in {document}");
    }
    let page = format!("http://127.0.0.1:{}/", sidecar.port());
    assert_eq!(browser.asked(), [page]);
}

/// What the looks above are worth: scripts run or do not as they are told to, and every request is seen.
#[test]
fn a_browser_does_with_another_page_what_ours_must_not_make_it_do() {
    if skip::asked(GROUP, "page: a_browser_does_with_another_page_…") {
        return;
    }
    let server = FaultServer::start(move |_, _| {
        let script = "<p><script>document.querySelector('p').id = 'scr' + 'ipted'</script>";
        let body = format!("<!DOCTYPE html><html><body>{script}<img src=//127.0.0.2/picture></html>");
        let answer = Answer { body: body.into_bytes(), ..Answer::status("200 OK") };
        answer.with("Content-Type", "text/html")
    });
    let browser = Browser::for_port(server.port());
    for scripts in [true, false] {
        let document = browser.open("/", Look { scripts, ..Look::default() }).document();
        assert_eq!(document.contains("scripted"), scripts, "{document}");
    }
    assert!(browser.asked().iter().any(|asked| asked == "http://127.0.0.2/picture"), "{:?}", browser.asked());
}
