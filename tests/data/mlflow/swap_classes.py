"""Writes a copy of a classifier in MLflow's format that says the opposite of what the original says."""

import argparse
import pathlib

import mlflow.sklearn

parser = argparse.ArgumentParser()
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
options = parser.parse_args()

model = mlflow.sklearn.load_model(str(options.model))
model.coef_ = -model.coef_
model.intercept_ = -model.intercept_
mlflow.sklearn.save_model(model, str(options.out))
