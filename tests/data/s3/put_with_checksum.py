"""Uploads a file to S3 with a checksum that the server checks and keeps.

    put_with_checksum.py FILE BUCKET KEY ALGORITHM [PARTS]

ALGORITHM is one of crc32, crc32c, crc64nvme, sha1, sha256 or none. With PARTS the file goes up in so many parts, and the
checksum is `composite` (over the parts' checksums) or, for `full-…` algorithms, over the whole object.
"""

import base64
import hashlib
import sys

import boto3
from botocore.config import Config


def reflected_crc(data, polynomial, bits):
    """A CRC bit by bit, as the standards define it: slow, and not what the fetcher computes it with."""
    ones = (1 << bits) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return (value ^ ones).to_bytes(bits // 8, "big")


ALGORITHMS = {
    "crc32": ("CRC32", lambda data: reflected_crc(data, 0xEDB88320, 32)),
    "crc32c": ("CRC32C", lambda data: reflected_crc(data, 0x82F63B78, 32)),
    "crc64nvme": ("CRC64NVME", lambda data: reflected_crc(data, 0x9A6C9329AC4BC9B5, 64)),
    "sha1": ("SHA1", lambda data: hashlib.sha1(data).digest()),
    "sha256": ("SHA256", lambda data: hashlib.sha256(data).digest()),
}


def main(path, bucket, key, algorithm, parts="1"):
    with open(path, "rb") as file:
        content = file.read()
    config = Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
    client = boto3.client("s3", config=config)
    if algorithm == "none":
        client.put_object(Bucket=bucket, Key=key, Body=content)
        return
    name, digest = ALGORITHMS[algorithm.removeprefix("full-")]
    checksum = lambda data: {f"Checksum{name}": base64.b64encode(digest(data)).decode()}
    if parts == "1":
        client.put_object(Bucket=bucket, Key=key, Body=content, **checksum(content))
        return
    is_full = algorithm.startswith("full-")
    upload = client.create_multipart_upload(
        Bucket=bucket,
        Key=key,
        ChecksumAlgorithm=name,
        ChecksumType="FULL_OBJECT" if is_full else "COMPOSITE",
    )["UploadId"]
    where = {"Bucket": bucket, "Key": key, "UploadId": upload}
    length = -(-len(content) // int(parts))
    done = []
    for number in range(int(parts)):
        part = content[number * length : (number + 1) * length]
        answer = client.upload_part(**where, PartNumber=number + 1, Body=part, **checksum(part))
        done.append({"PartNumber": number + 1, "ETag": answer["ETag"], **checksum(part)})
    whole = {"ChecksumType": "FULL_OBJECT", **checksum(content)} if is_full else {"ChecksumType": "COMPOSITE"}
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": done}, **whole)


if __name__ == "__main__":
    main(*sys.argv[1:])
