#!/usr/bin/env python3
"""`llmc inspect --html` in headless Chromium: what it shows is what `inspect --json` says.

Pages of the example and of stories260K, without a bound and in a tight budget, and of a synthetic
plan of 20,000 buffers. Numbers are read back out of the page, pointer and keys are sent as a user
would, colours are looked up in screenshots (kept in build/test-logs/html), the console must stay
silent and the network untouched. The frame time at 20,000 buffers is printed.
"""

import csv
import io
import re
import subprocess
import sys

import browser
import suite
from html_oracle import Oracle, closest_colours
from model_list import DECODERS
from suite import REPO, Failure, Skip

SHOTS = REPO / "build" / "test-logs" / "html"
GROUPS = ("weights", "state", "constants", "staging", "workspace", "activations")
WIDE, NARROW, HEIGHT = 1400, 700, 1250
ALT, SHIFT = 1, 8
SYNTHETIC = 20000


def expect(holds, words):
    if not holds:
        raise Failure(words)


def same(found, wanted, what):
    expect(found == wanted, f"{what}: {str(found)[:300]}, expected {str(wanted)[:300]}")


class Page:
    """One page in the browser beside what the plan says."""

    def __init__(self, chromium, tool, plan, file):
        self.chromium, self.name = chromium, file.stem
        tool.good("inspect", plan, "--html", file)
        self.file = file
        self.report = tool.json("inspect", plan)
        self.text = tool.good("inspect", plan).stdout
        table = file.with_suffix(".csv")
        tool.good("inspect", plan, "--csv", table)
        self.csv = table.read_text()
        self.oracle = Oracle(self.report)

    def js(self, expression):
        return self.chromium.evaluate(expression)

    def open(self, **options):
        self.chromium.open(self.file, **{"width": WIDE, "height": HEIGHT, **options})
        self.silent()

    def silent(self):
        same(self.chromium.errors, [], "errors in the console")
        other = [u for u in self.chromium.requests if not u.startswith("data:")]
        same(other, [self.file.resolve().as_uri()], "requests")

    # ---- the numbers ----

    def compare_data(self):
        """Every buffer, every total and every step's live bytes, in the page and in the CSV."""
        report = self.report
        summary = {k: v for k, v in report.items() if k not in ("buffers", "entries")}
        same(self.js("llmcPlan.model.summary"), summary, "totals")
        columns = self.js(
            """(m => Array.from({length: m.count}, (_, i) => ({
              name: m.names[i], entry: m.entry[i] < 0 ? null : m.entries[m.entry[i]].name,
              kind: m.kinds[m.kind[i]], tier: m.tiers[m.tier[i]], offset: m.offset[i],
              size: m.size[i], start: m.start[i], end: m.end[i]})))(llmcPlan.model)"""
        )
        last = max(entry["steps"] for entry in report["entries"])
        for buffer in columns:
            if buffer["entry"] is None:
                buffer["end"] = last
        same(columns, report["buffers"], "buffers")
        rows = list(csv.DictReader(io.StringIO(self.csv)))
        same(len(rows), len(report["buffers"]), "lines of the CSV")
        for row, buffer in zip(rows, report["buffers"]):
            wanted = {k: "" if v is None else str(v) for k, v in buffer.items()}
            same(row, wanted, "a line of the CSV")
        same(
            sorted(self.js("llmcPlan.table.shown")),
            list(range(len(columns))),
            "buffers in the table",
        )

    def compare_live(self):
        tiers = ("device", "host", "disk")
        for e, entry in enumerate(self.report["entries"]):
            for t, tier in enumerate(tiers):
                live = self.oracle.live(entry["name"], tier)
                scene = f"llmcPlan.model.scene({e}, {t})"
                same(self.js(f"[...{scene}.total]"), live, f"live bytes of {entry['name']}, {tier}")
                peak = self.js(f"[{scene}.peakStep, {scene}.peakBytes]")
                same(peak, [live.index(max(live)), max(live)], f"peak of {entry['name']}, {tier}")
            self.compare_peak_text(entry)

    def compare_peak_text(self, entry):
        """The table of the peak that `inspect` prints."""
        live = self.oracle.live(entry["name"], "device")
        step = live.index(max(live))
        head = re.search(rf"^peak of entry '{entry['name']}', step (\d+) .*$", self.text, re.M)
        same(head and int(head[1]), step, f"step of the printed peak of {entry['name']}")
        rows = self.text[head.end() + 1 :].split("\n\n")[0].splitlines()[1:]
        own = [(b["size"], b["name"]) for b in self.oracle.living(entry["name"], step)]
        found = [(int(r.split()[0]), r.split()[-1]) for r in rows[: len(own) + 1]]
        listed = found[: len(own)]
        same([size for size, _ in listed], sorted((s for s, _ in own), reverse=True), "peak's sizes")
        # Names with spaces in them show their last word only.
        same(
            sorted(name for _, name in listed),
            sorted(name.split()[-1] for _, name in own),
            "the peak's names",
        )
        same(found[len(own)][0], sum(s for s, _ in own), "sum of the printed peak")

    def compare_words(self):
        """What stands in the document, not in its state."""
        figures = self.js("document.getElementById('figures').textContent")
        for value in (self.report["device_bytes"], max(self.oracle.live_of_first())):
            words = self.js(f"[...document.querySelectorAll('.big')].map(n => n.textContent)")
            expect(Oracle.words(value) in words, f"{Oracle.words(value)} is not in {figures!r}")
        count = self.js("document.getElementById('count').textContent")
        expect(count.startswith(f"{len(self.report['buffers']):,} buffers"), f"count says {count!r}")
        # The last row of the list, scrolled to the end: the smallest buffer.
        self.js("(r => r.scrollTop = r.scrollHeight)(llmcPlan.table.rows)")
        self.chromium.settle()
        row = self.js(
            "[...[...llmcPlan.table.rows.querySelectorAll('.row:not([hidden])')]"
            ".sort((a, b) => a.dataset.at - b.dataset.at).at(-1)"
            ".children].map(cell => cell.textContent)"
        )
        smallest = min(self.report["buffers"], key=lambda b: b["size"])
        rows = [b["name"] for b in self.report["buffers"] if b["size"] == smallest["size"]]
        same(row[0], rows[-1], "name in the last row, by size")
        expect(Oracle.words(smallest["size"]) in row, f"{Oracle.words(smallest['size'])} in {row}")
        self.js("llmcPlan.table.rows.scrollTop = 0")

    # ---- what a user does ----

    def compare_search(self):
        buffers = self.report["buffers"]
        word = sorted(b["name"] for b in buffers)[len(buffers) // 2][:14].lower()
        word = word.split()[0]
        step = self.report["entries"][0]["steps"] // 2
        queries = [
            (word, lambda b: word in Oracle.haystack(b)),
            ("kind:activation", lambda b: b["kind"] == "activation"),
            ("size>=64k", lambda b: b["size"] >= 65536),
            (f"step:{step}", lambda b: b["entry"] is None or b["start"] <= step < b["end"]),
            ("staging prefill", lambda b: "staging" in Oracle.haystack(b) and "prefill" in Oracle.haystack(b)),
            ("no such buffer", lambda b: False),
        ]
        for query, wanted in queries:
            self.js("document.getElementById('query').value = ''")
            self.chromium.key("/")
            same(self.js("document.activeElement.id"), "query", "focus after /")
            self.chromium.text(query)
            expected = [i for i, b in enumerate(buffers) if wanted(b)]
            same(sorted(self.js("llmcPlan.table.shown")), expected, f"search {query!r}")
            count = self.js("document.getElementById('count').textContent")
            expect(count.startswith(f"{len(expected):,} "), f"{query!r}: count says {count!r}")
        self.chromium.key("Escape")
        same(self.js("llmcPlan.table.shown.length"), len(buffers), "buffers after Escape")

    def compare_sorting(self):
        for key in ("name", "offset", "size", "start"):
            self.js(f"document.querySelector('.head .c-{key} button').click()")
            shown = self.js("llmcPlan.table.shown")
            values = [self.report["buffers"][i][key] for i in shown]
            down = self.js(f"document.querySelector('.head .c-{key}').ariaSort") == "descending"
            order = sorted(values, key=Oracle.utf16 if key == "name" else None, reverse=down)
            same(values, order, f"order by {key}")

    def place(self):
        """Where the plot lies on the screen: left, top, width, height."""
        return self.js(
            """(p => { const r = p.canvas.getBoundingClientRect(); const b = p.box;
              return [r.left + b.left, r.top + b.top, b.right - b.left, b.bottom - b.top]; }
            )(llmcPlan.picture)"""
        )

    def view(self):
        return self.js("llmcPlan.view")

    def compare_zoom(self):
        left, top, width, height = self.place()
        x, y = left + 0.25 * width, top + 0.5 * height
        whole = self.view()
        for modifiers, axes in ((0, "xy"), (SHIFT, "x"), (ALT, "y")):
            before = self.view()
            self.chromium.wheel(x, y, -240, modifiers)
            after = self.view()
            for axis, part in (("x", 0.25), ("y", 0.5)):
                low, high = f"{axis}0", f"{axis}1"
                was, now = before[high] - before[low], after[high] - after[low]
                if axis not in axes:
                    expect(abs(was - now) < 1e-6 * was, f"wheel {axes} changes {axis}: {was}, {now}")
                    continue
                expect(now < 0.95 * was, f"wheel does not zoom {axis}: {was} to {now}")
                kept = abs((before[low] + part * was) - (after[low] + part * now))
                expect(kept < 0.02 * was, f"zoom moves what is under the pointer by {kept} ({axis})")
        before = self.view()
        self.chromium.drag(x, y, x + 0.1 * width, y + 0.05 * height)
        after = self.view()
        moved = (before["x0"] - after["x0"]) / (before["x1"] - before["x0"])
        expect(0.05 < moved < 0.15, f"a drag by 0.1 of the width moves by {moved}")
        expect(after["y0"] > before["y0"], "a drag downwards shows higher addresses")
        self.js("document.getElementById('reset').click()")
        self.chromium.settle()
        same(self.view(), whole, "view after reset")
        self.js("llmcPlan.picture.canvas.focus()")
        self.chromium.key("+", "+")
        expect(self.view()["x1"] - self.view()["x0"] < whole["x1"], "+ does not zoom")
        self.chromium.key("0", "0")
        same(self.view(), whole, "view after key 0")

    def compare_selection(self):
        """A row leads to its rectangle, a click on the rectangle back to the row, and the pointer
        finds its name."""
        shown = self.js("llmcPlan.table.shown")
        # Of those that live, some of each size.
        alive = [i for i in shown if self.report["buffers"][i]["start"] < self.report["buffers"][i]["end"]]
        for i in alive[:: max(1, len(alive) // 9)]:
            buffer = self.report["buffers"][i]
            self.js("llmcPlan.choose(-1)")
            self.js(f"llmcPlan.choose({i}, {{zoom: true}})")
            self.chromium.settle()
            x, y, tall = self.js(
                f"""((a, i) => {{ const r = a.picture.canvas.getBoundingClientRect(), p = a.picture, m = a.model;
                  const low = p.yOf(m.offset[i]), high = p.yOf(m.offset[i] + m.size[i]);
                  const middle = (Math.max(m.start[i], a.view.x0) + Math.min(m.endOf(i, a.scene.entry), a.view.x1)) / 2;
                  return [r.left + p.xOf(middle), r.top + (low + high) / 2, low - high]; }})(llmcPlan, {i})"""
            )
            entry = self.js("llmcPlan.model.entries[llmcPlan.scene.entry].name")
            expect(buffer["entry"] in (None, entry), f"{buffer['name']}: its entry is not shown")
            if tall < 2:
                continue  # thinner than a pixel and a half even so
            self.js("llmcPlan.choose(-1)")
            self.chromium.click(x, y)
            same(self.js("llmcPlan.chosen"), i, f"click on {buffer['name']}")
            row = self.js("document.querySelector('.row.chosen .c-name').textContent")
            same(row, buffer["name"], "name in the chosen row")
            tip = self.js("document.getElementById('tip').innerText")
            expect(buffer["name"] in tip, f"the note under the pointer says {tip!r}")
            expect(f"{buffer['offset']:,}" in tip, f"the note tells no offset: {tip!r}")
        self.js("llmcPlan.choose(-1); llmcPlan.show(0, 0); llmcPlan.table.rows.focus()")
        self.chromium.key("ArrowDown")
        same(self.js("llmcPlan.chosen"), self.js("llmcPlan.table.shown[0]"), "row after ArrowDown")
        # Choosing a buffer may have gone to its entry.
        self.js("llmcPlan.choose(-1); llmcPlan.table.rows.scrollTop = 0; llmcPlan.show(0, 0)")

    def compare_legend(self):
        """Hiding a kind takes it out of the curve and of the picture."""
        used = [g for g in GROUPS if any(Oracle.group(b) == g for b in self.report["buffers"])]
        name = self.report["entries"][0]["name"]
        for group in used[:2]:
            self.js(f"document.querySelector('[data-group={group}]').click()")
            live = self.oracle.live(name, "device", without=group)
            same(self.js("llmcPlan.curve.peakBytes"), max(live), f"peak without {group}")
            self.js(f"document.querySelector('[data-group={group}]').click()")
        for index, entry in enumerate(self.report["entries"]):
            self.js(f"document.querySelector('#entries [data-index=\"{index}\"]').click()")
            live = self.oracle.live(entry["name"], "device")
            same(self.js("llmcPlan.curve.peakBytes"), max(live), f"peak of {entry['name']}")
        self.js("document.getElementById('peak').click()")
        self.chromium.settle()
        wanted = self.oracle.living(self.report["entries"][-1]["name"], live.index(max(live)))
        listed = self.js("llmcPlan.table.shown.length")
        same(listed, len(wanted), "buffers listed by the button of the peak")
        self.js("llmcPlan.search(''); llmcPlan.show(0, 0)")

    # ---- what it looks like ----

    def compare_pixels(self, dark, width, closer):
        """Rectangles lie where the plan says, in the colour of their kind; keeps the picture."""
        self.open(dark=dark, width=width)
        if closer:
            self.chromium.screenshot(SHOTS / f"{self.name}-{'dark' if dark else 'light'}-{width}-whole.png")
            self.js(
                """(a => { const at = a.scene.peakStep, [y0, y1] = a.scene.moving;
                  a.setView({x0: at - 60, x1: at + 60, y0, y1}); })(llmcPlan)"""
            )
            self.chromium.settle()
        wide = self.js("[document.documentElement.scrollWidth, innerWidth]")
        expect(wide[0] <= wide[1], f"the page is {wide[0]} wide in a window of {wide[1]}")
        mode = "dark" if dark else "light"
        png = self.chromium.screenshot(SHOTS / f"{self.name}-{mode}-{width}.png")
        points = self.js(
            """(a => { const r = a.picture.canvas.getBoundingClientRect(), s = a.scene, p = a.picture, found = [];
              const peak = p.xOf(s.peakStep + 0.5);
              for (let k = 0; k < s.ids.length; ++k) {
                const left = Math.max(p.box.left, p.xOf(s.x0[k])), right = Math.min(p.box.right, p.xOf(s.x1[k]));
                const low = Math.min(p.box.bottom, p.yOf(s.y0[k])), high = Math.max(p.box.top, p.yOf(s.y1[k]));
                if (right - left >= 7 && low - high >= 6 && Math.abs(right - 4 - peak) > 3)
                  found.push([s.ids[k], r.left + right - 4, r.top + (low + high) / 2]);
              }
              return found; })(llmcPlan)"""
        )
        expect(points, "no rectangle is large enough to be looked at")
        points = points[:: max(1, len(points) // 60)]
        colours = self.js("llmcPlan.theme.shades")
        background = self.js("llmcPlan.theme.bg")
        seen = self.chromium.pixels(png, [(2, 2)] + [point[1:] for point in points])
        same("#%02x%02x%02x" % tuple(seen[0]), background, "colour of the page")
        kinds = set()
        for (i, _, _), found in zip(points, seen[1:]):
            group = GROUPS.index(Oracle.group(self.report["buffers"][i]))
            allowed = [[c & 255, c >> 8 & 255, c >> 16 & 255] for c in colours[group]]
            near = any(max(abs(a - b) for a, b in zip(found, c)) <= 2 for c in allowed)
            expect(near, f"{self.report['buffers'][i]['name']} is {found}, its kind {allowed}")
            kinds.add(GROUPS[group])
        return tuple(seen[0]), kinds

    def look(self, closer=False):
        backgrounds, kinds = set(), set()
        for dark in (False, True):
            for width in (WIDE, NARROW):
                background, found = self.compare_pixels(dark, width, closer)
                backgrounds.add(background)
                kinds |= found
        same(len(backgrounds), 2, "backgrounds of light and dark")
        return kinds

    def frames(self):
        """Milliseconds of 120 frames that zoom in and out again: computing, and between frames."""
        return self.js(
            """new Promise(done => {
              const a = llmcPlan, work = [], gaps = [], count = 120;
              const whole = a.picture.wholeView();
              let last = 0, at = 0;
              const frame = now => {
                if (last) gaps.push(now - last);
                last = now;
                const z = 1 - 0.8 * Math.sin(at / count * Math.PI);
                const x = 0.3 * whole.x1 * (1 - z), y = 0.78 * whole.y1 * (1 - z);
                const began = performance.now();
                a.view = {x0: x, x1: x + whole.x1 * z, y0: y, y1: y + whole.y1 * z};
                a.drawNow();
                work.push(performance.now() - began);
                if (++at < count) requestAnimationFrame(frame);
                else {
                  const part = (list, p) => [...list].sort((u, v) => u - v)[Math.floor(p * (list.length - 1))];
                  done([part(work, 0.5), part(work, 0.95), part(gaps, 0.5), part(gaps, 0.95)]);
                }
              };
              requestAnimationFrame(frame);
            })"""
        )


def check_page(page, closer=False):
    text = page.file.read_text()
    shell = re.sub(r'(?s)<script type="application/json".*?</script>', "", text)
    expect("http://" not in shell and "https://" not in shell, "the page names an address")
    same(len(re.findall("</script>", text)), 2, "ends of scripts")
    page.open()
    page.compare_data()
    page.compare_live()
    page.compare_words()
    page.compare_search()
    page.compare_sorting()
    page.open()
    page.compare_zoom()
    page.compare_selection()
    page.compare_legend()
    page.silent()
    kinds = page.look(closer)
    count = len(page.report["buffers"])
    return f"{count:,} buffers, seen in the picture: {', '.join(sorted(kinds))}"


def model_page(chromium, tool, folder, model, tight):
    tool.need()
    plan = folder / f"{model.name}{'-tight' if tight else ''}.plan"
    budget = "unbounded"
    if tight:
        refused = tool.run("compile", model.file(), "-o", plan, "--vram", 4096, "--json")
        same(refused.returncode, 3, "status of a budget of one page")
        minimum = suite.parse_json(refused.stdout, "compile")["minimum_bytes"]
        budget = int(minimum * 1.1)
    tool.good("compile", model.file(), "-o", plan, "--vram", budget)
    return check_page(Page(chromium, tool, plan, plan.with_suffix(".html")))


def synthetic_page(chromium, tool, folder, options):
    maker = options.bin_dir / "llmc-synthetic-plan"
    if not maker.exists():
        raise Skip(f"{maker} is not built")
    plan = folder / f"synthetic-{SYNTHETIC}.plan"
    subprocess.run([maker, str(SYNTHETIC), plan], check=True, timeout=60)
    page = Page(chromium, tool, plan, plan.with_suffix(".html"))
    words = check_page(page, closer=True)
    names = [b["name"] for b in page.report["buffers"]]
    expect(any("</script>" in name for name in names), "no name tries to end the script")
    words += f"; {page.file.stat().st_size / 1e6:.1f} MB"
    for scale in (1, 2):
        page.open(scale=scale)
        work, work95, gap, gap95 = page.frames()
        words += (
            f"; at {scale} device pixels per pixel a frame takes {work:.1f} ms (95 %: {work95:.1f}),"
            f" {gap:.1f} ms from one to the next (95 %: {gap95:.1f})"
        )
    return words


def distinct_colours():
    """The kinds can be told apart in both modes, whatever colours the reader sees."""
    css = (REPO / "tools" / "llmc" / "inspect" / "page.css").read_text()
    notes = []
    for mode, text in zip(("light", "dark"), css.split("@media (prefers-color-scheme: dark)")):
        colours = {g: re.search(rf"--{g}: (#[0-9a-f]{{6}});", text)[1] for g in GROUPS}
        distance, deficiency, one, other = closest_colours(colours)
        words = f"{mode}: {one} and {other} are {distance} apart with deficiency {deficiency}"
        expect(distance >= 20, words)
        notes.append(words)
    return "; ".join(notes)


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    path = browser.find()
    if not path:
        print("SKIP html: no Chromium (Debian package chromium)\n0 passed, 0 failed, 1 skipped")
        return 0
    tests.add("colours", distinct_colours)
    models = {model.name: model for model in DECODERS}
    with browser.Browser(path) as chromium:
        for name in ("example", "stories-dynamo"):
            for tight in (False, True):
                label = f"{name}-{'tight' if tight else 'unbounded'}"
                tests.add(label, model_page, chromium, tool, folder, models[name], tight)
        tests.add("synthetic", synthetic_page, chromium, tool, folder, options)
        return tests.run()


if __name__ == "__main__":
    sys.exit(main())
