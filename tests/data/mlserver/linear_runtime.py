"""An MLServer runtime small enough to read at a glance: a linear model kept as JSON.

It lets a test start the real MLServer without a machine-learning library: what is under test is what the
server says of a model over the Open Inference Protocol, not what the model computes.
"""

import asyncio
import json
import os
import pathlib

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

import numpy


class LinearRuntime(MLModel):
    """Loads `weights.json`, which holds `{"coefficients": […], "intercept": …}`."""

    async def load(self) -> bool:
        # A test that needs to see the server up and the model not yet loaded names a file to wait for.
        gate = os.environ.get("LINEAR_RUNTIME_GATE")
        while gate and not pathlib.Path(gate).exists():
            await asyncio.sleep(0.02)
        folder = pathlib.Path(await get_model_uri(self._settings))
        weights = json.loads((folder / "weights.json").read_text())
        self.coefficients = numpy.array(weights["coefficients"])
        self.intercept = float(weights["intercept"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        values = rows @ self.coefficients + self.intercept
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict", values)])
