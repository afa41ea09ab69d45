use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
/// Never cuts.
const NO_FLOOR: Floor = Floor {
    rate: 0,
    patience: Duration::MAX,
    share: u64::MAX,
    quorum: usize::MAX,
    patience_among_others: Duration::MAX,
};

fn board(sizes: &[u64], width: usize) -> Board {
    let work = |size: &u64| Work { size: Some(*size), splittable: true, here: Extents::default() };
    let mut board = Board::new(sizes.iter().map(work).collect());
    board.set_width(width);
    board
}

fn part(board: &mut Board, last: Option<FileNumber>) -> Assignment {
    match board.next(last) {
        Next::Part(assignment) => assignment,
        other => panic!("expected a part, got {other:?}"),
    }
}

fn finish(board: &mut Board, assignment: &Assignment) {
    let range = assignment.range.clone();
    let claimed = board.claim(assignment.part, range.start, range.end - range.start);
    assert_eq!(claimed, range);
    assert_eq!(board.rest(assignment.part), None);
}

#[test]
fn the_largest_file_is_begun_first_and_each_connection_stays_with_its_file() {
    let mut board = board(&[3 * MIB, 500 * MIB, 400 * MIB], 4);
    let (first, second, third) = (part(&mut board, None), part(&mut board, None), part(&mut board, None));
    assert_eq!((first.file, second.file, third.file), (1, 2, 0));
    assert_eq!(first.range, 0..FIRST_PART);
    assert_eq!(third.range, 0..3 * MIB, "a small file in one");
    finish(&mut board, &first);
    assert_eq!(part(&mut board, Some(1)).range, FIRST_PART..2 * FIRST_PART);
    finish(&mut board, &third);
    assert_eq!(part(&mut board, Some(0)).file, 1, "then the one with the most left for each");
}

#[test]
fn parts_are_long_while_every_connection_has_a_file_of_its_own() {
    let mut board = board(&[500 * MIB, 400 * MIB], 2);
    assert_eq!(part(&mut board, None).range, 0..ALONE);
    assert_eq!(part(&mut board, None).range, 0..ALONE);
}

#[test]
fn parts_grow_with_the_wait_and_shrink_near_the_end() {
    let mut board = board(&[2000 * MIB], 2);
    let first = part(&mut board, None);
    board.first_byte(first.part, Duration::from_millis(20));
    board.claim(first.part, 0, 4 * MIB);
    board.measure(Duration::from_millis(100), NO_FLOOR);
    // 40 MiB a second, and twenty times the wait of 20 ms.
    assert_eq!(part(&mut board, None).range, FIRST_PART..FIRST_PART + 16 * MIB);
    let mut lengths = Vec::new();
    while let Next::Part(next) = board.next(Some(0)) {
        lengths.push(next.range.end - next.range.start);
    }
    assert!(lengths.is_sorted_by(|a, b| a + MIB >= *b), "{lengths:?}");
    assert!(*lengths.last().unwrap() <= 2 * MIB, "{lengths:?}");
}

#[test]
fn what_is_here_is_not_fetched() {
    let mut here = Extents::default();
    here.insert(MIB..3 * MIB);
    let work = Work { size: Some(4 * MIB), splittable: true, here };
    let mut board = Board::new(vec![work]);
    assert_eq!(part(&mut board, None).range, 0..MIB);
    assert_eq!(part(&mut board, None).range, 3 * MIB..4 * MIB);
    assert_eq!(board.next(None), Next::Wait);
}

#[test]
fn a_source_of_whole_files_is_read_by_one_connection() {
    let work = |size| Work { size, splittable: false, here: Extents::default() };
    let mut board = Board::new(vec![work(Some(100 * MIB)), work(None)]);
    let unknown = part(&mut board, None);
    assert_eq!((unknown.file, unknown.range.clone()), (1, 0..u64::MAX));
    assert_eq!(part(&mut board, None).range, 0..100 * MIB);
    assert_eq!(board.next(None), Next::Wait);
    assert_eq!(board.claim(unknown.part, 0, 5), 0..5);
    board.ended(unknown.part);
    assert_eq!(board.rest(unknown.part), None);
    assert_eq!(board.next(None), Next::Wait);
}

#[test]
fn a_source_that_turns_out_to_know_no_ranges_gets_its_parts_back() {
    let mut board = board(&[100 * MIB], 2);
    let (first, second) = (part(&mut board, None), part(&mut board, None));
    board.is_not_splittable(0);
    assert!(board.is_shared(0));
    board.give_back(second.part);
    assert!(!board.is_shared(0));
    assert_eq!(board.next(None), Next::Wait, "one at a time");
    assert_eq!(board.extend(first.part), Some(100 * MIB));
    finish(&mut board, &Assignment { range: 0..100 * MIB, ..first });
    assert!(!board.has_more());
}

#[test]
fn a_slow_part_is_raced_and_no_byte_is_claimed_twice() {
    let mut board = board(&[MIB, MIB], 2);
    let (slow, fast) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(fast.part, Duration::from_millis(1));
    board.claim(slow.part, 0, 1000);
    board.claim(fast.part, 0, MIB - 1);
    board.measure(Duration::from_secs(1), NO_FLOOR);
    finish(&mut board, &Assignment { range: MIB - 1..MIB, ..fast });
    let Next::Race(race) = board.next(None) else { panic!("expected a race") };
    assert_eq!((race.part, race.range), (slow.part, 1000..MIB));
    assert_eq!(board.next(None), Next::Wait, "two are enough");
    assert_eq!(board.claim(slow.part, 1000, 500), 1000..1500);
    assert_eq!(board.claim(slow.part, 1000, 600), 1500..1600, "what the other has is left out");
    assert!(board.claim(slow.part, 1000, 600).is_empty());
    assert_eq!(board.claim(slow.part, 1600, MIB), 1600..MIB);
    assert!(board.claim(slow.part, 1600, 1).is_empty(), "it is done");
}

#[test]
fn equal_parts_are_not_raced() {
    let mut board = board(&[MIB, MIB], 2);
    let (one, other) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(one.part, Duration::from_millis(1));
    board.claim(one.part, 0, MIB / 8);
    board.claim(other.part, 0, MIB / 8);
    board.measure(Duration::from_secs(1), NO_FLOOR);
    assert_eq!(board.next(None), Next::Wait);
}

#[test]
fn a_part_is_raced_only_when_its_rate_can_tell() {
    let mut board = board(&[MIB, MIB], 2);
    let (one, other) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(one.part, Duration::from_millis(400));
    board.claim(one.part, 0, MIB / 2);
    // The other's first byte may be as long on its way.
    for beat in 1..8 {
        board.measure(Duration::from_millis(100), NO_FLOOR);
        assert_eq!(board.next(None), Next::Wait, "after {beat} beats");
    }
    board.claim(one.part, MIB / 2, MIB);
    board.measure(Duration::from_millis(100), NO_FLOOR);
    assert!(matches!(board.next(None), Next::Race(race) if race.part == other.part));
}

#[test]
fn one_that_stalls_when_it_is_the_last_is_compared_with_the_others_before() {
    let mut board = board(&[ALONE, ALONE], 1);
    let (fast, slow) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(fast.part, Duration::from_millis(1));
    for step in 0..10 {
        board.claim(fast.part, step * MIB, MIB);
        board.claim(slow.part, step * MIB, MIB);
        board.measure(Duration::from_millis(100), NO_FLOOR);
    }
    finish(&mut board, &Assignment { range: 10 * MIB..ALONE, ..fast });
    assert_eq!(board.next(None), Next::Wait, "as fast as the other was");
    // Now nothing more comes.
    let raced = (0..20).any(|_| {
        board.measure(Duration::from_millis(100), NO_FLOOR);
        matches!(board.next(None), Next::Race(race) if race.part == slow.part)
    });
    assert!(raced, "within two seconds");
}

#[test]
fn one_that_never_got_a_byte_is_raced_though_nothing_could_be_measured() {
    let mut board = board(&[MIB, MIB], 2);
    let (quick, hanging) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(quick.part, Duration::from_millis(1));
    finish(&mut board, &quick);
    for _ in 0..5 {
        assert_eq!(board.next(None), Next::Wait);
        board.measure(Duration::from_millis(100), NO_FLOOR);
    }
    assert!(matches!(board.next(None), Next::Race(race) if race.part == hanging.part));
}

#[test]
fn one_that_waits_because_the_store_said_so_is_not_raced() {
    let mut board = board(&[MIB, MIB], 2);
    let (quick, pausing) = (part(&mut board, None), part(&mut board, None));
    board.first_byte(quick.part, Duration::from_millis(1));
    finish(&mut board, &quick);
    board.pauses(pausing.part);
    for _ in 0..50 {
        board.measure(Duration::from_millis(100), NO_FLOOR);
        assert_eq!(board.next(None), Next::Wait);
    }
    board.asked(pausing.part);
    assert_eq!(board.next(None), Next::Wait, "the new request has its time, too");
    (0..5).for_each(|_| drop(board.measure(Duration::from_millis(100), NO_FLOOR)));
    assert!(matches!(board.next(None), Next::Race(race) if race.part == pausing.part));
}

#[test]
fn a_hash_may_be_behind_by_what_comes_in_beyond_the_first_part() {
    let mut board = board(&[64 * MIB], 4);
    assert!(board.span(0) > 0, "the end of a file waits for nothing");
    for _ in 0..4 {
        part(&mut board, None);
    }
    assert_eq!(board.span(0), 8 * FIRST_PART);
}

#[test]
fn what_stays_below_the_floor_is_cut() {
    let mut board = board(&[10 * FIRST_PART], 5);
    let parts: Vec<_> = (0..5).map(|_| part(&mut board, None)).collect();
    let floor = Floor {
        rate: 1000,
        patience: Duration::from_secs(30),
        share: 8,
        quorum: 4,
        patience_among_others: Duration::from_secs(5),
    };
    let mut second = |rates: [u64; 5]| {
        for (part, rate) in parts.iter().zip(rates) {
            let rest = board.rest(part.part).unwrap();
            board.first_byte(part.part, Duration::from_millis(1));
            board.claim(part.part, rest.start, rate);
        }
        board.measure(Duration::from_secs(1), floor)
    };
    for _ in 0..20 {
        assert_eq!(second([9000, 9000, 9000, 9000, 5000]), [], "slower, but not by far");
    }
    let cut: Vec<_> = (0..8).map(|_| second([90_000, 90_000, 90_000, 90_000, 2000])).collect();
    assert_eq!(cut.iter().flatten().collect::<Vec<_>>(), [&parts[4].part], "{cut:?}");
    let cut: std::collections::BTreeSet<_> = (0..50).flat_map(|_| second([10; 5])).collect();
    assert_eq!(cut.len(), 5, "all of them are below the floor: {cut:?}");
}

#[test]
fn a_request_that_waits_for_its_first_byte_is_not_cut_for_its_rate() {
    let mut board = board(&[FIRST_PART], 1);
    let waiting = part(&mut board, None);
    board.asked(waiting.part);
    let floor = Floor { rate: 1000, patience: Duration::from_secs(3), ..NO_FLOOR };
    for _ in 0..20 {
        assert_eq!(board.measure(Duration::from_secs(1), floor), []);
    }
    board.first_byte(waiting.part, Duration::from_secs(20));
    let cut: usize = (0..4).map(|_| board.measure(Duration::from_secs(1), floor).len()).sum();
    assert_eq!(cut, 1);
}

/// What a connection of the property test does next.
#[derive(Clone, Debug)]
enum Step {
    /// Claims so many bytes of its part, or takes a part if it has none.
    Work(u64),
    /// Breaks off and gives its part back.
    GiveBack,
    /// Time passes.
    Measure,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1_u64..5 * MIB).prop_map(Step::Work),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Measure),
    ]
}

proptest! {
    /// Whatever the connections do, every byte that was not here is claimed exactly once, and then nothing is left.
    #[test]
    fn every_byte_is_claimed_once(
        sizes in proptest::collection::vec(prop_oneof![0_u64..100, 0_u64..40 * MIB], 1..6),
        here in proptest::collection::vec((0_usize..6, 0_u64..40 * MIB, 1_u64..9 * MIB), 0..6),
        steps in proptest::collection::vec((0_usize..4, step()), 0..200),
    ) {
        let mut claimed = vec![Extents::default(); sizes.len()];
        for (file, start, length) in here {
            if let Some(size) = sizes.get(file) {
                claimed[file].insert(start.min(*size)..(start + length).min(*size));
            }
        }
        let work = |(size, here): (&u64, &Extents)| Work { size: Some(*size), splittable: true, here: here.clone() };
        let mut board = Board::new(sizes.iter().zip(&claimed).map(work).collect());
        board.set_width(4);
        // Each connection: its part, its file, and the position in its own stream.
        let mut connections: Vec<Option<(PartNumber, FileNumber, u64)>> = vec![None; 4];
        // At the end everyone works until nothing is left.
        let rest = (0..2000).map(|number| (number % 4, Step::Work(4 * MIB)));
        for (number, step) in steps.into_iter().chain(rest) {
            match (step, connections[number]) {
                (Step::Work(_), None) => if let Next::Part(next) | Next::Race(next) = board.next(None) {
                    board.first_byte(next.part, Duration::from_millis(1));
                    connections[number] = Some((next.part, next.file, next.range.start));
                },
                (Step::Work(length), Some((part, file, position))) => {
                    let got = board.claim(part, position, length);
                    if !got.is_empty() {
                        prop_assert!(got.start >= position && got.end <= position + length);
                        prop_assert_eq!(claimed[file].gap(got.start, got.end), Some(got.clone()), "claimed twice");
                        claimed[file].insert(got.clone());
                    }
                    let next = position.saturating_add(length);
                    connections[number] = board.rest(part).is_some().then_some((part, file, next));
                }
                (Step::GiveBack, Some((part, ..))) => {
                    board.give_back(part);
                    connections[number] = None;
                }
                (Step::GiveBack, None) => {}
                (Step::Measure, _) => drop(board.measure(Duration::from_millis(100), NO_FLOOR)),
            }
        }
        for (size, claimed) in sizes.iter().zip(&claimed) {
            prop_assert_eq!(claimed.gap(0, *size), None);
        }
        prop_assert!(!board.has_more());
        prop_assert_eq!(board.left, 0);
    }
}
