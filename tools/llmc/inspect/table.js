// The list of buffers: searched, sorted, and drawn only where it is looked at.

const ROW = 26; // CSS pixels, as in the style sheet

const COLUMNS = [
  { key: "name", label: "Name", by: (m) => (i) => m.names[i] },
  { key: "kind", label: "Kind", by: (m) => (i) => m.kinds[m.kind[i]] },
  { key: "entry", label: "Entry", by: (m) => (i) => m.entry[i] },
  { key: "tier", label: "Tier", by: (m) => (i) => m.tier[i] },
  { key: "offset", label: "Offset", number: true, by: (m) => (i) => m.offset[i] },
  { key: "size", label: "Size", number: true, by: (m) => (i) => m.size[i], descending: true },
  { key: "start", label: "Start", number: true, by: (m) => (i) => m.start[i] },
  { key: "end", label: "End", number: true, by: (m) => (i) => m.end[i] },
];

/** "64k", "1.5MiB", "100" -> bytes; NaN if it is no size. */
function parseSize(text) {
  const match = /^([\d.]+)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  const power = match ? " kmgt".indexOf(match[2].toLowerCase() || " ") : -1;
  return power < 0 ? NaN : Number(match[1]) * 1024 ** power;
}

/** One word of a query -> a test of a buffer. */
function wordTest(model, word, haystack) {
  const field = /^(kind|entry|tier|name):(.*)$/.exec(word);
  if (field) {
    const text = {
      kind: (i) => model.kinds[model.kind[i]],
      entry: (i) => (model.entry[i] < 0 ? "all" : model.entries[model.entry[i]].name.toLowerCase()),
      tier: (i) => model.tiers[model.tier[i]],
      name: (i) => model.names[i].toLowerCase(),
    }[field[1]];
    return (i) => text(i).includes(field[2]);
  }
  const step = /^step:(\d+)$/.exec(word);
  if (step) {
    const at = Number(step[1]);
    return (i) => model.entry[i] < 0 || (model.start[i] <= at && at < model.end[i]);
  }
  const size = /^size([<>]=?|[:=])(.+)$/.exec(word);
  if (size && !Number.isNaN(parseSize(size[2]))) {
    const bytes = parseSize(size[2]);
    return {
      "<": (i) => model.size[i] < bytes,
      "<=": (i) => model.size[i] <= bytes,
      ">": (i) => model.size[i] > bytes,
      ">=": (i) => model.size[i] >= bytes,
    }[size[1]] ?? ((i) => model.size[i] === bytes);
  }
  return (i) => haystack[i].includes(word);
}

class Table {
  constructor(app) {
    this.app = app;
    this.head = document.getElementById("head");
    this.rows = document.getElementById("rows");
    this.space = document.getElementById("space");
    this.count = document.getElementById("count");
    this.pool = [];
    this.sorted = { key: "size", descending: true };
    this.query = "";
    this.here = false;
    const { model } = app;
    this.haystack = model.names.map((name, i) =>
      [name, model.kinds[model.kind[i]], GROUPS[model.group[i]].key, this.entryName(i), model.tiers[model.tier[i]]]
        .join("\n").toLowerCase(),
    );
    this.drawHead();
    this.listen();
  }

  entryName(i) {
    const { model } = this.app;
    return model.entry[i] < 0 ? "all" : model.entries[model.entry[i]].name;
  }

  drawHead() {
    for (const column of COLUMNS) {
      const cell = element("div", `c-${column.key}${column.number ? " num" : ""}`);
      cell.setAttribute("role", "columnheader");
      const button = element("button", "", column.label);
      button.type = "button";
      button.addEventListener("click", () => this.sortBy(column.key));
      cell.append(button);
      this.head.append(cell);
    }
  }

  listen() {
    this.rows.addEventListener("scroll", () => this.draw(), { passive: true });
    this.rows.addEventListener("keydown", (event) => this.key(event));
    this.rows.addEventListener("pointermove", (event) => {
      const row = event.target.closest(".row");
      this.app.point(row ? Number(row.dataset.buffer) : -1);
    });
    this.rows.addEventListener("pointerleave", () => this.app.point(-1));
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) {
        this.app.choose(Number(row.dataset.buffer), { zoom: true });
      }
    });
  }

  sortBy(key) {
    const column = COLUMNS.find((c) => c.key === key);
    const same = this.sorted.key === key;
    this.sorted = { key, descending: same ? !this.sorted.descending : Boolean(column.descending) };
    this.update();
  }

  /** Which buffers the query leaves: null for all of them. */
  search(query) {
    this.query = query;
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const { model } = this.app;
    this.matches = null;
    if (words.length > 0) {
      const tests = words.map((word) => wordTest(model, word, this.haystack));
      this.matches = Uint8Array.from({ length: model.count }, (_, i) =>
        tests.every((test) => test(i)) ? 1 : 0,
      );
    }
    return this.matches;
  }

  /** Filters and sorts again. */
  update() {
    const { model, scene } = this.app;
    const shown = [];
    let bytes = 0;
    for (let i = 0; i < model.count; ++i) {
      const here =
        !this.here ||
        (model.tier[i] === scene.tier && (model.entry[i] < 0 || model.entry[i] === scene.entry));
      if (here && (!this.matches || this.matches[i])) {
        shown.push(i);
        bytes += model.size[i];
      }
    }
    const column = COLUMNS.find((c) => c.key === this.sorted.key);
    const value = column.by(model);
    const sign = this.sorted.descending ? -1 : 1;
    const keys = new Array(model.count);
    for (const i of shown) {
      keys[i] = value(i);
    }
    shown.sort((a, b) => {
      const x = keys[a];
      const y = keys[b];
      return x < y ? -sign : x > y ? sign : a - b;
    });
    this.shown = shown;
    this.place = new Int32Array(model.count).fill(-1);
    shown.forEach((i, at) => {
      this.place[i] = at;
    });
    this.space.style.height = `${shown.length * ROW}px`;
    const all = shown.length === model.count;
    this.count.textContent =
      `${formatCount(shown.length)}${all ? "" : ` of ${formatCount(model.count)}`} buffers, ${formatBytes(bytes)}`;
    this.head.childNodes.forEach((cell, i) => {
      if (COLUMNS[i].key === this.sorted.key) {
        cell.setAttribute("aria-sort", this.sorted.descending ? "descending" : "ascending");
      } else {
        cell.removeAttribute("aria-sort");
      }
    });
    document.getElementById("grid").setAttribute("aria-rowcount", String(shown.length + 1));
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.rows.scrollTop / ROW) - 2);
    const last = Math.min(this.shown.length, first + Math.ceil(this.rows.clientHeight / ROW) + 5);
    while (this.pool.length < last - first) {
      this.pool.push(this.makeRow());
    }
    this.pool.forEach((row, k) => {
      const at = first + k;
      row.hidden = at >= last;
      if (at < last) {
        this.fill(row, this.shown[at], at);
      }
    });
  }

  makeRow() {
    const row = element("div", "row");
    row.setAttribute("role", "row");
    for (const column of COLUMNS) {
      const cell = element("span", `c-${column.key}${column.number ? " num" : ""}`);
      cell.setAttribute("role", "gridcell");
      row.append(cell);
    }
    const swatch = element("i", "swatch");
    row.children[1].append(swatch, document.createTextNode(""));
    this.rows.append(row);
    return row;
  }

  fill(row, i, at) {
    const { app } = this;
    const { model } = app;
    row.style.transform = `translateY(${at * ROW}px)`;
    row.classList.toggle("chosen", i === app.chosen);
    if (row.dataset.buffer === String(i) && row.dataset.at === String(at)) {
      return;
    }
    row.dataset.buffer = String(i);
    row.dataset.at = String(at);
    row.id = `row-${at}`;
    row.setAttribute("aria-rowindex", String(at + 2));
    const [name, kind, entry, tier, offset, size, start, end] = row.children;
    fillName(name, model.names[i]);
    kind.firstChild.style.background = `var(--${GROUPS[model.group[i]].key})`;
    kind.lastChild.data = model.kinds[model.kind[i]];
    entry.textContent = this.entryName(i);
    entry.classList.toggle("dim", model.entry[i] < 0);
    tier.textContent = model.tiers[model.tier[i]];
    offset.textContent = formatCount(model.offset[i]);
    size.textContent = formatBytes(model.size[i]);
    size.title = `${formatCount(model.size[i])} bytes`;
    const always = model.entry[i] < 0;
    start.textContent = always ? "always" : formatCount(model.start[i]);
    start.classList.toggle("dim", always);
    end.textContent = always ? "" : formatCount(model.end[i]);
  }

  /** Brings the chosen buffer's row into sight. */
  reveal() {
    const at = this.app.chosen >= 0 ? this.place[this.app.chosen] : -1;
    this.rows.setAttribute("aria-activedescendant", at >= 0 ? `row-${at}` : "");
    if (at >= 0) {
      const top = at * ROW;
      const { scrollTop, clientHeight } = this.rows;
      if (top < scrollTop || top + ROW > scrollTop + clientHeight) {
        this.rows.scrollTop = top - Math.floor(clientHeight / 2 / ROW) * ROW;
      }
    }
    this.draw();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.rows.clientHeight / ROW) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" && this.app.chosen >= 0) {
      this.app.choose(this.app.chosen, { zoom: true });
    } else if (event.key in moves && this.shown.length > 0) {
      const from = this.app.chosen >= 0 ? this.place[this.app.chosen] : -1;
      const to = from < 0 ? 0 : from + moves[event.key];
      const at = Math.min(Math.max(to, 0), this.shown.length - 1);
      this.app.choose(this.shown[at], { zoom: false });
    } else {
      return;
    }
    event.preventDefault();
  }
}
