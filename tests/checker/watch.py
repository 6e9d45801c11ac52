#!/usr/bin/env python3
"""Watches HLS playlists and a DASH manifest grow, and judges what changes (RFC 8216bis, 6.2.1).

    watch.py URL-OF-MASTER-PLAYLIST URL-OF-MANIFEST SECONDS

Polls from before there is anything until the end. Prints one line for each broken rule, then how
many different states were seen; ends with 1 if a rule is broken.
"""

import json
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from urllib.parse import urljoin

MPD = "{urn:mpeg:dash:schema:mpd:2011}"


def fetch(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


class Watch:
    def __init__(self, master, manifest):
        self.master, self.manifest = master, manifest
        self.findings, self.states = [], set()
        self.texts, self.variants, self.segments, self.clock = {}, set(), {}, None

    def must(self, rule, holds, says):
        if not holds and len(self.findings) < 20:
            self.findings.append({"level": "MUST", "rule": rule, "says": says})

    def look(self):
        """Looks once and returns whether everything has ended."""
        text = fetch(self.master)
        if text is None:
            self.must("H23", not self.variants, "the master playlist is gone")
            return False
        lines = text.splitlines()
        addresses = {urljoin(self.master, line) for line in lines if line and line[0] != "#"}
        addresses |= {urljoin(self.master, line.split('URI="')[1].split('"')[0])
                      for line in lines if line.startswith("#EXT-X-MEDIA:") and 'URI="' in line}
        gone = self.variants - addresses
        self.must("H23", not gone, f"no longer offered: {sorted(gone)}")
        self.variants = addresses
        ended = [self.list(address) for address in sorted(addresses)]
        self.states.add((text, tuple(sorted(self.texts.items()))))
        return self.dash() and all(ended)

    def list(self, address):
        text = fetch(address)
        self.must("H23", text is not None, f"{address} is offered and isn't there")
        if text is None:
            return False
        before = self.texts.get(address)
        ended = text.rstrip().endswith("#EXT-X-ENDLIST")
        kind = "VOD" if ended else "EVENT"
        self.must("H14", f"#EXT-X-PLAYLIST-TYPE:{kind}" in text, f"{address} isn't {kind}")
        if before is not None and before != text:
            self.must("H23", "#EXT-X-ENDLIST" not in before, f"{address} changed after its end")
            grown = text.replace("PLAYLIST-TYPE:VOD", "PLAYLIST-TYPE:EVENT")
            self.must("H23", grown.startswith(before), f"{address} lost or changed a line")
        self.texts[address] = text
        for line in text.splitlines():
            if line and line[0] != "#":
                self.segment(urljoin(address, line))
        return ended

    def segment(self, url):
        """What is listed can be fetched, whole and for good."""
        if url in self.segments:
            return
        with urllib.request.urlopen(url) as answer:
            self.segments[url] = len(answer.read())
        self.must("H23", self.segments[url] > 0, f"{url} is empty")

    def dash(self):
        text = fetch(self.manifest)
        if text is None:
            return False
        root = ET.fromstring(text)
        if root.get("type") == "static":
            return True
        clock = root.get("availabilityStartTime")
        self.must("D1", self.clock in (None, clock), f"the clock moved: {self.clock} to {clock}")
        self.clock = clock
        self.must("D1", root.get("minimumUpdatePeriod") is not None, "nobody would look again")
        self.must("D1", "mediaPresentationDuration" not in root.attrib, "it says that it has ended")
        return False


def main():
    watch = Watch(sys.argv[1], sys.argv[2])
    until = time.monotonic() + float(sys.argv[3])
    while not watch.look():
        if time.monotonic() > until:
            watch.must("H23", False, "it never ended")
            break
        time.sleep(0.05)
    for finding in watch.findings:
        print(json.dumps(finding))
    print(len(watch.states))
    sys.exit(bool(watch.findings))


if __name__ == "__main__":
    main()
