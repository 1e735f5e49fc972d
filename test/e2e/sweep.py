#!/usr/bin/env python3
"""`llmc sweep` predicts what compiles then say, runs nothing and writes nothing but its page."""

import html.parser
import math
import re
import sys

import browser
import suite
from model_list import DECODERS
from suite import REPO, Failure, Skip

CONTEXT = 256  # of the example
STEP = 64


def model():
    return next(m for m in DECODERS if m.name == "example").file()


def expect(holds, words):
    if not holds:
        raise Failure(words)


class Sweep:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder
        self.known = None

    def report(self):
        if self.known is None:
            self.known = self.tool.json("sweep", model(), "--vram", "768K..5M", "--steps", 7)
        return self.known

    def compile(self, budget, *options):
        """(exit status, --json)"""
        arguments = ("-o", self.folder / "x.plan", "--vram", budget, "--json", *options)
        done = self.tool.run("compile", model(), *arguments)
        return done.returncode, suite.parse_json(done.stdout, "compile")

    def agrees_with_compile(self):
        report = self.report()
        expect(report["spacing"] == "geometric", f"7 times as much is {report['spacing']}")
        rows = report["budgets"]
        budgets = [row["budget_bytes"] for row in rows]
        expect(budgets == sorted(set(budgets)), f"budgets {budgets}")
        expect(budgets[0] == 768 << 10 and budgets[-1] == 5 << 20, f"the ends are {budgets}")
        marks = {row["mark"]: row["budget_bytes"] for row in rows if row["mark"]}
        wanted = {"minimum": report["minimum_bytes"], "resident": report["resident_bytes"]}
        expect(marks == wanted, f"marked {marks}, expected {wanted}")
        fitting = 0
        for row in rows:
            status, plan = self.compile(row["budget_bytes"], "--ctx", CONTEXT)
            expect(row["fits"] == (status == 0), f"{row['budget_bytes']}: status {status}")
            if status != 0:
                expect(status == 3 and row["entries"] == [], f"status {status}, {row['entries']}")
                expect(plan["minimum_bytes"] == report["minimum_bytes"], "other minimum")
                continue
            fitting += 1
            for key in ("device_bytes", "resident_weight_bytes"):
                expect(row[key] == plan[key], f"{key} {row[key]}, compiled {plan[key]}")
            for entry, compiled in zip(row["entries"], plan["entries"], strict=True):
                for key in ("name", "predicted_seconds", "bound_by", "streamed_bytes"):
                    same = entry[key] == compiled[key]
                    expect(same, f"{row['budget_bytes']}: {key} {entry[key]}, not {compiled[key]}")
                per_token = entry["streamed_bytes"] / entry["tokens_per_run"]
                expect(entry["streamed_bytes_per_token"] == per_token, f"{entry} per token")
        expect(2 <= fitting < len(rows), f"{fitting} of {len(rows)} budgets fit")
        return f"{fitting} of {len(rows)} budgets fit"

    def largest_context_is_exact(self):
        report, tried = self.report(), 0
        for row in report["budgets"]:
            for key, good in (
                ("largest_context_tokens", lambda status, plan: status == 0),
                (
                    "largest_resident_context_tokens",
                    lambda status, plan: status == 0
                    and not any(e["streamed_bytes"] for e in plan["entries"]),
                ),
            ):
                tokens = row[key]
                if tokens:
                    done = good(*self.compile(row["budget_bytes"], "--ctx", tokens))
                    expect(done, f"{row['budget_bytes']}: {key} {tokens} is too much")
                if tokens < CONTEXT:
                    more = tokens + STEP if tokens else 128
                    done = good(*self.compile(row["budget_bytes"], "--ctx", more))
                    expect(not done, f"{row['budget_bytes']}: {key} is {tokens}, {more} fits too")
                    tried += 1
        expect(tried >= 3, f"only {tried} budgets bound the context")
        expect(report["contexts_scheduled"] <= 3, f"{report['contexts_scheduled']} contexts")
        return f"{tried} bounds, {report['contexts_scheduled']} contexts scheduled"

    def default_context(self):
        """compile without --ctx: the largest at full speed, else the model's own, and it is said."""
        rows = self.report()["budgets"]
        needs = {c["context"]: c for c in self.tool.json("check", model())["contexts"]}
        size = (needs[128]["resident_bytes"] + needs[CONTEXT]["resident_bytes"]) // 2
        between = self.tool.json("sweep", model(), "--vram", f"{size}..{size}")
        row = between["budgets"][0]
        known = row["largest_resident_context_tokens"]
        expect(row["fits"] and 128 <= known < CONTEXT, f"{size} bytes: {known} tokens")
        arguments = ("-o", self.folder / "x.plan", "--vram", row["budget_bytes"])
        done = self.tool.good("compile", model(), *arguments)
        tokens = row["largest_resident_context_tokens"]
        expect(f"context set to {tokens} tokens" in done.stderr, f"stderr {done.stderr!r}")
        expect(re.search(rf"context +{tokens} tokens", done.stdout), f"stdout {done.stdout!r}")
        streaming = next(r for r in rows if r["fits"] and not r["largest_resident_context_tokens"])
        plan = self.compile(streaming["budget_bytes"])[1]
        expect(plan["context"] == CONTEXT, f"streaming anyway, but context {plan['context']}")
        return f"{tokens} tokens at {row['budget_bytes']} bytes"

    def check_command(self):
        """check prints what sweep says of a budget."""
        report = self.tool.json("check", model())
        budgets = report["budgets"]
        expect(len(budgets) >= 3, f"{len(budgets)} budgets")
        for row in budgets:
            size = row["budget_bytes"]
            swept = self.tool.json("sweep", model(), "--vram", f"{size}..{size}", "--steps", 2)
            found = next(r for r in swept["budgets"] if r["budget_bytes"] == size)
            for key in ("largest_context", "largest_resident_context"):
                same = row[key] == found[f"{key}_tokens"]
                expect(same, f"{size}: {key} {row[key]}, sweep says {found[f'{key}_tokens']}")
        text = self.tool.good("check", model()).stdout
        for words in ("smallest budget", "largest context"):
            expect(words in text, f"check does not speak of the {words}")
        return f"{len(budgets)} budgets"

    def ranges(self):
        """Percentages are of the weights; open ends are the smallest budget and all resident."""
        everything = self.tool.json("sweep", model(), "--steps", 3)
        ends = [everything["budgets"][i]["budget_bytes"] for i in (0, -1)]
        wanted = [everything["minimum_bytes"], everything["resident_bytes"]]
        expect(ends == wanted, f"open ends {ends}, expected {wanted}")
        parts = self.tool.json("sweep", model(), "--vram", "60%..100%", "--steps", 2)
        ends = [parts["budgets"][i]["budget_bytes"] for i in (0, -1)]
        weights = parts["weights_bytes"]
        expect(ends == [weights * 60 // 100, weights], f"{ends} of {weights}")
        expect(parts["spacing"] == "linear", parts["spacing"])
        for wrong in ("12", "5M..1M", "x..1M", "1M..2%%", "-1..2M", "unbounded"):
            done = self.tool.run("sweep", model(), "--vram", wrong)
            expect(done.returncode in (1, 2), f"--vram {wrong} ends with {done.returncode}")
            expect("--vram" in done.stderr, f"--vram {wrong}: {done.stderr!r}")

    def writes_nothing(self):
        place = self.folder / "place"
        place.mkdir(parents=True)
        before = {f: f.stat().st_mtime_ns for f in model().parent.iterdir()}
        self.tool.good("sweep", model(), "--steps", 3, cwd=place)
        left = sorted(f.name for f in place.iterdir())
        after = {f: f.stat().st_mtime_ns for f in model().parent.iterdir()}
        expect(left == [] and before == after, f"left {left}, {set(after) ^ set(before)}")

    def another_machine(self):
        """A data sheet's GPU without a GPU; without one named it is refused."""
        sheet = REPO / "runtime" / "hardware" / "rtx-4090.json"
        arguments = ("sweep", model(), "--target", "cuda", "--steps", 2)
        report = self.tool.json(*arguments, "--hardware", sheet)
        expect("4090" in report["hardware"], report["hardware"])
        here = self.tool.json("sweep", model(), "--steps", 2)
        speeds = [r["budgets"][-1]["entries"][0]["predicted_seconds"] for r in (report, here)]
        expect(speeds[0] < speeds[1], f"the GPU takes {speeds[0]}, the CPU {speeds[1]}")
        done = self.tool.run(*arguments)
        expect(done.returncode == 1 and "--hardware" in done.stderr, done.stderr)

    # ---- the picture ----

    def page(self):
        file = self.folder / "sweep.html"
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = ("--vram", "768K..5M", "--steps", 7, "--html", file)
        self.tool.good("sweep", model(), *arguments)
        return file

    def picture(self):
        """Every point is where its value belongs, and stands in the table."""
        report = self.report()
        rows = report["budgets"]
        parsed = Parsed()
        text = self.page().read_text()
        parsed.feed(text)
        expect(not re.search(r"https?:|@import|src=", text), "the page asks for something")
        values = {
            "speed-prefill": [speed(r, "prefill") for r in rows],
            "speed-decode": [speed(r, "decode") for r in rows],
            "streamed": [r["entries"][-1]["streamed_bytes_per_token"] if r["fits"] else None for r in rows],
            "context": [r["largest_context_tokens"] or None for r in rows],
            "resident": [r["largest_resident_context_tokens"] or None for r in rows],
        }
        low, high = rows[0]["budget_bytes"], rows[-1]["budget_bytes"]
        points = 0
        for name, wanted in values.items():
            panel = "context" if name == "resident" else name
            style = {"resident": "resident", "context": "context"}.get(name)
            circles = [
                c
                for c in parsed.circles
                if c["panel"] == f"panel-{panel}" and (style is None or c["class"] == style)
            ]
            found = {int(c["data-row"]): c for c in circles}
            expect(
                sorted(found) == [i for i, v in enumerate(wanted) if v is not None],
                f"{name}: points of {sorted(found)}, values {wanted}",
            )
            top = parsed.tops[f"panel-{panel}"]
            for index, circle in found.items():
                part = math.log(rows[index]["budget_bytes"] / low) / math.log(high / low)
                x = 78 + part * (760 - 78 - 14)
                y = 180 - wanted[index] / top * (180 - 12)
                near = abs(float(circle["cx"]) - x) < 0.01 and abs(float(circle["cy"]) - y) < 0.01
                same = math.isclose(float(circle["data-value"]), wanted[index], rel_tol=1e-9)
                expect(near and same, f"{name} {index}: {circle}, expected {x:.2f}, {y:.2f}")
                points += 1
        expect(parsed.pictures == 4 and parsed.labelled == 4, f"{parsed.labelled} labelled pictures")
        expect(parsed.rows == len(rows), f"{parsed.rows} rows in the table, {len(rows)} budgets")
        return f"{points} points"

    def in_a_browser(self):
        """Silent, both colour schemes, and the cursor follows pointer and keys."""
        path = browser.find()
        if path is None:
            raise Skip("no Chromium")
        file = self.page()
        backgrounds = set()
        with browser.Browser(path) as chromium:
            for dark in (False, True):
                chromium.open(file, width=1300, height=1000, dark=dark)
                backgrounds.add(chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
                expect(chromium.errors == [], f"errors {chromium.errors}")
            other = [u for u in chromium.requests if not u.startswith(("data:", "file:"))]
            expect(other == [], f"requests {other}")
            chosen = "document.querySelectorAll('circle.chosen').length"
            expect(chromium.evaluate(chosen) == 0, "something is chosen at first")
            last = "document.querySelector('#points tbody tr:last-child')"
            chromium.send("Emulation.setFocusEmulationEnabled", enabled=True)
            chromium.evaluate(f"{last}.focus()")
            expect(chromium.evaluate(chosen) == 5, f"{chromium.evaluate(chosen)} points chosen")
            chromium.evaluate(
                f"{last}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowUp'}}))"
            )
            index = chromium.evaluate("Number(document.activeElement.dataset.row)")
            expect(index == len(self.report()["budgets"]) - 2, f"the focus is on row {index}")
        expect(len(backgrounds) == 2, f"light and dark are {backgrounds}")


def speed(row, name):
    entry = next((e for e in row["entries"] if e["name"] == name), None)
    return entry and entry["predicted_tokens_per_second"]


class Parsed(html.parser.HTMLParser):
    """The marks of the page."""

    def __init__(self):
        super().__init__()
        self.circles, self.tops, self.panel = [], {}, None
        self.pictures = self.labelled = self.rows = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "section":
            self.panel = values["id"]
        elif tag == "svg":
            self.pictures += 1
            self.labelled += values.get("role") == "img" and len(values.get("aria-label", "")) > 20
            self.tops[self.panel] = float(values["data-top"])
        elif tag == "circle":
            self.circles.append({**values, "panel": self.panel})
        elif tag == "tr" and "data-row" in values:
            self.rows += 1


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    sweep = Sweep(tool, suite.work_folder(options) / "sweep")

    def run(name):
        tool.need()
        sweep.folder.mkdir(parents=True, exist_ok=True)
        return getattr(sweep, name)()

    names = (
        "agrees_with_compile largest_context_is_exact default_context check_command ranges"
        " writes_nothing another_machine picture in_a_browser"
    )
    for name in names.split():
        tests.add(name.replace("_", "-"), run, name)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
