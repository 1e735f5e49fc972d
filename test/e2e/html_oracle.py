"""What a page of `inspect --html` must show, computed from `inspect --json` alone."""

import itertools

import numpy as np

KIND_GROUPS = {
    "weight": "weights",
    "state": "state",
    "constant": "constants",
    "staging": "staging",
    "workspace": "workspace",
    "activation": "activations",
    "input": "activations",
    "output": "activations",
}


class Oracle:
    def __init__(self, report):
        self.report = report

    @staticmethod
    def group(buffer):
        return KIND_GROUPS[buffer["kind"]]

    @staticmethod
    def haystack(buffer):
        """What a plain word of a search is looked for in."""
        entry = "all" if buffer["entry"] is None else buffer["entry"]
        words = (buffer["name"], buffer["kind"], Oracle.group(buffer), entry, buffer["tier"])
        return "\n".join(words).lower()

    @staticmethod
    def utf16(text):
        """The order in which JavaScript compares strings."""
        return text.encode("utf-16-be")

    @staticmethod
    def words(size):
        """1536 -> 1.50 KiB"""
        units = ("B", "KiB", "MiB", "GiB", "TiB")
        unit = 0
        value = size
        while value >= 1024 and unit + 1 < len(units):
            value /= 1024
            unit += 1
        return f"{size} B" if unit == 0 else f"{value:.2f} {units[unit]}"

    def live(self, entry, tier, without=None):
        """Live bytes at each step of an entry in a tier."""
        steps = next(e["steps"] for e in self.report["entries"] if e["name"] == entry)
        change = [0] * (steps + 1)
        for buffer in self.report["buffers"]:
            if buffer["tier"] != tier or self.group(buffer) == without:
                continue
            if buffer["entry"] is None:
                change[0] += buffer["size"]
            elif buffer["entry"] == entry:
                change[buffer["start"]] += buffer["size"]
                change[buffer["end"]] -= buffer["size"]
        live, total = [], 0
        for step in range(steps):
            total += change[step]
            live.append(total)
        return live

    def live_of_first(self):
        return self.live(self.report["entries"][0]["name"], "device")

    def living(self, entry, step):
        """Buffers of the device that live at a step."""
        return [
            b
            for b in self.report["buffers"]
            if b["tier"] == "device"
            and (
                b["entry"] is None or (b["entry"] == entry and b["start"] <= step < b["end"])
            )
        ]


# Machado, Oliveira and Fernandes 2009, complete deficiency, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(linear):
    """CIE L*a*b* of linear RGB."""
    xyz = TO_XYZ @ np.clip(linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest_colours(colours):
    """(distance in L*a*b*, deficiency, two names) of the pair of "#rrggbb" most easily confused."""
    found = []
    for deficiency, matrix in DEFICIENCIES.items():
        seen = {}
        for name, text in colours.items():
            value = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
            linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
            seen[name] = lab(np.array(matrix) @ linear)
        for one, other in itertools.combinations(seen, 2):
            distance = float(np.linalg.norm(seen[one] - seen[other]))
            found.append((round(distance, 1), deficiency, one, other))
    return min(found)
