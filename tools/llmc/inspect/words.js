// What the page says: header, legend, details of a buffer, tooltips.

function swatch(group) {
  const made = element("i", "swatch");
  made.style.background = `var(--${GROUPS[group].key})`;
  return made;
}

/** Rows of [label, text, is a number] as a description list. */
function facts(rows) {
  const list = element("dl");
  for (const [label, text, number] of rows) {
    list.append(element("dt", "", label), element("dd", number ? "num" : "", text));
  }
  return list;
}

function bufferFacts(app, i) {
  const { model } = app;
  const entry = model.entryOf(i, app.scene.entry);
  const rows = [
    ["Kind", `${model.kinds[model.kind[i]]}, ${model.tiers[model.tier[i]]}`],
    ["Size", `${formatBytes(model.size[i])}${model.size[i] >= 1024 ? ` (${formatCount(model.size[i])} bytes)` : ""}`],
    ["Offset", `${formatCount(model.offset[i])} – ${formatCount(model.offset[i] + model.size[i])}`],
  ];
  if (model.entry[i] < 0) {
    rows.push(["Lives", "always, in every entry"]);
  } else {
    const steps = model.end[i] - model.start[i];
    rows.push([
      "Lives",
      `[${formatCount(model.start[i])}, ${formatCount(model.end[i])}) of ${model.entries[entry].name}, ` +
        `${formatCount(steps)} step${steps === 1 ? "" : "s"}`,
    ]);
    if (steps > 0) {
      rows.push(["From", model.stepText(entry, model.start[i])]);
      rows.push(["To", model.stepText(entry, model.end[i] - 1)]);
    }
  }
  return rows;
}

/** A floating note beside the pointer. */
class Tip {
  constructor() {
    this.node = document.getElementById("tip");
    this.shows = "";
  }

  hide() {
    this.node.hidden = true;
    this.shows = "";
  }

  /** `make` builds the content if `key` is not what is shown already. */
  show(key, x, y, make) {
    if (this.shows !== key) {
      this.node.replaceChildren(...make());
      this.shows = key;
    }
    this.node.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.node;
    const left = x + 16 + width + 12 > innerWidth ? x - 16 - width : x + 16;
    const top = y + 16 + height + 8 > innerHeight ? y - 12 - height : y + 16;
    this.node.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  }

  showBuffer(app, i, x, y) {
    this.show(`buffer ${i} ${app.scene.entry}`, x, y, () => {
      const name = element("div", "name");
      name.append(swatch(app.model.group[i]), app.model.names[i]);
      return [name, facts(bufferFacts(app, i))];
    });
  }

  showStep(app, step, x, y) {
    const { scene, model } = app;
    this.show(`step ${step} ${scene.entry} ${scene.tier}`, x, y, () => {
      const name = element("div", "name", `Step ${formatCount(step)}`);
      const operation = `${model.stepOperation(scene.entry, step)} ${model.stepName(scene.entry, step)}`.trim();
      const rows = GROUPS.map((group, g) => [group.label, scene.live[g][step]])
        .filter(([, bytes]) => bytes > 0)
        .map(([label, bytes]) => [label, formatBytes(bytes), true]);
      const list = facts(rows);
      const count = scene.liveCount(step);
      list.append(element("dt", "total", `${formatCount(count)} live`), element("dd", "num total", formatBytes(scene.total[step])));
      for (const [label, wanted] of [["Writes", (a) => a !== 0], ["Reads", (a) => a !== 1]]) {
        const names = model.operandsOf(scene.entry, step)
          .filter((operand) => wanted(operand.access))
          .map((operand) => app.picture.shortName(operand.buffer));
        if (names.length > 0) {
          const more = names.length > 3 ? `, ${names.length - 3} more` : "";
          list.append(element("dt", "", label), element("dd", "", names.slice(0, 3).map((n) => shorten(n, 36)).join(", ") + more));
        }
      }
      const what = element("div", "", operation);
      what.style.overflowWrap = "anywhere";
      return operation ? [name, what, list] : [name, list];
    });
  }
}

/** The strip between picture and list. */
function showDetails(app) {
  const node = document.getElementById("details");
  if (app.chosen < 0) {
    node.replaceChildren(element("div", "hint", "Select a rectangle or a row to see where, when and why it lives."));
    return;
  }
  const name = element("div", "name");
  const words = element("span");
  fillName(words, app.model.names[app.chosen]);
  name.append(swatch(app.model.group[app.chosen]), words);
  const row = element("div", "facts");
  const steps = element("div", "facts steps");
  for (const [label, text] of bufferFacts(app, app.chosen)) {
    const item = element("span", "", `${label} `);
    const value = element("b");
    fillName(value, text);
    item.append(value);
    (label === "From" || label === "To" ? steps : row).append(item);
  }
  node.replaceChildren(name, row, steps);
}

function showTitle(model) {
  const { summary, about } = model;
  document.getElementById("model").textContent = summary.model || "plan";
  const words = [`memory plan for ${summary.target} (${summary.arch})`];
  if (summary.context > 0) {
    words.push(`context ${formatCount(summary.context)}, batch ${formatCount(about.batch)}`);
  }
  if (about.producer) {
    words.push(about.producer);
  }
  const node = document.getElementById("about");
  node.textContent = words.join(" · ");
  node.title = about.options;
}

function showFigures(app) {
  const { model, scene } = app;
  const { summary } = model;
  const entry = model.entries[scene.entry];
  const budget = summary.budget_bytes;
  const bound = model.lowerBound(0);
  const split = (text) => text.split(" ");
  const seconds = entry.predicted_seconds ?? 0;
  const list = [
    ["Device memory", split(formatBytes(summary.device_bytes)),
      budget === null ? "no budget" : `of a budget of ${formatBytes(budget)}`],
    ["Arena ÷ lower bound", [formatRatio(summary.arena_bytes, bound), ""],
      `${formatBytes(summary.arena_bytes)} ÷ ${formatBytes(bound)}`],
    ["Activations ÷ lower bound", [formatRatio(summary.activation_peak_bytes, summary.lower_bound_bytes), ""],
      `${formatBytes(summary.activation_peak_bytes)} ÷ ${formatBytes(summary.lower_bound_bytes)}`],
    [`Peak of ${entry.name}${scene.tier > 0 ? `, ${model.tiers[scene.tier]}` : ""}`, split(formatBytes(scene.peakBytes)), `step ${formatCount(scene.peakStep)} of ${formatCount(scene.steps)}`],
    [`Streamed per ${entry.name}`, split(formatBytes(entry.streamed_bytes ?? 0)), summary.weights_bytes > 0 ? `of ${formatBytes(summary.weights_bytes)} weights` : ""],
    [`Predicted ${entry.name}`, seconds > 0 ? split(formatSeconds(seconds)) : ["–", ""],
      entry.bound_by ? `bound by ${entry.bound_by}` : ""],
  ];
  document.getElementById("figures").replaceChildren(
    ...list.map(([label, [value, unit], sub]) => {
      const item = element("div");
      const big = element("dd", "big", value);
      if (unit) {
        big.append(" ", element("small", "", unit));
      }
      const under = element("dd", "sub", sub);
      item.append(element("dt", "", shorten(label, 40)), big, under);
      return item;
    }),
  );
}

/** Parts of device_bytes on one bar, with the budget and the minimum. */
function showBar(model) {
  const { summary } = model;
  const budget = summary.budget_bytes;
  const device = summary.device_bytes;
  const inScale = budget !== null && budget <= 2 * device;
  const whole = Math.max(device, inScale ? budget : 0, summary.minimum_bytes, 1);
  const bar = document.getElementById("bar");
  const parts = element("div", "parts");
  for (const part of partsOf(summary)) {
    const piece = element("i");
    piece.style.width = `${(100 * part.bytes) / whole}%`;
    piece.style.background = `var(--${part.key})`;
    piece.title = `${part.label} ${formatBytes(part.bytes)}`;
    parts.append(piece);
  }
  const marks = [["minimum", summary.minimum_bytes]];
  if (inScale) {
    marks.push(["budget", budget]);
  }
  bar.replaceChildren(parts);
  for (const [kind, bytes] of marks) {
    const mark = element("div", `mark ${kind}`);
    mark.style.left = `${(100 * bytes) / whole}%`;
    const label = element("div", `label ${kind}`, `${kind === "minimum" ? "smallest budget" : kind} ${formatBytes(bytes)}`);
    label.dataset.place = String(bytes / whole);
    bar.append(mark, label);
  }
  bar.setAttribute("aria-label", partsOf(summary).map((p) => `${p.label} ${formatBytes(p.bytes)}`).join(", "));
}

/** Labels over their marks, inside the bar's width, none over another. */
function placeBarLabels() {
  const bar = document.getElementById("bar");
  let right = bar.clientWidth;
  for (const label of [...bar.querySelectorAll(".label")].reverse()) {
    const width = label.offsetWidth;
    const wanted = Number(label.dataset.place) * bar.clientWidth - width / 2;
    const left = Math.min(Math.max(wanted, 0), right - width);
    label.style.left = `${left}px`;
    right = left - 12;
  }
}

function partsOf(summary) {
  const parts = GROUPS.map((group, index) => ({ ...group, index, bytes: summary[group.total] }));
  parts.push({ key: "reserve", label: "Reserve", index: -1, bytes: summary.reserve_bytes });
  return parts.filter((part) => part.bytes > 0);
}

/** The legend; pressing a kind hides it from picture and curve. */
function showLegend(app) {
  const { summary } = app.model;
  const used = new Set(app.model.group);
  const parts = GROUPS.map((group, index) => ({ ...group, index, bytes: summary[group.total] }))
    .filter((part) => part.bytes > 0 || used.has(part.index));
  if (summary.reserve_bytes > 0) {
    parts.push({ key: "reserve", label: "Reserve", index: -1, bytes: summary.reserve_bytes });
  }
  document.getElementById("legend").replaceChildren(
    ...parts.map((part) => {
      const item = element(part.index < 0 ? "div" : "button", part.index < 0 ? "fixed" : "");
      const colour = element("i");
      colour.style.background = `var(--${part.key})`;
      const words = part.bytes > 0
        ? `${formatBytes(part.bytes)} · ${formatPercent(part.bytes, summary.device_bytes)}`
        : "shares the arena";
      item.append(colour, element("b", "", part.label), element("span", "", words));
      if (part.index >= 0) {
        item.type = "button";
        item.dataset.group = part.key;
        item.setAttribute("aria-pressed", "true");
        item.addEventListener("click", () => app.toggleGroup(part.index, item));
      }
      return item;
    }),
  );
}
