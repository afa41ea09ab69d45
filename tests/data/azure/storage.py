"""Does to a server of Azure Blob Storage what the standard input says, with the official client.

The first argument is the connection string. Each line is JSON: an operation, and what it needs.
"""

import base64
import json
import sys
from datetime import datetime, timedelta, timezone

from azure.storage.blob import BlobServiceClient, ContentSettings, generate_container_sas

service = BlobServiceClient.from_connection_string(sys.argv[1])
for line in sys.stdin:
    do = json.loads(line)
    container = service.get_container_client(do["container"])
    match do["do"]:
        case "create":
            container.create_container(public_access=do.get("public"))
        case "put":
            settings = ContentSettings(content_encoding=do.get("encoding"))
            container.upload_blob(do["name"], base64.b64decode(do["content"]), overwrite=True,
                                  content_settings=settings, metadata=do.get("metadata"))
        case "sign":
            until = datetime.now(timezone.utc) + timedelta(hours=do["hours"])
            print(generate_container_sas(service.account_name, do["container"],
                                         account_key=service.credential.account_key,
                                         permission="rl", expiry=until))
