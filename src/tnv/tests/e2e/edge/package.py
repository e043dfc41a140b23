"""Says in JSON what Python's zipfile makes of a package: package.py PATH|URL [--test] [--extract NAME TO]

With --test every member is read and its CRC compared, with --extract one is, which is then written to TO.
"""

import io
import json
import sys
import urllib.request
import zipfile


class Ranges(io.RawIOBase):
    """A file at an address, of which only the asked-for bytes are fetched."""

    def __init__(self, url):
        self.url, self.at = url, 0
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=0-0"})) as answer:
            assert answer.status == 206, answer.status
            self.size = int(answer.headers["Content-Range"].rsplit("/", 1)[1])

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer):
        end = min(self.at + len(buffer), self.size)
        if end <= self.at:
            return 0
        request = urllib.request.Request(self.url, headers={"Range": f"bytes={self.at}-{end - 1}"})
        with urllib.request.urlopen(request) as answer:
            part = answer.read()
        assert answer.status == 206 and len(part) == end - self.at, (answer.status, len(part))
        buffer[: len(part)] = part
        self.at = end
        return len(part)


def data_of(file, member):
    """Where a member's bytes begin: behind its local header, its name and its extra fields."""
    file.seek(member.header_offset + 26)
    lengths = file.read(4)
    return member.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


place, options = sys.argv[1], sys.argv[2:]
file = Ranges(place) if place.startswith("http") else open(place, "rb")
package = zipfile.ZipFile(file)
if "--test" in options:
    assert package.testzip() is None
answer = {
    "members": [
        {"name": one.filename, "size": one.file_size, "header": one.header_offset, "data": data_of(file, one)}
        for one in package.infolist()
    ]
}
if "--extract" in options:
    name, to = options[options.index("--extract") + 1 :][:2]
    with open(to, "wb") as out:
        out.write(package.read(name))
print(json.dumps(answer))
