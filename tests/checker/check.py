#!/usr/bin/env python3
"""Judges what a player is given: HLS by Apple's authoring specification and RFC 8216bis, DASH by
ISO/IEC 23009-1, both down to the boxes; and the seek bar's small pictures.

    check.py URL-OF-MASTER-PLAYLIST [--dash URL-OF-MANIFEST] [--storyboard URL-OF-WEBVTT]

Shares no code with the server, on purpose. No standard has rules for the small pictures: P1 to P3
are what players that show them rely on. Prints one line for each rule that is broken and ends
with 1 if a MUST is among them. The numbers in brackets are Apple's.
"""

import argparse
import gzip
import json
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from urllib.parse import urljoin

import mp4

MPD = "{urn:mpeg:dash:schema:mpd:2011}"
# Largest frame in macroblocks and most of them a second, by level (H.264, table A-1).
LEVELS = {
    10: (99, 1485), 11: (396, 3000), 12: (396, 6000), 13: (396, 11880), 20: (396, 11880),
    21: (792, 19800), 22: (1620, 20250), 30: (1620, 40500), 31: (3600, 108000),
    32: (5120, 216000), 40: (8192, 245760), 41: (8192, 245760), 42: (8704, 522240),
    50: (22080, 589824), 51: (36864, 983040), 52: (36864, 2073600),
}


class Judge:
    def __init__(self):
        self.findings = []

    def must(self, rule, holds, says):
        self.say("MUST", rule, holds, says)

    def should(self, rule, holds, says):
        self.say("SHOULD", rule, holds, says)

    def say(self, level, rule, holds, says):
        if not holds:
            self.findings.append({"level": level, "rule": rule, "says": says})


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def fetch(url, judge, kind):
    """Gets a file, and checks how it is served (H16, H21)."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    try:
        with OPENER.open(request) as answer:
            data, headers = answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        judge.must("H16", not 300 <= error.code < 400, f"{url} is redirected (8.18)")
        raise
    packed = headers.get("Content-Encoding") == "gzip"
    wanted = {"m3u8": "application/vnd.apple.mpegurl", "init": "video/mp4", "vtt": "text/vtt",
              "segment": "video/iso.segment", "mpd": "application/dash+xml",
              "jpeg": "image/jpeg"}[kind]
    served = headers.get_content_type()
    fine = served == wanted or (kind in ("segment", "init") and served in ("video/mp4", "audio/mp4"))
    judge.should("H21", fine, f"{url} is served as {served}, not {wanted} (10.4)")
    if kind == "m3u8":
        judge.must("H21", packed or len(data) < 200, f"{url} isn't compressed (10.1)")
    return gzip.decompress(data) if packed else data


def attributes(text):
    """Reads an attribute list (RFC 8216, 4.2)."""
    found, name, value, quoted, in_value = {}, "", "", False, False
    for char in text + ",":
        if quoted or (char == '"' and in_value):
            value += char
            quoted = char != '"' if quoted else True
        elif char == "," and in_value:
            if name in found:
                raise ValueError(f"{name} stands twice in {text}")
            found[name] = value.strip('"')
            name, value, in_value = "", "", False
        elif char == "=" and not in_value:
            in_value = True
        elif in_value:
            value += char
        else:
            name += char
    return found


def lines_of(data, judge, url):
    lines = data.decode("utf-8").split("\n")
    judge.must("H23", lines[0].strip() == "#EXTM3U", f"{url} doesn't begin with #EXTM3U")
    return [line.strip() for line in lines[1:] if line.strip()]


class Media:
    """A media playlist with its header and segments read."""

    def __init__(self, url, judge, i_frames=False):
        self.url, self.tags, self.entries, self.segments = url, {}, [], []
        self.is_text = False
        duration, span, self.map = None, None, None
        for line in lines_of(fetch(url, judge, "m3u8"), judge, url):
            name, _, value = line.partition(":")
            if name == "#EXTINF":
                duration = float(value.split(",")[0])
            elif name == "#EXT-X-BYTERANGE":
                span = value
            elif name == "#EXT-X-MAP":
                self.map = attributes(value)
            elif line.startswith("#EXT"):
                self.tags[name] = value
            elif not line.startswith("#"):
                self.entries.append((duration, urljoin(url, line), span))
                duration, span = None, None
        self.header = None
        self.version = int(self.tags.get("#EXT-X-VERSION", "1"))
        self.target = int(self.tags.get("#EXT-X-TARGETDURATION", "0"))
        self.is_final = "#EXT-X-ENDLIST" in self.tags
        self.total = sum(duration for duration, _, _ in self.entries)
        self.common(judge)
        self.is_text = bool(self.entries) and self.entries[0][1].endswith(".vtt")
        if not i_frames and not self.is_text:
            self.read(judge)

    def common(self, judge):
        where = self.url
        judge.must("H23", self.target > 0, f"{where} has no TARGETDURATION")
        longest = max((duration for duration, _, _ in self.entries), default=0)
        judge.must("H23", round(longest) <= self.target, f"{where}: {longest} s of {self.target}")
        judge.must("H12", longest <= self.target + 0.5, f"{where}: a segment of {longest} s (7.7)")
        judge.should("H12", self.target <= 6, f"{where}: target {self.target} s (7.5)")
        kind = self.tags.get("#EXT-X-PLAYLIST-TYPE")
        wanted = "VOD" if self.is_final else "EVENT"
        judge.must("H14", kind == wanted, f"{where} is of type {kind}, not {wanted} (8.6, 8.8)")
        judge.must("H23", len({name for name in self.tags}) == len(self.tags), f"{where}: a tag twice")

    def read(self, judge):
        where = self.url
        judge.must("H16", self.map is not None, f"{where} has no EXT-X-MAP (8.20)")
        judge.must("H23", self.version >= 6, f"{where}: EXT-X-MAP needs version 6")
        self.header = mp4.Header(fetch(urljoin(where, self.map["URI"]), judge, "init"))
        expected = 0
        for duration, url, _ in self.entries:
            segment = mp4.Segment(fetch(url, judge, "segment"), self.header)
            self.segments.append(segment)
            judge.must("H11", segment.starts == expected,
                       f"{url} begins at {segment.starts}, not {expected} (7.3)")
            expected = segment.starts + segment.duration
            real = segment.duration / self.header.timescale
            judge.must("H13", abs(real - duration) <= self.frame(segment),
                       f"{url} lasts {real} s and is listed with {duration} (8.1)")
            if self.header.handler == b"vide":
                self.begins_at_once(segment, url, judge)
                judge.must("H3", self.header.sps is None or 5 in segment.first_nals,
                           f"{url} doesn't begin with an IDR picture (7.4)")
                gaps = segment.syncs + [segment.duration]
                apart = max((b - a for a, b in zip(gaps, gaps[1:])), default=segment.duration)
                apart /= self.header.timescale
                judge.should("H3", apart <= 2.01, f"{url}: key frames {apart:.2f} s apart (1.13)")
        self.media_end = expected / self.header.timescale

    def begins_at_once(self, segment, url, judge):
        """D1: what says `cmf2` needs no edit list: a segment's own times are those of showing."""
        plain = b"cmf2" in self.header.brands
        judge.should("D1", plain, f"{url}: pictures that need an edit list")
        if not plain:
            return
        judge.must("D1", not self.header.has_edits, f"{url}: cmf2 with an edit list")
        judge.must("D1", segment.shown == segment.starts,
                   f"{url} begins at {segment.starts}, and its pictures at {segment.shown}")
        end = segment.starts + segment.duration
        judge.must("D1", segment.shown_end == end,
                   f"{url} ends at {end}, and its pictures at {segment.shown_end}")

    def frame(self, segment):
        return segment.duration / max(segment.samples, 1) / self.header.timescale + 1e-6

    def mean(self):
        return sum(s.size for s in self.segments) * 8 / max(self.total, 1e-9)

    def peak(self):
        """The largest rate of neighbours that last half to one and a half targets (RFC 8216)."""
        best = 0
        for first in range(len(self.segments)):
            size = seconds = 0
            for index in range(first, len(self.segments)):
                size += self.segments[index].size
                seconds += self.entries[index][0]
                if seconds > 1.5 * self.target:
                    break
                if seconds >= 0.5 * self.target:
                    best = max(best, size * 8 / seconds)
        return best or self.mean()


def check_hls(url, judge):
    """H1 to H24, but for what needs ears (H8) or a growing playlist."""
    streams, i_frames, medias, tags, pending = [], [], [], {}, None
    for line in lines_of(fetch(url, judge, "m3u8"), judge, url):
        name, _, value = line.partition(":")
        if name == "#EXT-X-STREAM-INF":
            pending = attributes(value)
        elif name == "#EXT-X-I-FRAME-STREAM-INF":
            i_frames.append(attributes(value))
        elif name == "#EXT-X-MEDIA":
            medias.append(attributes(value))
        elif line.startswith("#EXT"):
            tags[name] = value
        elif not line.startswith("#"):
            streams.append((pending, urljoin(url, line)))
    judge.must("H17", all(pending for pending, _ in streams), "an address without STREAM-INF")
    lists = {}
    for address in [address for _, address in streams] + [
            urljoin(url, media["URI"]) for media in medias if "URI" in media]:
        if address not in lists:
            lists[address] = Media(address, judge)
    check_groups(url, medias, lists, judge)
    check_streams(url, streams, medias, lists, judge)
    check_i_frames(url, i_frames, streams, lists, judge)
    independent = "#EXT-X-INDEPENDENT-SEGMENTS"
    everywhere = all(independent in media.tags for media in lists.values())
    judge.must("H20", independent in tags or everywhere, "segments aren't said to be independent")
    return lists


def check_groups(url, medias, lists, judge):
    check_members(medias, judge)
    for media in medias:
        name = media.get("NAME")
        judge.must("H15", media["TYPE"] == "VIDEO" or "LANGUAGE" in media,
                   f"rendition {name} has no LANGUAGE (8.10)")
        if media["TYPE"] == "SUBTITLES":
            text = lists[urljoin(url, media["URI"])]
            check_text(text, judge)
        if media["TYPE"] == "AUDIO" and "URI" in media:
            audio = lists[urljoin(url, media["URI"])]
            channels = audio.header.aac["channels"] if audio.header.aac else None
            said = media.get("CHANNELS", "").split("/")[0]
            judge.must("H17", str(channels) == said, f"{name}: {channels} channels, {said} said")
    audios = [lists[urljoin(url, m["URI"])] for m in medias if m["TYPE"] == "AUDIO" and "URI" in m]
    stereo = [a for a in audios if a.header.aac and a.header.aac["channels"] <= 2]
    judge.must("H7", not audios or stereo, "there is no stereo AAC (2.3)")
    for audio in stereo:
        rate = audio.mean() / 1000
        judge.should("H7", 32 <= rate <= 176, f"{audio.url}: {rate:.0f} kbit/s (2.9)")
        low_complexity = audio.header.aac["type"] == 2
        judge.must("H7", low_complexity or rate <= 64, f"{audio.url}: HE-AAC above 64k (2.4)")


def time_of(text):
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def cues_of(address, judge, rule="H9"):
    """Reads a WebVTT file: its header, and start, end and words of every cue."""
    words = fetch(address, judge, "vtt").decode("utf-8")
    head, *blocks = words.strip("\n").split("\n\n")
    judge.must(rule, head.split("\n")[0] == "WEBVTT", f"{address} is no WebVTT (5.3)")
    cues = []
    for block in blocks:
        timing, *lines = block.split("\n")
        judge.must(rule, " --> " in timing and bool(lines), f"{address}: no cue: {block[:60]!r}")
        start, _, rest = timing.partition(" --> ")
        cues.append((time_of(start), time_of(rest.split()[0]), "\n".join(lines)))
        judge.must(rule, cues[-1][0] < cues[-1][1], f"{address}: a cue ends before it begins")
    starts = [start for start, _, _ in cues]
    judge.must(rule, starts == sorted(starts), f"{address}: cues aren't in the order of time")
    return head, cues


def check_members(medias, judge):
    """Groups of one type hold the same renditions, one of each name, one of them the default."""
    groups = {}
    for media in medias:
        groups.setdefault((media["TYPE"], media["GROUP-ID"]), []).append(media)
    alike = {}
    for (kind, name), members in groups.items():
        names = [media["NAME"] for media in members]
        judge.must("H19", len(set(names)) == len(names), f"{name}: two have one name: {names}")
        defaults = [media for media in members if media.get("DEFAULT") == "YES"]
        judge.must("H19", len(defaults) <= 1, f"{name}: {len(defaults)} renditions are the default")
        judge.must("H19", all(m.get("AUTOSELECT") == "YES" for m in defaults),
                   f"{name}: the default isn't selected by itself")
        said = [{key: value for key, value in sorted(media.items())
                 if key not in ("GROUP-ID", "URI", "CHANNELS")} for media in members]
        judge.must("H19", alike.setdefault(kind, said) == said,
                   f"{name} holds other renditions than the first group (RFC 8216, 4.3.4.2.1)")


def check_text(text, judge):
    """H9: segments say where their times belong and hold every cue that touches them."""
    judge.must("H14", text.is_final, f"{text.url}: text is there whole or not at all")
    begin, seen = 0.0, {}
    for number, (duration, address, _) in enumerate(text.entries):
        head, cues = cues_of(address, judge)
        judge.must("H9", "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000" in head,
                   f"{address} has no X-TIMESTAMP-MAP (5.5)")
        last = number == len(text.entries) - 1
        for cue in cues:
            judge.must("H9", cue[1] > begin and (last or cue[0] < begin + duration),
                       f"{address}: {cue} lies outside")
            first = seen.setdefault(cue, number)
            # A cue that was there before goes on without a hole.
            judge.must("H9", number - first <= 1 or cue in before, f"{address}: {cue} comes again")
        before = cues
        begin += duration


def check_streams(url, streams, medias, lists, judge):
    videos, rates, aspects = [], [], set()
    final = {media.is_final for media in lists.values()}
    for said, address in streams:
        media = lists[address]
        is_video = media.header.handler == b"vide"
        for name in ["BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"]:
            judge.must("H17", name in said, f"{address}: no {name} (9.1, 9.14)")
        if not {"BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"} <= said.keys():
            continue
        group = [lists[urljoin(url, m["URI"])] for m in medias
                 if m.get("GROUP-ID") == said.get("AUDIO") and m["TYPE"] == "AUDIO" and "URI" in m]
        beside = [a for a in group if a is not media]
        # Pictures are played with one of the sounds; of sounds alone one is played at a time.
        together = sum if is_video else max
        peak = together([media.peak(), max((a.peak() for a in beside), default=0)])
        mean = together([media.mean(), max((a.mean() for a in beside), default=0)])
        rates.append((peak, is_video))
        told, told_mean = int(said["BANDWIDTH"]), int(said["AVERAGE-BANDWIDTH"])
        if media.is_final:
            judge.must("H5", abs(mean / told_mean - 1) <= 0.1,
                       f"{address}: {mean:.0f} b/s on average, {told_mean} said (1.26)")
            judge.must("H5", abs(peak / told - 1) <= 0.1,
                       f"{address}: peak {peak:.0f} b/s, {told} said (1.27)")
            judge.should("H5", peak <= 2 * mean, f"{address}: peak above twice the mean (1.30)")
        codecs = {media.header.codec} | {a.header.codec for a in beside}
        judge.must("H17", set(said["CODECS"].split(",")) == codecs,
                   f"{address}: CODECS={said['CODECS']}, the headers say {sorted(codecs)}")
        texts = [lists[urljoin(url, m["URI"])] for m in medias if m["TYPE"] == "SUBTITLES"]
        groups = {m["GROUP-ID"] for m in medias if m["TYPE"] == "SUBTITLES"}
        judge.must("H9", not groups or said.get("SUBTITLES") in groups,
                   f"{address} doesn't refer to the text (4.4)")
        for text in texts:
            judge.must("H9", not media.is_final or abs(text.total - media.total) <= 0.55,
                       f"{text.url}: text of {text.total} s, film of {media.total:.3f} s (5.3)")
        if is_video:
            videos.append((said, media))
            check_video(said, media, judge)
            aspects.add(round(media.header.sps["width"] / media.header.sps["height"], 1))
            for audio in beside:
                judge.must("H13", audio.target == media.target,
                           f"{address}: target {media.target}, sound's {audio.target} (8.2)")
                judge.must("H13", abs(audio.media_end - media.media_end) <= 0.05
                           or not media.is_final,
                           f"{address}: {media.media_end:.3f} s, sound {audio.media_end:.3f} (8.3)")
    if not videos:
        return
    judge.must("H14", len(final) == 1, "some playlists are final and some grow")
    judge.should("H16", len({tuple(round(d, 2) for d, _, _ in m.entries) for _, m in videos}) == 1,
                 "segments aren't cut at the same times in all qualities (8.22)")
    judge.should("H6", len(aspects) == 1, f"the qualities have several aspects {aspects} (1.33)")
    first = int(streams[0][0]["BANDWIDTH"])
    alike = [int(s["BANDWIDTH"]) for s, _ in videos if s.get("AUDIO") == streams[0][0].get("AUDIO")]
    nearest = min((abs(rate - 2e6), rate) for rate in alike)[1]
    judge.should("H6", first == nearest, f"{first} b/s stands first, {nearest} is nearer to 2 Mb/s")
    several = len({int(s["BANDWIDTH"]) for s, _ in videos}) > 1
    small = min(min(m.header.sps["width"], m.header.sps["height"]) for _, m in videos) <= 240
    judge.must("H24", several or small, "there is one video rate only (9.9)")
    # A film with sound has at least that; the smallest pictures of a silent one may take more.
    level = "MUST" if any(not is_video for _, is_video in rates) else "SHOULD"
    judge.say(level, "H22", min(rate for rate, _ in rates) <= 192_000 * 1.1,
              "no variant fits into 192 kbit/s (9.21)")
    judge.must("H2", any(m.header.sps["level"] <= 41 for _, m in videos), "no level to 4.1 (1.2)")


def check_video(said, media, judge):
    where, sps = media.url, media.header.sps
    judge.should("H2", media.header.fourcc in ("avc1", "hvc1"), f"{where}: {media.header.fourcc}")
    judge.must("H1", sps["profile"] in (66, 77, 100), f"{where}: profile {sps['profile']} (1.2)")
    judge.must("H1", sps["level"] <= 52, f"{where}: level {sps['level']} (1.2)")
    judge.must("H4", sps["progressive"], f"{where} may be interlaced (1.14)")
    for name in ["RESOLUTION", "FRAME-RATE"]:
        judge.must("H17", name in said, f"{where}: no {name} (9.2, 9.15)")
    size = f"{sps['width']}x{sps['height']}"
    judge.must("H17", said.get("RESOLUTION") == size,
               f"{where}: {said.get('RESOLUTION')}, really {size}")
    seconds = sum(s.duration for s in media.segments) / media.header.timescale
    rate = sum(s.samples for s in media.segments) / max(seconds, 1e-9)
    told = float(said.get("FRAME-RATE", rate))
    judge.must("H4", rate <= 60.5, f"{where}: {rate:.2f} frames a second (1.19)")
    judge.should("H17", abs(told - rate) / max(rate, 1) <= 0.1 or told >= rate,
                 f"{where}: FRAME-RATE={told}, on average {rate:.3f}")
    fits = [level for level, (frame, second) in sorted(LEVELS.items())
            if sps["macroblocks"] <= frame and sps["macroblocks"] * min(rate, told) <= second]
    judge.should("H1", fits and sps["level"] <= fits[0] + 10,
                 f"{where}: level {sps['level']}, {fits[:1]} would do (1.11)")


def check_i_frames(url, i_frames, streams, lists, judge):
    has_video = any(lists[address].header.handler == b"vide" for _, address in streams)
    final = all(media.is_final for media in lists.values())
    judge.must("H10", i_frames or not has_video or not final, "no I-frame playlist (6.1)")
    for said in i_frames:
        address = urljoin(url, said["URI"])
        for name in ["CODECS", "RESOLUTION", "BANDWIDTH"]:
            judge.must("H17", name in said, f"{address}: no {name} (9.3, 9.4)")
        media = Media(address, judge, i_frames=True)
        judge.must("H10", "#EXT-X-I-FRAMES-ONLY" in media.tags, f"{address} isn't so marked (6.8)")
        files = {}
        for _, file, span in media.entries:
            judge.must("H10", span is not None, f"{address}: an entry without BYTERANGE")
            if span is None:
                continue
            data = files.setdefault(file, None) or fetch(file, judge, "segment")
            files[file] = data
            length, _, offset = span.partition("@")
            piece = data[int(offset or 0):int(offset or 0) + int(length)]
            judge.must("H10", piece[4:8] in (b"moof", b"styp", b"sidx"),
                       f"{file}: {span} doesn't begin with its moof (6.10)")


def seconds_of(text):
    """Reads the kind of xs:duration that manifests hold."""
    total, number = 0.0, ""
    for char in text.removeprefix("PT"):
        if char.isdigit() or char == ".":
            number += char
        else:
            total += float(number) * {"H": 3600, "M": 60, "S": 1}[char]
            number = ""
    return total


def check_dash_text(url, group, judge):
    """A set of words: whole in one file, with a language and what it is for."""
    judge.must("D3", bool(group.get("lang")), "a set of text has no language")
    role = group.find(f"{MPD}Role")
    known = ("subtitle", "caption", "forced-subtitle")
    judge.must("D3", role is not None and role.get("value") in known, "text without a known Role")
    for base in group.iter(f"{MPD}BaseURL"):
        cues_of(urljoin(url, base.text), judge)


def check_dash(url, lists, judge):
    root = ET.fromstring(fetch(url, judge, "mpd"))
    judge.must("D1", root.tag == f"{MPD}MPD", "the root isn't an MPD")
    profiles = root.get("profiles", "")
    judge.must("D1", "isoff-live:2011" in profiles or "cmaf" in profiles, f"profiles {profiles}")
    final = all(media.is_final for media in lists.values())
    kind = root.get("type", "static")
    judge.must("D1", kind == ("static" if final else "dynamic"), f"the manifest is {kind}")
    of_hls = {address for media in lists.values() if not media.is_text
              for _, address, _ in media.entries}
    used, longest, texts, sounds = set(), 0.0, 0, []
    for group in root.iter(f"{MPD}AdaptationSet"):
        types = {r.get("mimeType", group.get("mimeType")) for r in group.iter(f"{MPD}Representation")}
        if types == {"text/vtt"}:
            check_dash_text(url, group, judge)
            texts += 1
            continue
        judge.must("D3", len(types) == 1, f"sound and picture in one set: {types}")
        judge.must("D3", group.get("segmentAlignment") == "true", "segments aren't aligned")
        judge.must("D3", group.get("startWithSAP") == "1", "segments don't start with SAP 1")
        if types == {"audio/mp4"}:
            judge.must("D3", bool(group.get("lang")), "a set of sound has no language")
            judge.must("D3", group.find(f"{MPD}Role") is not None, "a set of sound has no role")
            said = {c.get("value") for c in group.iter(f"{MPD}AudioChannelConfiguration")}
            sounds.append((group.get("lang"), group.findtext(f"{MPD}Label"), said))
        for representation in group.iter(f"{MPD}Representation"):
            base = representation.find(f"{MPD}BaseURL")
            base = urljoin(url, base.text if base is not None else "")
            template = representation.find(f"{MPD}SegmentTemplate")
            if template is None:
                template = group.find(f"{MPD}SegmentTemplate")
            judge.must("D1", template is not None, "a representation without SegmentTemplate")
            header = mp4.Header(fetch(urljoin(base, template.get("initialization")), judge, "init"))
            judge.should("D1", {b"cmfc", b"cmf2"} & set(header.brands), f"{base}: {header.brands}")
            if header.aac:
                told = representation.find(f"{MPD}AudioChannelConfiguration")
                judge.must("D3", told is not None
                           and told.get("value") == str(header.aac["channels"]),
                           f"{base}: {header.aac['channels']} channels, and not said so")
            judge.must("D1", representation.get("codecs") == header.codec,
                       f"{base}: codecs {representation.get('codecs')}, really {header.codec}")
            number, at = int(template.get("startNumber", "1")), 0
            for run in template.iter(f"{MPD}S"):
                at = int(run.get("t", at))
                for _ in range(int(run.get("r", "0")) + 1):
                    address = urljoin(base, template.get("media").replace("$Number$", str(number)))
                    used.add(address)
                    number += 1
                    at += int(run.get("d"))
            longest = max(longest, at / int(template.get("timescale", "1")))
    told = sum(media.is_text for media in lists.values())
    judge.must("D3", texts == told, f"{texts} text tracks, HLS has {told}")
    for index, (language, label, said) in enumerate(sounds):
        judge.must("D3", len(said) == 1, f"sets of {language} mix channels: {said}")
        judge.must("D3", (language, label, said) not in sounds[:index],
                   f"two sets of {language} can't be told apart")
    judge.must("D1", used == of_hls, f"not the segments of HLS: {sorted(used ^ of_hls)[:3]}")
    if final:
        told = seconds_of(root.get("mediaPresentationDuration", "PT0S"))
        judge.must("D1", abs(told - longest) <= 0.05, f"{told} s said, {longest} s there")


def jpeg_size(data):
    """Reads width and height from a JPEG's frame header; None for anything else."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2:at + 4], "big")
        # Frame headers, but for the three markers among them that are something else.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5:at + 7], data[at + 7:at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 2 + length
    return None


def place_of(words):
    """Reads a cue's file and rectangle, `sheet.jpg#xywh=0,0,160,90`; None for anything else."""
    file, _, place = words.partition("#xywh=")
    numbers = place.split(",")
    if not file or len(numbers) != 4 or not all(number.isdecimal() for number in numbers):
        return None
    return file, tuple(int(number) for number in numbers)


def check_storyboard(url, lists, judge):
    """P1: one moment after the other, none beyond the end. P2: every cue names a rectangle, all of
    one size, no two the same. P3: the sheets are there, and as large as their rectangles."""
    _, cues = cues_of(url, judge, "P1")
    judge.must("P1", bool(cues), f"{url} shows nothing")
    for (_, end, _), (start, _, _) in zip(cues, cues[1:]):
        judge.must("P1", start >= end, f"{url}: a cue begins at {start}, the last ends at {end}")
        judge.should("P1", start <= end, f"{url}: nothing is shown from {end} to {start}")
    judge.should("P1", not cues or cues[0][0] == 0, f"{url} doesn't begin with the film")
    film = max(media.total for media in lists.values() if not media.is_text)
    for start, end, _ in cues:
        judge.must("P1", start < film and end <= film + 0.05,
                   f"{url}: {start} to {end} is beyond the film's end at {film:.3f}")
    sizes, sheets = set(), {}
    for _, _, words in cues:
        place = place_of(words)
        judge.must("P2", place is not None, f"{url}: {words!r} is no rectangle of a picture")
        if place is None:
            continue
        file, (x, y, width, height) = place
        rectangles = sheets.setdefault(file, [])
        judge.must("P2", (x, y) not in rectangles, f"{url}: {words} is shown twice")
        rectangles.append((x, y))
        sizes.add((width, height))
    judge.must("P2", len(sizes) <= 1, f"{url}: small pictures of several sizes: {sorted(sizes)}")
    for file, rectangles in sheets.items():
        address = urljoin(url, file)
        try:
            size = jpeg_size(fetch(address, judge, "jpeg"))
        except urllib.error.HTTPError as error:
            judge.must("P3", False, f"{address} isn't there: {error.code}")
            continue
        width, height = max(sizes)
        wanted = (max(x for x, _ in rectangles) + width, max(y for _, y in rectangles) + height)
        # The last row may have fewer than the others, and the only one too.
        fits = size and size[1] == wanted[1] and size[0] >= wanted[0] and size[0] % width == 0
        judge.must("P3", fits, f"{address} is {size}, its rectangles make {wanted}")


def main():
    words = argparse.ArgumentParser()
    words.add_argument("master")
    words.add_argument("--dash")
    words.add_argument("--storyboard")
    words = words.parse_args()
    judge = Judge()
    lists = check_hls(words.master, judge)
    if words.dash:
        check_dash(words.dash, lists, judge)
    if words.storyboard:
        check_storyboard(words.storyboard, lists, judge)
    for finding in judge.findings:
        print(json.dumps(finding))
    sys.exit(any(finding["level"] == "MUST" for finding in judge.findings))


if __name__ == "__main__":
    main()
