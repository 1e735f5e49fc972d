// Colours come from the style sheet, so that there is one place for both modes.

class Theme {
  constructor() {
    this.query = matchMedia("(prefers-color-scheme: dark)");
    this.read();
  }

  onChange(listener) {
    this.query.addEventListener("change", () => {
      this.read();
      listener();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const names = ["bg", "surface", "ink", "muted", "faint", "line", "grid", "accent", "budget", "bound"];
    for (const name of names) {
      this[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.font = getComputedStyle(document.body).fontFamily;
    this.groups = GROUPS.map((group) => style.getPropertyValue(`--${group.key}`).trim());
    const surface = channels(this.surface);
    // Three shades of each, so that touching buffers can be told apart, and the
    // same faded, for what a search leaves out.
    this.shades = this.groups.map((text) => {
      const full = channels(text);
      return [0, 0.1, 0.2].map((part) => pixel(mix(full, surface, part)));
    });
    this.faded = this.groups.map((text) => pixel(mix(channels(text), surface, 0.8)));
    // Names on a rectangle: dark or light, whichever has the greater contrast.
    this.onGroup = this.groups.map((text) => {
      const [r, g, b] = channels(text).map((c) => (c / 255) ** 2.2);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.197 ? "#14171b" : "#ffffff";
    });
  }
}

/** "#rrggbb" -> [r, g, b] */
function channels(text) {
  const value = parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function mix(from, to, part) {
  return from.map((value, i) => Math.round(value + (to[i] - value) * part));
}

/** As a word of ImageData; every machine with a browser is little-endian. */
function pixel([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** A canvas sized to its box in device pixels; returns its 2D context. */
function fitCanvas(canvas, width, height, ratio) {
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/**
 * Horizontal lines, and above the box, to the right, what each of them is.
 * `lines` are {value, label, colour, dash}; yOf maps a value. A line above the
 * box is named with an arrow, one below not at all.
 */
function drawLines(context, theme, box, lines, yOf) {
  context.font = `11px ${theme.font}`;
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.lineWidth = 1.5;
  let right = box.right;
  for (const line of [...lines].sort((a, b) => b.value - a.value)) {
    const y = yOf(line.value);
    if (y > box.bottom + 1) {
      continue;
    }
    const stroke = (from, to, at) => {
      context.strokeStyle = line.colour;
      context.setLineDash(line.dash);
      context.beginPath();
      context.moveTo(from, at);
      context.lineTo(to, at);
      context.stroke();
      context.setLineDash([]);
    };
    const inside = y >= box.top - 1;
    if (inside) {
      stroke(box.left, box.right, Math.round(y) + 0.25);
    }
    const label = inside ? line.label : `↑ ${line.label}`;
    right -= context.measureText(label).width;
    context.fillStyle = line.colour;
    context.fillText(label, right, box.top - 10);
    if (inside) {
      right -= 24;
      stroke(right, right + 18, box.top - 14);
    }
    right -= 16;
  }
}
