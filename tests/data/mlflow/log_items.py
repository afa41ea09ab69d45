"""Logs what MLflow knows beside registered models, and says by which URIs, as JSON.

The server is the one of MLFLOW_TRACKING_URI. `downloads` holds, for each URI, every file as MLflow's own client
downloads it, with its SHA-256.
"""

import hashlib
import json
import pathlib
import sys
import tempfile

import mlflow
from mlflow import MlflowClient, artifacts


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input


def log_model(name):
    return mlflow.pyfunc.log_model(name=name, python_model=Echo())


def downloaded(uri):
    with tempfile.TemporaryDirectory() as folder:
        found = pathlib.Path(artifacts.download_artifacts(uri, dst_path=folder))
        files = [found] if found.is_file() else [path for path in found.rglob("*") if path.is_file()]
        root = found.parent if found.is_file() else found
        # Written by the client beside what it downloads by `models:/…`.
        files = [path for path in files if path.name != "registered_model_meta"]
        return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main():
    name = sys.argv[1]
    client = MlflowClient()
    mlflow.set_experiment("items")
    with mlflow.start_run() as run:
        info = log_model("best model")
        with tempfile.TemporaryDirectory() as folder:
            for path, text in [("a.txt", "a"), ("deep/b c.txt", "b" * 100_000), ("deep/ü.txt", "")]:
                file = pathlib.Path(folder, path)
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
            mlflow.log_artifacts(folder, "notes")
    with mlflow.start_run() as twins:
        log_model("twin")
        log_model("twin")
    with mlflow.start_run() as both:
        log_model("both")
        mlflow.log_text("beside", "both/beside.txt")
    with mlflow.start_run() as deleted:
        pass
    client.delete_run(deleted.info.run_id)
    pending = client.create_logged_model(experiment_id=run.info.experiment_id, name="pending")
    failed = client.create_logged_model(experiment_id=run.info.experiment_id, name="failed")
    client.finalize_logged_model(failed.model_id, "FAILED")
    version = mlflow.register_model(info.model_uri, name)
    client.transition_model_version_stage(name, version.version, "Production")
    location = client.get_logged_model(info.model_id).artifact_location
    run_id = run.info.run_id
    uris = [
        f"models:/{info.model_id}",
        f"runs:/{run_id}/best model",
        f"runs:/{run_id}/notes",
        f"runs:/{run_id}/notes/deep/b c.txt",
        f"models:/{name}/Production",
        f"models:/{name}/LATEST",
    ]
    if location.startswith("mlflow-artifacts:"):
        uris.append(location)
    print(
        json.dumps(
            {
                "run": run_id,
                "model": info.model_id,
                "version": version.version,
                "twins": twins.info.run_id,
                "both": both.info.run_id,
                "deleted": deleted.info.run_id,
                "pending": pending.model_id,
                "failed": failed.model_id,
                "downloads": {uri: downloaded(uri) for uri in uris},
            }
        )
    )


if __name__ == "__main__":
    main()
