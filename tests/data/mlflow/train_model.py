"""Trains a small classifier, logs and registers it with MLflow's own client, and says what it did as JSON.

The server is the one of MLFLOW_TRACKING_URI. The written JSON holds the registered version, rows and the
predictions that Python made for them, and each file with its SHA-256 as MLflow's own client downloads it, so
that a test can compare what was delivered with what was trained.
"""

import argparse
import hashlib
import json
import pathlib

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient, artifacts
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression


def pair(text):
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected key=value, got {text!r}")
    return key, value


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--tag", type=pair, action="append", default=[])
    parser.add_argument("--alias", action="append", default=[])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def files_of(folder):
    """The files of a model, sorted by path, each with its size and SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]


def main():
    options = arguments()
    features, labels = make_classification(n_samples=400, n_features=6, random_state=7)
    model = LogisticRegression().fit(features, labels)
    rows = features[:16]

    mlflow.set_experiment("plimsoll")
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(model, name="model")
    client = MlflowClient()
    version = mlflow.register_model(info.model_uri, options.name)
    for key, value in options.tag:
        client.set_model_version_tag(options.name, version.version, key, value)
    for alias in options.alias:
        client.set_registered_model_alias(options.name, alias, version.version)

    # By the artifacts' own URI: downloading by `models:/…` would add a file that the registry does not have.
    artifact_uri = client.get_model_version_download_uri(options.name, version.version)
    folder = pathlib.Path(artifacts.download_artifacts(artifact_uri, dst_path=str(options.out.parent / "model")))
    options.out.write_text(
        json.dumps(
            {
                "version": str(version.version),
                "run_id": run.info.run_id,
                "source": version.source,
                "artifact_uri": artifact_uri,
                "rows": rows.tolist(),
                "predictions": model.predict(rows).tolist(),
                "files": files_of(folder),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
