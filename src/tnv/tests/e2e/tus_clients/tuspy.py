"""Uploads a file with tuspy: tuspy.py GATEWAY FILE CHUNK STOP_AT [URL]

Stops after STOP_AT bytes (0 = never); with URL it goes on with an upload. Says `url URL`, `offset N` after every
chunk, and `done`.
"""

import sys

from tusclient import client

gateway, path, chunk, stop_at, *url = sys.argv[1:]
tus = client.TusClient(f"http://{gateway}/tus/")
uploader = tus.uploader(
    path,
    chunk_size=int(chunk),
    url=url[0] if url else None,
    metadata={"filename": "电影 from tuspy.mp4", "filetype": "video/mp4"},
    # The gateway may be away for as long as it takes to start it again.
    retries=100,
    retry_delay=0.1,
    upload_checksum=True,
)
if not url:
    uploader.set_url(uploader.create_url())
print("url", uploader.url)
print("offset", uploader.offset)
end = min(int(stop_at) or uploader.get_file_size(), uploader.get_file_size())
while uploader.offset < end:
    uploader.upload_chunk()
    print("offset", uploader.offset)
print("done" if uploader.offset == uploader.get_file_size() else "stopped")
