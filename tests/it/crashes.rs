//! However often the fetcher is ended, and wherever: the model is right in the end, little is fetched twice, and nothing
//! unverified was ever to be seen.

use plimsoll_tests::crashes::{self, Model, Stage};
use rustix::process::Signal;

#[test]
fn killed_at_two_hundred_random_moments_it_goes_on_each_time() {
    let small = crashes::at_random(170, Signal::KILL, Model::Small);
    small.assert();
    let large = crashes::at_random(30, Signal::KILL, Model::Large);
    large.assert();
    assert!(small.count() + large.count() >= 200);
    assert!(large.ends[&Stage::Fetching] >= 15, "{large:?}");
}

#[test]
fn killed_at_every_call_that_changes_the_volume_it_goes_on_each_time() {
    let toll = crashes::at_every_call();
    toll.assert();
    for stage in [Stage::Before, Stage::Fetching, Stage::Publishing, Stage::Clearing] {
        assert!(toll.ends.get(&stage).is_some_and(|count| *count >= 2), "{stage}: {:?}", toll.ends);
    }
    assert!(toll.count() >= 50, "{:?}", toll.ends);
}

#[test]
fn terminated_at_random_moments_it_says_so_and_loses_nothing() {
    let toll = crashes::at_random(20, Signal::TERM, Model::Large);
    toll.assert();
    assert!(toll.ends[&Stage::Fetching] >= 10, "{toll:?}");
}
