// State of the page, and what pointer, wheel and keys do to it.

class App {
  constructor(data) {
    this.model = new Model(data);
    this.theme = new Theme();
    this.hidden = new Set(); // groups
    this.matches = null; // per buffer, or null for all
    this.chosen = -1;
    this.hover = -1;
    this.hoverStep = -1;
    this.scene = this.model.scene(0, 0);
    this.picture = new Picture(this);
    this.curve = new Curve(this);
    this.view = this.picture.wholeView();
    this.tip = new Tip();
    this.table = new Table(this);
    showTitle(this.model);
    showBar(this.model);
    showLegend(this);
    this.makeChoices();
    this.listen();
    this.show(0, 0);
    new ResizeObserver(() => this.resize()).observe(this.picture.canvas.parentElement);
    this.theme.onChange(() => this.redraw());
  }

  // ---- what is shown ----

  show(entry, tier) {
    this.scene = this.model.scene(entry, tier);
    this.view = this.picture.wholeView();
    this.hover = -1;
    this.hoverStep = -1;
    for (const [name, value] of [["entries", entry], ["tiers", tier]]) {
      for (const button of document.getElementById(name).children) {
        const on = Number(button.dataset.index) === value;
        button.setAttribute("aria-checked", String(on));
        button.tabIndex = on ? 0 : -1;
      }
    }
    const { scene } = this;
    document.getElementById("peak").textContent =
      `Peak: step ${formatCount(scene.peakStep)}, ${formatBytes(scene.peakBytes)}`;
    document.getElementById("fit-moving").disabled = !scene.moving;
    document.getElementById("empty").hidden = scene.ids.length > 0;
    const words = `${this.model.entries[entry].name}, ${this.model.tiers[tier]}: ${formatCount(scene.ids.length)} ` +
      `buffers in ${formatCount(scene.steps)} steps, at most ${formatBytes(scene.peakBytes)} live at step ${scene.peakStep}`;
    this.picture.canvas.setAttribute("aria-label", `Addresses over steps of ${words}`);
    this.curve.canvas.setAttribute("aria-label", `Live bytes over steps of ${words}`);
    showFigures(this);
    showDetails(this);
    this.table.update();
    this.resize();
  }

  resize() {
    placeBarLabels();
    this.picture.layout();
    this.curve.layout();
    this.curve.measure();
    this.drawNow();
    this.table.draw();
  }

  redraw() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => this.drawNow());
    }
  }

  drawNow() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.picture.draw();
    this.curve.draw();
    this.drawOverlays();
  }

  drawOverlays() {
    this.picture.drawOverlay();
    this.curve.drawOverlay();
  }

  makeChoices() {
    const choices = [
      ["entries", this.model.entries.map((entry, i) => [i, entry.name, `${formatCount(this.model.stepsOf(i))} steps`]),
        (i) => this.show(i, this.scene.tier)],
      ["tiers", this.model.tiersInUse().flatMap((used, i) => (used ? [[i, this.model.tiers[i], ""]] : [])),
        (i) => this.show(this.scene.entry, i)],
    ];
    for (const [id, items, act] of choices) {
      const box = document.getElementById(id);
      box.hidden = items.length < 2 && id === "tiers";
      for (const [index, label, note] of items) {
        const button = element("button", "", label);
        if (note) {
          button.append(element("small", "", note));
        }
        button.type = "button";
        button.dataset.index = String(index);
        button.setAttribute("role", "radio");
        button.addEventListener("click", () => act(index));
        box.append(button);
      }
      box.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (by) {
          const buttons = [...box.children];
          const at = buttons.findIndex((button) => button.getAttribute("aria-checked") === "true");
          const next = buttons[(at + by + buttons.length) % buttons.length];
          next.click();
          next.focus();
          event.preventDefault();
          event.stopPropagation();
        }
      });
    }
  }

  toggleGroup(group, button) {
    const hide = !this.hidden.has(group);
    this.hidden[hide ? "add" : "delete"](group);
    button.setAttribute("aria-pressed", String(!hide));
    this.curve.measure();
    this.redraw();
  }

  search(query) {
    const input = document.getElementById("query");
    if (input.value !== query) {
      input.value = query;
    }
    this.matches = this.table.search(query);
    this.table.rows.scrollTop = 0;
    this.table.update();
    this.redraw();
  }

  // ---- selection ----

  choose(buffer, { zoom = false } = {}) {
    this.chosen = buffer;
    if (buffer >= 0) {
      const { model } = this;
      const entry = model.entryOf(buffer, this.scene.entry);
      if (entry !== this.scene.entry || model.tier[buffer] !== this.scene.tier) {
        this.show(entry, model.tier[buffer]);
      }
      if (zoom) {
        this.zoomTo(buffer);
      }
      if (this.table.place[buffer] < 0) {
        this.search(""); // it was filtered out
      }
    }
    showDetails(this);
    this.table.reveal();
    this.drawOverlays();
  }

  /** Outlines what the pointer is on in the list. */
  point(buffer) {
    if (buffer !== this.hover) {
      this.hover = buffer;
      this.drawOverlays();
    }
  }

  /** The buffer in the middle third, with its neighbours around. */
  zoomTo(buffer) {
    const { model, scene } = this;
    const start = model.start[buffer];
    const end = model.endOf(buffer, scene.entry);
    const steps = Math.max(end - start, 6);
    const bytes = Math.max(model.size[buffer], scene.top / 400);
    const middleX = (start + end) / 2;
    const middleY = model.offset[buffer] + model.size[buffer] / 2;
    this.glide({
      x0: middleX - 1.5 * steps,
      x1: middleX + 1.5 * steps,
      y0: middleY - 1.5 * bytes,
      y1: middleY + 1.5 * bytes,
    });
  }

  /** The steps around the peak, and in the list what lives then, largest first. */
  showPeak() {
    const { scene } = this;
    this.table.sorted = { key: "size", descending: true };
    document.getElementById("here").checked = true;
    this.table.here = true;
    this.search(`step:${scene.peakStep}`);
    this.hoverStep = scene.peakStep;
    const span = Math.max(24, scene.steps / 12);
    this.glide({ ...this.picture.wholeView(), x0: scene.peakStep + 0.5 - span / 2, x1: scene.peakStep + 0.5 + span / 2 });
  }

  // ---- the view ----

  limited(view) {
    const whole = this.picture.wholeView();
    const side = (low, high, least, most) => {
      const span = Math.min(Math.max(high - low, Math.min(least, most)), most);
      const middle = (low + high) / 2;
      const from = Math.min(Math.max(middle - span / 2, 0), most - span);
      return [from, from + span];
    };
    const [x0, x1] = side(view.x0, view.x1, LEAST_STEPS, whole.x1);
    const [y0, y1] = side(view.y0, view.y1, LEAST_BYTES, whole.y1);
    return { x0, x1, y0, y1 };
  }

  setView(view) {
    this.gliding = null;
    this.view = this.limited(view);
    this.redraw();
  }

  /** Moves there in a moment, or at once if motion is unwelcome. */
  glide(target) {
    const to = this.limited(target);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.setView(to);
      return;
    }
    const from = this.view;
    const started = performance.now();
    const move = {};
    this.gliding = move;
    const step = () => {
      if (this.gliding !== move) {
        return;
      }
      const part = Math.min(1, (performance.now() - started) / 220);
      const eased = 1 - (1 - part) ** 3;
      this.view = {};
      for (const side of ["x0", "x1", "y0", "y1"]) {
        this.view[side] = from[side] + (to[side] - from[side]) * eased;
      }
      this.drawNow();
      if (part < 1) {
        requestAnimationFrame(step);
      } else {
        this.gliding = null;
      }
    };
    requestAnimationFrame(step);
  }

  /** Zooms by `factor` (below 1: closer) around a place, on the given axes. */
  zoom(factor, place, axes = "xy") {
    const view = { ...this.view };
    if (axes.includes("x")) {
      const least = Math.min(1, (LEAST_STEPS / (view.x1 - view.x0)) || 1);
      const by = Math.max(factor, least);
      view.x0 = place.step - (place.step - view.x0) * by;
      view.x1 = place.step + (view.x1 - place.step) * by;
    }
    if (axes.includes("y")) {
      const by = Math.max(factor, Math.min(1, LEAST_BYTES / (view.y1 - view.y0)));
      view.y0 = place.address - (place.address - view.y0) * by;
      view.y1 = place.address + (view.y1 - place.address) * by;
    }
    this.setView(view);
  }

  zoomMiddle(factor) {
    const { x0, x1, y0, y1 } = this.view;
    this.zoom(factor, { step: (x0 + x1) / 2, address: (y0 + y1) / 2 });
  }

  pan(partX, partY) {
    const { x0, x1, y0, y1 } = this.view;
    const dx = (x1 - x0) * partX;
    const dy = (y1 - y0) * partY;
    this.setView({ x0: x0 + dx, x1: x1 + dx, y0: y0 + dy, y1: y1 + dy });
  }

  reset() {
    this.glide(this.picture.wholeView());
  }

  fitMoving() {
    if (this.scene.moving) {
      const [y0, y1] = this.scene.moving;
      this.glide({ x0: 0, x1: this.scene.steps, y0, y1: y1 + (y1 - y0) * 0.03 });
    }
  }
}
