"""Uploads one file with tuspy; tuspy.test.mjs starts it for each of its cases.

Takes one JSON object: server, token, file, name, and what makes the case. Prints the address and
how many bytes this process sent as JSON, or the error's status.
"""

import asyncio
import json
import os
import sys

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

case = json.loads(sys.argv[1])
client = TusClient(
    case["server"] + "/files", headers={"Authorization": "Bearer " + case["token"]}
)
options = dict(case.get("options", {}))
if "memory" in case:
    options.update(store_url=True, url_storage=FileStorage(case["memory"]))
if "name" in case:
    options["metadata"] = {"filename": case["name"]}
try:
    is_async = case.get("is_async", False)
    begin = client.async_uploader if is_async else client.uploader
    uploader = begin(case["file"], **options)
    began = uploader.offset
    for _ in range(case.get("dies_after", 0)):
        uploader.upload_chunk()
    if "dies_after" in case:
        # As after a kill: nothing is closed or said in order.
        print(json.dumps({"url": uploader.url, "began": began}), flush=True)
        os._exit(9)
    if is_async:
        asyncio.run(uploader.upload())
    else:
        uploader.upload()
    print(json.dumps({"url": uploader.url, "began": began, "ended": uploader.offset}))
except TusCommunicationError as error:
    print(json.dumps({"status": error.status_code}))
