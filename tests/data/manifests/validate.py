"""Holds objects to Kubernetes' own schemas: validate.py VERSION OBJECTS, a file with one JSON object a line.

A field that the schema does not know is an error. What is wrong goes to standard output, a line for each object."""

import json
import sys

import kubernetes_validate

for line in open(sys.argv[2], encoding="utf-8"):
    named = json.loads(line)
    try:
        kubernetes_validate.validate(named["object"], sys.argv[1], strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(part) for part in error.path)
        print(f"{named['name']}: {path}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError as error:
        print(f"{named['name']}: {error}")
