// Numbers as people read them, and axis ticks. Sizes are bytes.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 -> "1.50 KiB"; below a KiB the bytes themselves. */
function formatBytes(bytes, digits = 2) {
  let unit = 0;
  let value = bytes;
  while (Math.abs(value) >= 1024 && unit + 1 < UNITS.length) {
    value /= 1024;
    ++unit;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Writes ticks at multiples of `step` up to `high`: all in the largest unit that is exact. */
function tickWriter(step, high) {
  let unit = 0;
  let scale = 1;
  while (high >= scale * 1024 && unit + 1 < UNITS.length) {
    scale *= 1024;
    ++unit;
  }
  while (unit > 0 && (step * 100) % scale !== 0) {
    scale /= 1024;
    --unit;
  }
  let digits = 0;
  while (digits < 2 && (step * 10 ** digits) % scale !== 0) {
    ++digits;
  }
  const format = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (bytes) => (bytes === 0 ? "0" : `${format.format(bytes / scale)} ${UNITS[unit]}`);
}

const grouping = new Intl.NumberFormat("en-US");
function formatCount(value) {
  return grouping.format(value);
}

function formatPercent(part, whole) {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–";
}

function formatRatio(part, whole) {
  return whole > 0 ? (part / whole).toFixed(3) : "–";
}

function formatSeconds(value) {
  if (value < 1e-3) {
    return `${(value * 1e6).toFixed(1)} µs`;
  }
  return value < 1 ? `${(value * 1e3).toFixed(2)} ms` : `${value.toFixed(2)} s`;
}

/** Ticks of [low, high] at multiples of a power of two (times 1, 2 or 4). */
function byteTicks(low, high, most) {
  let step = 1;
  while ((high - low) / step > most) {
    step *= 2;
  }
  return multiples(low, high, step);
}

/** Ticks of whole steps at 1, 2, 5 times a power of ten. */
function stepTicks(low, high, most) {
  let step = 1;
  for (let i = 0; (high - low) / step > most; ++i) {
    step *= [2, 2.5, 2][i % 3];
  }
  return multiples(low, high, step);
}

function multiples(low, high, step) {
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; ++i) {
    ticks.push(i * step);
  }
  return { step, ticks };
}

/** Long names keep both ends; the end tells more than the middle. */
function shorten(text, length) {
  if (text.length <= length) {
    return text;
  }
  const head = Math.max(1, Math.floor((length - 1) * 0.4));
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
}

/** Of a path the last parts that fit, of other names both ends. */
function shortenPath(text, length) {
  const slash = text.length > length ? text.indexOf("/", text.length - length + 1) : -1;
  return slash < 0 ? shorten(text, length) : `…${text.slice(slash)}`;
}

/** Fills a node with a name whose end stays in sight when there is no room. */
function fillName(node, text) {
  const tail = 18;
  node.classList.add("split");
  if (node.childNodes.length !== 2) {
    node.replaceChildren(element("span"), element("span"));
  }
  const line = text.replace(/[\u0000-\u001f]/g, "·");
  const at = line.length > tail + 6 ? line.length - tail : line.length;
  node.firstChild.textContent = line.slice(0, at);
  node.lastChild.textContent = line.slice(at);
  node.title = text;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}
