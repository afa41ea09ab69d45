//! Whatever happens to a journal, what is read is what was truly written up to some moment, and no less than what was
//! written before the damage.

use std::fs;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// The same process, or a next one that does not clear up, adds some states.
    Write(Vec<(FileNumber, u64)>),
    /// The end is lost, from so many thousandths of the length on.
    Cut(usize),
    /// Something else is at the end.
    Append(Vec<u8>),
    /// A next process reads it and begins with what it found.
    Begin,
}

fn step() -> impl Strategy<Value = Step> {
    let garbage = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        Just(b"{\"file\":0,\"landed\":[{\"start\":7,\"end\":3}]}\n".to_vec()),
        Just(b"\0\0\0\0\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"{\"file\":100000,\"landed\":[{\"start\":0,\"end\":3}]}\n".to_vec()),
        // Two ranges that touch, which is never written.
        Just(b"{\"file\":1,\"landed\":[{\"start\":0,\"end\":3},{\"start\":3,\"end\":9}]}\n".to_vec()),
    ];
    prop_oneof![
        6 => prop::collection::vec((0_usize..4, 1_u64..50), 0..4).prop_map(Step::Write),
        2 => (0_usize..=1000).prop_map(Step::Cut),
        2 => garbage.prop_map(Step::Append),
        3 => Just(Step::Begin),
    ]
}

/// What was truly written, a line at a time, and where each line ends.
#[derive(Default)]
struct Truth {
    lines: Vec<(FileNumber, Extents, usize)>,
    /// From here on the file is not what was written.
    damaged_at: Option<usize>,
}

impl Truth {
    /// What the first lines say together.
    fn after(&self, lines: usize) -> BTreeMap<FileNumber, Extents> {
        self.lines[..lines].iter().map(|(file, landed, _)| (*file, landed.clone())).collect()
    }

    fn damage(&mut self, at: usize) {
        self.damaged_at = Some(self.damaged_at.map_or(at, |before| before.min(at)));
    }

    /// A cut between two lines spoils nothing, nor is anything spoiled that was cut off. A line that lacks only its
    /// end may still be read.
    fn cut(&mut self, at: usize) {
        self.lines.retain(|(.., end)| *end <= at + 1);
        if self.damaged_at.is_none_or(|before| at <= before) {
            let between = at == 0 || self.lines.iter().any(|(.., end)| *end == at);
            self.damaged_at = (!between).then_some(at);
        }
    }

    /// How many lines are as they were written, to their ends.
    fn whole(&self) -> usize {
        let is_whole = |end: usize| self.damaged_at.is_none_or(|at| end <= at);
        self.lines.iter().filter(|(.., end)| is_whole(*end)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_read_was_written_and_what_is_written_after_a_beginning_counts(
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (area, file) = (Directory::open(folder.path()).unwrap(), folder.path().join(NAME));
        let (mut truth, mut landed) = (Truth::default(), vec![Extents::default(); 4]);
        let length = || fs::metadata(&file).map_or(0, |found| usize::try_from(found.len()).unwrap());
        for step in steps {
            match step {
                Step::Write(changes) => {
                    for (number, end) in changes {
                        // A part of it from somewhere, so that there are gaps.
                        landed[number].insert(end / 2..end);
                        let state = landed[number].clone();
                        Journal::open(&area).unwrap().write(vec![(number, state.clone())]).unwrap();
                        truth.lines.push((number, state, length()));
                    }
                }
                Step::Cut(thousandths) => {
                    let text = fs::read(&file).unwrap_or_default();
                    let at = text.len() * thousandths / 1000;
                    if at < text.len() {
                        fs::write(&file, &text[..at]).unwrap();
                        truth.cut(at);
                    }
                }
                Step::Append(garbage) => {
                    let mut text = fs::read(&file).unwrap_or_default();
                    truth.damage(text.len());
                    text.extend(garbage);
                    fs::write(&file, text).unwrap();
                }
                Step::Begin => {
                    let found = read(&area).unwrap();
                    Journal::begin(&area, &found).unwrap();
                    prop_assert_eq!(&read(&area).unwrap(), &found, "what was found is there again");
                    truth = Truth::default();
                    let count = found.len();
                    let text = fs::read(&file).unwrap();
                    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
                    for ((number, state), end) in found.into_iter().zip(ends) {
                        landed[number].clone_from(&state);
                        truth.lines.push((number, state, end));
                    }
                    prop_assert_eq!(truth.lines.len(), count);
                    for (number, state) in landed.iter_mut().enumerate() {
                        if truth.lines.iter().all(|(other, ..)| *other != number) {
                            *state = Extents::default();
                        }
                    }
                }
            }
            let found = read(&area).unwrap();
            let whole = truth.whole();
            let states: Vec<_> = (whole..=truth.lines.len()).map(|lines| truth.after(lines)).collect();
            prop_assert!(states.contains(&found), "{:?} is none of {:?}", found, states);
            if truth.damaged_at.is_none() {
                prop_assert_eq!(&found, &truth.after(truth.lines.len()));
            }
        }
    }
}
