// The picture: steps to the right, addresses upwards, a rectangle per buffer.

const GUTTER = 78; // for the labels of the address axis, in CSS pixels
const MARGIN = { top: 24, right: 14, bottom: 10 };
const LEAST_STEPS = 2;
const LEAST_BYTES = 64;
const MOST_LABELS = 400;
const LEAST_LABEL = 48; // CSS pixels; less says nothing

class Picture {
  /** `app` holds the state: scene, view, hidden, matches, chosen, hover. */
  constructor(app) {
    this.app = app;
    this.canvas = document.getElementById("picture");
    this.overlay = document.getElementById("overlay");
    this.raster = new Raster();
    this.widths = new Map(); // measured names
    this.figures = { painted: 0, milliseconds: 0 };
  }

  layout() {
    const pane = this.canvas.parentElement;
    this.ratio = Math.min(devicePixelRatio || 1, 3);
    this.width = pane.clientWidth;
    this.height = pane.clientHeight;
    this.box = {
      left: GUTTER,
      right: Math.max(GUTTER + 40, this.width - MARGIN.right),
      top: MARGIN.top,
      bottom: this.height - MARGIN.bottom,
    };
    this.widths.clear();
  }

  /** Everything there is, with air above. */
  wholeView() {
    const scene = this.app.scene;
    return { x0: 0, x1: scene.steps, y0: 0, y1: scene.top };
  }

  xOf(step) {
    const { box, app } = this;
    return box.left + ((step - app.view.x0) / (app.view.x1 - app.view.x0)) * (box.right - box.left);
  }

  yOf(address) {
    const { box, app } = this;
    return box.bottom - ((address - app.view.y0) / (app.view.y1 - app.view.y0)) * (box.bottom - box.top);
  }

  /** The place in the data under a point of the canvas. */
  placeAt(x, y) {
    const { box, app } = this;
    const { x0, x1, y0, y1 } = app.view;
    return {
      step: x0 + ((x - box.left) / (box.right - box.left)) * (x1 - x0),
      address: y0 + ((box.bottom - y) / (box.bottom - box.top)) * (y1 - y0),
    };
  }

  pick(x, y) {
    const { box, ratio } = this;
    if (x < box.left || x >= box.right || y < box.top || y >= box.bottom) {
      return -1;
    }
    return this.raster.pick((x - box.left) * ratio, (y - box.top) * ratio, Math.round(2 * ratio));
  }

  draw() {
    const started = performance.now();
    const { app, box, ratio } = this;
    const { scene, theme, model, hidden, matches } = app;
    const context = fitCanvas(this.canvas, this.width, this.height, ratio);
    context.clearRect(0, 0, this.width, this.height);

    this.raster.resize(
      Math.round((box.right - box.left) * ratio),
      Math.round((box.bottom - box.top) * ratio),
    );
    const { ids } = scene;
    const { group } = model;
    const { shades, faded } = theme;
    this.figures.painted = this.raster.paint(scene, app.view, (k) => {
      const id = ids[k];
      const kind = group[id];
      if (hidden.has(kind)) {
        return 0;
      }
      return matches && !matches[id] ? faded[kind] : shades[kind][id % 3];
    });
    context.putImageData(this.raster.image, Math.round(box.left * ratio), Math.round(box.top * ratio));
    // Behind what was painted: the grid.
    context.globalCompositeOperation = "destination-over";
    this.drawGrid(context);
    context.globalCompositeOperation = "source-over";
    this.drawNames(context);
    this.drawFrame(context);
    this.figures.milliseconds = performance.now() - started;
  }

  drawGrid(context) {
    const { app, box } = this;
    const { y0, y1, x0, x1 } = app.view;
    context.fillStyle = app.theme.grid;
    for (const tick of byteTicks(y0, y1, (box.bottom - box.top) / 44).ticks) {
      context.fillRect(box.left, Math.round(this.yOf(tick)), box.right - box.left, 1);
    }
    for (const tick of stepTicks(x0, x1, (box.right - box.left) / 90).ticks) {
      context.fillRect(Math.round(this.xOf(tick)), box.top, 1, box.bottom - box.top);
    }
  }

  /** Axis of addresses, and the lines that bound them. */
  drawFrame(context) {
    const { app, box } = this;
    const { theme, view } = app;
    context.font = `11px ${theme.font}`;
    context.fillStyle = theme.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const { step, ticks } = byteTicks(view.y0, view.y1, (box.bottom - box.top) / 44);
    const write = tickWriter(step, view.y1);
    for (const tick of ticks) {
      context.fillText(write(tick), box.left - 9, this.yOf(tick));
      context.fillRect(box.left - 5, Math.round(this.yOf(tick)), 5, 1);
    }
    context.textAlign = "left";
    drawLines(context, theme, box, this.lines(), (value) => this.yOf(value));
    context.fillStyle = theme.line;
    context.fillRect(box.left - 1, box.top, 1, box.bottom - box.top);
  }

  /** Where the tier ends, and what it may take. */
  lines() {
    const { app } = this;
    const room = app.model.roomOf(app.scene.tier);
    const budget = app.model.summary.budget_bytes;
    const lines = [];
    if (room > 0) {
      const name = app.scene.tier === 0 ? "arena" : app.model.tiers[app.scene.tier];
      lines.push({
        value: room,
        label: `${name} ${formatBytes(room)}`,
        colour: app.theme.muted,
        dash: [2, 3],
      });
    }
    if (app.scene.tier === 0 && budget !== null) {
      lines.push({
        value: budget,
        label: `budget ${formatBytes(budget)}`,
        colour: app.theme.budget,
        dash: [],
      });
    }
    return lines;
  }

  /** Names on rectangles that have the room. */
  drawNames(context) {
    const { app, box } = this;
    const { scene, theme, model, view } = app;
    const scaleX = (box.right - box.left) / (view.x1 - view.x0);
    const scaleY = (box.bottom - box.top) / (view.y1 - view.y0);
    context.font = `11px ${theme.font}`;
    context.textBaseline = "middle";
    let drawn = 0;
    for (let k = 0; k < scene.ids.length && drawn < MOST_LABELS; ++k) {
      if (scene.x1[k] <= view.x0 || scene.x0[k] >= view.x1 || scene.y1[k] <= view.y0 || scene.y0[k] >= view.y1) {
        continue;
      }
      const left = Math.max(scene.x0[k], view.x0);
      const low = Math.max(scene.y0[k], view.y0);
      const room = (Math.min(scene.x1[k], view.x1) - left) * scaleX - 10;
      const tall = (Math.min(scene.y1[k], view.y1) - low) * scaleY;
      if (room < LEAST_LABEL || tall < 13) {
        continue;
      }
      const id = scene.ids[k];
      if (app.hidden.has(model.group[id]) || (app.matches && !app.matches[id])) {
        continue;
      }
      context.fillStyle = theme.onGroup[model.group[id]];
      const text = this.fitted(context, this.shortName(id), room);
      context.fillText(text, this.xOf(left) + 5, this.yOf(low) - tall / 2 + 0.5, room);
      ++drawn;
    }
  }

  /** Without what place and colour say already: the entry, "stream", the packing. */
  shortName(id) {
    const { model, scene } = this.app;
    let name = model.names[id];
    for (const part of model.entry[id] >= 0 ? [`${model.entries[scene.entry].name}.`, "stream."] : []) {
      name = name.startsWith(part) && name.length > part.length ? name.slice(part.length) : name;
    }
    return name.endsWith(".panel64") ? name.slice(0, -8) : name;
  }

  /** The name, shortened to a width; measured once per name. */
  fitted(context, name, room) {
    let width = this.widths.get(name);
    if (width === undefined) {
      width = context.measureText(name.slice(0, 300)).width;
      this.widths.set(name, width);
    }
    if (width <= room && name.length <= 300) {
      return name;
    }
    const letters = Math.floor((room / width) * Math.min(name.length, 300)) - 1;
    return letters < 6 ? "" : shortenPath(name, letters);
  }

  /** Outlines of the chosen and the hovered buffer, and the marked steps. */
  drawOverlay() {
    const { app, box } = this;
    const context = fitCanvas(this.overlay, this.width, this.height, this.ratio);
    context.clearRect(0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    context.clip();
    markSteps(context, app, this, box);
    if (app.hover >= 0 && app.hover !== app.chosen) {
      this.outline(context, app.hover, 1.5);
    }
    if (app.chosen >= 0) {
      this.outline(context, app.chosen, 2.5);
    }
    context.restore();
  }

  outline(context, id, width) {
    const { app } = this;
    const { model, scene } = app;
    const own = model.entry[id];
    if (model.tier[id] !== scene.tier || (own >= 0 && own !== scene.entry)) {
      return;
    }
    const left = this.xOf(model.start[id]);
    const right = this.xOf(model.endOf(id, scene.entry));
    const low = this.yOf(model.offset[id]);
    const high = this.yOf(model.offset[id] + model.size[id]);
    const w = Math.max(2, right - left);
    const h = Math.max(2, low - high);
    context.strokeStyle = app.theme.surface;
    context.lineWidth = width + 2;
    context.strokeRect(left, high, w, h);
    context.strokeStyle = app.theme.ink;
    context.lineWidth = width;
    context.strokeRect(left, high, w, h);
  }
}

/** The fullest step and the step under the pointer, in either pane. */
function markSteps(context, app, picture, box) {
  const { theme, scene, hoverStep } = app;
  const column = (step) => {
    const left = picture.xOf(step);
    return [left, Math.max(1, picture.xOf(step + 1) - left)];
  };
  if (hoverStep >= 0) {
    const [left, width] = column(hoverStep);
    context.fillStyle = theme.ink;
    context.globalAlpha = 0.16;
    context.fillRect(left, box.top, Math.max(width, 1), box.bottom - box.top);
    context.globalAlpha = 1;
  }
  const [left, width] = column(scene.peakStep);
  context.strokeStyle = theme.bound;
  context.lineWidth = 1;
  context.setLineDash([1, 3]);
  context.beginPath();
  context.moveTo(left + width / 2, box.top);
  context.lineTo(left + width / 2, box.bottom);
  context.stroke();
  context.setLineDash([]);
}
