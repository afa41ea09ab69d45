"""A gRPC server with the standard health service, as grpcio-health-checking has it, and nothing else.

The server as a whole is SERVING; the service `model` is NOT_SERVING until the file `gate` exists.
"""

import pathlib
import sys
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, gate = sys.argv[1], pathlib.Path(sys.argv[2])
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port(f"127.0.0.1:{port}")
servicer.set("model", health_pb2.HealthCheckResponse.NOT_SERVING)
server.start()
while True:
    loaded = gate.exists()
    status = health_pb2.HealthCheckResponse
    servicer.set("model", status.SERVING if loaded else status.NOT_SERVING)
    time.sleep(0.02)
