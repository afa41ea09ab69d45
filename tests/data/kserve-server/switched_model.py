"""KServe's own model server with a model that is ready while a file says so.

The server knows only models that were ready when it started, so this one is, and is switched off and on
afterwards. What is under test is what the server says of a model, not what the model computes.
"""

import argparse
import pathlib
import threading
import time

import kserve


class Switched(kserve.Model):
    """Is ready while `switch` holds `on`."""

    def __init__(self, name, switch):
        super().__init__(name)
        self.switch = pathlib.Path(switch)
        self.ready = self.load()
        threading.Thread(target=self.follow, daemon=True).start()

    def load(self):
        return self.switch.read_text() == "on"

    def follow(self):
        while True:
            self.ready = self.load()
            time.sleep(0.02)

    def predict(self, payload, headers=None):
        return {"predictions": [1]}


parser = argparse.ArgumentParser()
for option in ("--port", "--model", "--switch"):
    parser.add_argument(option)
options = parser.parse_args()

kserve.ModelServer(http_port=int(options.port), enable_grpc=False, workers=1).start(
    [Switched(options.model, options.switch)]
)
