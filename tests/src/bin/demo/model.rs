//! A classifier small enough to train in a moment: softmax regression over the petals of Fisher's irises.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Petal length and width in centimetres, ten flowers of each kind, from Fisher's data set of 1936.
const FLOWERS: [(&str, [[f64; 2]; 10]); 3] = [
    (
        "setosa",
        [
            [1.4, 0.2],
            [1.4, 0.2],
            [1.3, 0.2],
            [1.5, 0.2],
            [1.4, 0.2],
            [1.7, 0.4],
            [1.4, 0.3],
            [1.5, 0.2],
            [1.4, 0.2],
            [1.5, 0.1],
        ],
    ),
    (
        "versicolor",
        [
            [4.7, 1.4],
            [4.5, 1.5],
            [4.9, 1.5],
            [4.0, 1.3],
            [4.6, 1.5],
            [4.5, 1.3],
            [4.7, 1.6],
            [3.3, 1.0],
            [4.6, 1.3],
            [3.9, 1.4],
        ],
    ),
    (
        "virginica",
        [
            [6.0, 2.5],
            [5.1, 1.9],
            [5.9, 2.1],
            [5.6, 1.8],
            [5.8, 2.2],
            [6.6, 2.1],
            [4.5, 1.7],
            [6.3, 1.8],
            [5.8, 1.8],
            [6.1, 2.5],
        ],
    ),
];

const ROUNDS: usize = 4000;
const RATE: f64 = 0.05;

/// One row of weights per kind: length, width, bias.
#[derive(Debug, Serialize, Deserialize)]
pub struct Classifier {
    weights: Vec<[f64; 3]>,
    #[serde(skip)]
    labels: Vec<String>,
}

impl Classifier {
    /// Fits the weights by gradient descent.
    pub fn train() -> Self {
        let labels = FLOWERS.iter().map(|(label, _)| (*label).to_owned()).collect();
        let mut classifier = Self { weights: vec![[0.0; 3]; FLOWERS.len()], labels };
        for _ in 0..ROUNDS {
            for (kind, (_, flowers)) in FLOWERS.iter().enumerate() {
                for flower in flowers {
                    classifier.step(*flower, kind);
                }
            }
        }
        classifier
    }

    fn step(&mut self, [length, width]: [f64; 2], kind: usize) {
        let likely = self.probabilities([length, width]);
        for (index, (row, likely)) in self.weights.iter_mut().zip(likely).enumerate() {
            let error = likely - if index == kind { 1.0 } else { 0.0 };
            for (weight, input) in row.iter_mut().zip([length, width, 1.0]) {
                *weight -= RATE * error * input;
            }
        }
    }

    fn probabilities(&self, [length, width]: [f64; 2]) -> Vec<f64> {
        let raw: Vec<f64> = self.weights.iter().map(|[a, b, c]| (a * length + b * width + c).exp()).collect();
        let total: f64 = raw.iter().sum();
        raw.iter().map(|value| value / total).collect()
    }

    /// The likeliest kind.
    pub fn predict(&self, petals: [f64; 2]) -> &str {
        let likely = self.probabilities(petals);
        let best = likely.iter().zip(&self.labels).max_by(|a, b| a.0.total_cmp(b.0));
        best.map_or("", |(_, label)| label)
    }

    /// Writes the model as a folder of files.
    pub fn save(&self, folder: &Path) {
        fs::create_dir_all(folder.join("labels")).expect("the folder can be made");
        let weights = serde_json::to_vec(self).expect("numbers are JSON");
        fs::write(folder.join("weights.json"), weights).expect("the weights can be written");
        fs::write(folder.join("labels/en.txt"), self.labels.join("\n")).expect("the labels can be written");
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(folder: &Path) -> Self {
        let weights = fs::read(folder.join("weights.json")).expect("the weights are there");
        let labels = fs::read_to_string(folder.join("labels/en.txt")).expect("the labels are there");
        let classifier: Self = serde_json::from_slice(&weights).expect("the weights are as they were saved");
        Self { labels: labels.lines().map(str::to_owned).collect(), ..classifier }
    }
}
