"""What a page of `inspect --html` must show, computed from `inspect --json` alone."""

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
