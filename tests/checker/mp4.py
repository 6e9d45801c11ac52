"""Just enough of ISO/IEC 14496-12 and -15 to judge CMAF headers and segments."""

import struct

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"edts", b"moof", b"traf"}


def boxes(data, start=0, end=None):
    """Yields (type, content start, content end) of the boxes on one level."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            raise ValueError(f"box {kind!r} at {start} reaches beyond its container")
        yield kind, start + head, start + size
        start += size
    if start != end:
        raise ValueError(f"{end - start} bytes at {start} are no box")


def find(data, path, start=0, end=None):
    """Returns the bounds of every box at `path`, such as b"moov/trak/mdia"."""
    want, _, rest = path.partition(b"/")
    found = []
    for kind, a, b in boxes(data, start, end):
        if kind == want:
            found += find(data, rest, a, b) if rest else [(a, b)]
    return found


class Bits:
    """Reads a raw byte sequence payload bit by bit (ITU-T H.264, 7.2)."""

    def __init__(self, nal):
        clean, zeros = bytearray(), 0
        for byte in nal:
            if zeros >= 2 and byte == 3:
                zeros = 0
                continue
            zeros = zeros + 1 if byte == 0 else 0
            clean.append(byte)
        self.value, self.left = int.from_bytes(clean, "big"), len(clean) * 8

    def bits(self, count):
        self.left -= count
        if self.left < 0:
            raise ValueError("the parameter set is too short")
        return (self.value >> self.left) & ((1 << count) - 1)

    def ue(self):
        zeros = 0
        while self.bits(1) == 0:
            zeros += 1
        return (1 << zeros) - 1 + (self.bits(zeros) if zeros else 0)

    def se(self):
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def sequence_parameters(nal):
    """Reads what matters here of an H.264 sequence parameter set (7.3.2.1.1)."""
    bits = Bits(nal[1:])
    profile, constraints, level = bits.bits(8), bits.bits(8), bits.bits(8)
    bits.ue()
    chroma = 1
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128):
        chroma = bits.ue()
        if chroma == 3:
            bits.bits(1)
        depth = bits.ue() + 8
        bits.ue()
        bits.bits(1)
        if bits.bits(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.bits(1):
                    skip_scaling_list(bits, 16 if index < 6 else 64)
    else:
        depth = 8
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.bits(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()
    bits.bits(1)
    width, height_units = (bits.ue() + 1) * 16, bits.ue() + 1
    progressive = bits.bits(1)
    height = height_units * 16 * (2 - progressive)
    macroblocks = width * height // 256
    if not progressive:
        bits.bits(1)
    bits.bits(1)
    if bits.bits(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        across, down = (2, 2) if chroma == 1 else (2, 1) if chroma == 2 else (1, 1)
        width -= (left + right) * across
        height -= (top + bottom) * down * (2 - progressive)
    return {
        "profile": profile, "constraints": constraints, "level": level, "width": width,
        "height": height, "progressive": bool(progressive), "depth": depth, "chroma": chroma,
        "macroblocks": macroblocks,
    }


def skip_scaling_list(bits, size):
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se() + 256) % 256
        last = following or last


class Header:
    """An initialization segment with one track."""

    def __init__(self, data):
        ((start, end),) = find(data, b"ftyp")
        self.brands = [data[start:start + 4]]
        self.brands += [data[at:at + 4] for at in range(start + 8, end, 4)]
        tracks = find(data, b"moov/trak")
        if len(tracks) != 1:
            raise ValueError(f"{len(tracks)} tracks instead of one")
        start, end = tracks[0]
        ((a, b),) = find(data, b"mdia/mdhd", start, end)
        version = data[a]
        at = a + (20 if version else 12)
        (self.timescale,) = struct.unpack_from(">I", data, at)
        code = struct.unpack_from(">H", data, at + (12 if version else 8))[0]
        self.language = "".join(chr(((code >> shift) & 31) + 0x60) for shift in (10, 5, 0))
        ((a, _),) = find(data, b"mdia/hdlr", start, end)
        self.handler = data[a + 8:a + 12]
        self.has_edits = bool(find(data, b"edts", start, end))
        self.edit_start = self.edit(data, start, end)
        self.default_flags = self.default_duration = self.default_size = 0
        for a, _ in find(data, b"moov/mvex/trex"):
            values = struct.unpack_from(">5I", data, a + 4)
            self.default_duration, self.default_size, self.default_flags = values[2:5]
        ((a, b),) = find(data, b"mdia/minf/stbl/stsd", start, end)
        self.read_entry(data, *self.entry(data, a, b))

    @staticmethod
    def entry(data, start, end):
        entries = list(boxes(data, start + 8, end))
        if len(entries) != 1:
            raise ValueError(f"{len(entries)} sample entries instead of one")
        return entries[0]

    @staticmethod
    def edit(data, start, end):
        """Returns the media time at which the presentation begins."""
        for a, _ in find(data, b"edts/elst", start, end):
            version, count = data[a], struct.unpack_from(">I", data, a + 4)[0]
            at = a + 8
            for _ in range(count):
                form = ">Qq" if version else ">Ii"
                _, media_time = struct.unpack_from(form, data, at)
                at += struct.calcsize(form) + 4
                if media_time >= 0:
                    return media_time
        return 0

    def read_entry(self, data, kind, start, end):
        self.fourcc = kind.decode("ascii", "replace")
        self.sps, self.aac, self.length_bytes = None, None, 4
        inner = start + (78 if self.handler == b"vide" else 28)
        for name, a, b in boxes(data, inner, end):
            if name == b"avcC":
                self.avcc = data[a:b]
                self.length_bytes = (data[a + 4] & 3) + 1
                size = struct.unpack_from(">H", data, a + 6)[0]
                self.sps = sequence_parameters(data[a + 8:a + 8 + size])
                self.codec = f"avc1.{data[a + 1]:02x}{data[a + 2]:02x}{data[a + 3]:02x}"
            elif name == b"hvcC":
                self.codec = None
            elif name == b"esds":
                self.aac = audio_object(data[a + 4:b])
                self.codec = f"mp4a.40.{self.aac['type']}"


def audio_object(data):
    """Reads the AAC configuration in an elementary stream descriptor (14496-1, 7.2.6)."""
    at, config = 0, None
    while at + 2 <= len(data):
        tag = data[at]
        at += 1
        size = 0
        while True:
            byte = data[at]
            at += 1
            size = size << 7 | (byte & 127)
            if not byte & 128:
                break
        if tag == 3:
            at += 3
        elif tag == 4:
            at += 13
        elif tag == 5:
            config = data[at:at + size]
            break
        else:
            at += size
    if config is None:
        raise ValueError("the audio track has no configuration")
    kind, index = config[0] >> 3, (config[0] & 7) << 1 | config[1] >> 7
    return {"type": kind, "rate_index": index, "channels": (config[1] >> 3) & 15}


class Segment:
    """A media segment of one track: its time, its samples, its first picture."""

    def __init__(self, data, header):
        self.size = len(data)
        self.starts, self.duration, self.samples, self.syncs = None, 0, 0, []
        # When the earliest sample is shown, and until when the latest, before any edit list.
        self.shown, self.shown_end = None, 0
        self.brands = []
        for kind, a, b in boxes(data):
            if kind == b"styp":
                self.brands = [data[a:a + 4]] + [data[at:at + 4] for at in range(a + 8, b, 4)]
        first = None
        for kind, a, b in boxes(data):
            if kind == b"moof":
                first = self.read_fragment(data, a - 8, a, b, header) if first is None else (
                    self.read_fragment(data, a - 8, a, b, header) and first)
        self.first_nals = [] if first is None else nal_kinds(data, *first, header.length_bytes)

    def read_fragment(self, data, moof, start, end, header):
        ((a, b),) = find(data, b"traf", start, end)
        ((t, _),) = find(data, b"tfhd", a, b)
        flags = int.from_bytes(data[t + 1:t + 4], "big")
        at, base = t + 8, moof
        if flags & 1:
            (base,) = struct.unpack_from(">Q", data, at)
            at += 8
        at += 4 if flags & 2 else 0
        values = [header.default_duration, header.default_size, header.default_flags]
        for index, bit in enumerate((8, 16, 32)):
            if flags & bit:
                (values[index],) = struct.unpack_from(">I", data, at)
                at += 4
        ((d, _),) = find(data, b"tfdt", a, b)
        begins = struct.unpack_from(">Q" if data[d] else ">I", data, d + 4)[0]
        if self.starts is None:
            self.starts = begins
        elif begins != self.starts + self.duration:
            raise ValueError("a fragment doesn't begin where the one before it ends")
        first = None
        for r, _ in find(data, b"trun", a, b):
            found = self.read_run(data, r, base, values)
            first = first or found
        return first

    def read_run(self, data, start, base, values):
        flags = int.from_bytes(data[start + 1:start + 4], "big")
        (count,) = struct.unpack_from(">I", data, start + 4)
        at, offset, first_flags = start + 8, 0, None
        if flags & 1:
            (offset,) = struct.unpack_from(">i", data, at)
            at += 4
        if flags & 4:
            (first_flags,) = struct.unpack_from(">I", data, at)
            at += 4
        first = None
        for index in range(count):
            sample = list(values)
            for place, bit in enumerate((0x100, 0x200, 0x400)):
                if flags & bit:
                    (sample[place],) = struct.unpack_from(">I", data, at)
                    at += 4
            shift = 0
            if flags & 0x800:
                (shift,) = struct.unpack_from(">i" if data[start] else ">I", data, at)
                at += 4
            duration, size, sample_flags = sample
            shown = self.starts + self.duration + shift
            self.shown = shown if self.shown is None else min(shown, self.shown)
            self.shown_end = max(shown + duration, self.shown_end)
            if index == 0 and first_flags is not None:
                sample_flags = first_flags
            if first is None:
                first = (base + offset, base + offset + size)
            if not sample_flags & 0x10000:
                self.syncs.append(self.duration)
            self.duration += duration
            self.samples += 1
        return first


def nal_kinds(data, start, end, length_bytes):
    """Returns the types of the NAL units of one H.264 sample."""
    kinds = []
    while start + length_bytes < end:
        size = int.from_bytes(data[start:start + length_bytes], "big")
        start += length_bytes
        kinds.append(data[start] & 31)
        start += size
    return kinds
