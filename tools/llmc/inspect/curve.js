// Live bytes under the picture, on the same steps: stacked by kind.

class Curve {
  constructor(app) {
    this.app = app;
    this.canvas = document.getElementById("curve");
    this.overlay = document.getElementById("curve-overlay");
    this.figures = { milliseconds: 0 };
  }

  layout() {
    const pane = this.canvas.parentElement;
    this.ratio = Math.min(devicePixelRatio || 1, 3);
    this.width = pane.clientWidth;
    this.height = pane.clientHeight;
    const { left, right } = this.app.picture.box;
    this.box = { left, right, top: 26, bottom: this.height - 24 };
  }

  /** What the scale reaches to: the lines, unless the budget lies far above. */
  measure() {
    const { app } = this;
    this.total = app.scene.visibleTotal(app.hidden);
    [this.peakStep, this.peakBytes] = highest(this.total);
    const lines = this.lines();
    const budget = lines.find((line) => line.name === "budget");
    const rest = lines.filter((line) => line !== budget).map((line) => line.value);
    this.most = Math.max(this.peakBytes, ...rest, 1);
    if (budget && budget.value <= 1.6 * this.most) {
      this.most = Math.max(this.most, budget.value);
    }
  }

  lines() {
    const { app } = this;
    const { scene, model, theme } = app;
    if (app.hidden.size > 0) {
      const most = highest(scene.visibleTotal(app.hidden))[1];
      return [{ name: "most", value: most, label: `most shown ${formatBytes(most)}`, colour: theme.bound, dash: [5, 3] }];
    }
    const bound = model.lowerBound(scene.tier);
    const lines = [
      { name: "bound", value: bound, label: `lower bound ${formatBytes(bound)}`, colour: theme.bound, dash: [5, 3] },
    ];
    return lines.concat(app.picture.lines().map((line, i) => ({ ...line, name: i === 0 ? "room" : "budget" })));
  }

  yOf(bytes) {
    return this.box.bottom - (bytes / this.most) * (this.box.bottom - this.box.top);
  }

  draw() {
    const started = performance.now();
    const { app, box } = this;
    const context = fitCanvas(this.canvas, this.width, this.height, this.ratio);
    context.clearRect(0, 0, this.width, this.height);
    this.drawGrid(context);
    this.drawStack(context);
    this.drawAxes(context);
    const lines = this.lines();
    drawLines(context, app.theme, box, lines, (value) => this.yOf(value));
    this.figures.milliseconds = performance.now() - started;
  }

  drawGrid(context) {
    const { app, box } = this;
    context.fillStyle = app.theme.grid;
    for (const tick of byteTicks(0, this.most, 5).ticks) {
      context.fillRect(box.left, Math.round(this.yOf(tick)), box.right - box.left, 1);
    }
    for (const tick of stepTicks(app.view.x0, app.view.x1, (box.right - box.left) / 90).ticks) {
      context.fillRect(Math.round(app.picture.xOf(tick)), box.top, 1, box.bottom - box.top);
    }
  }

  /** The fullest step of every pixel column. */
  columns() {
    const { app, box, ratio } = this;
    const count = Math.round((box.right - box.left) * ratio);
    const { x0, x1 } = app.view;
    const steps = new Int32Array(count);
    for (let i = 0; i < count; ++i) {
      const first = Math.max(0, Math.floor(x0 + ((x1 - x0) * i) / count));
      const next = Math.ceil(x0 + ((x1 - x0) * (i + 1)) / count);
      let at = Math.min(first, this.total.length - 1);
      for (let step = at + 1; step < Math.min(next, this.total.length); ++step) {
        if (this.total[step] > this.total[at]) {
          at = step;
        }
      }
      steps[i] = at;
    }
    return steps;
  }

  drawStack(context) {
    const { app, box, ratio } = this;
    const steps = this.columns();
    const sums = new Float64Array(steps.length);
    app.scene.live.forEach((live, group) => {
      if (app.hidden.has(group) || highest(live)[1] === 0) {
        return;
      }
      context.fillStyle = app.theme.groups[group];
      // Columns of equal height become one rectangle.
      let begin = 0;
      let low = 0;
      let high = 0;
      const flush = (end) => {
        if (high > low) {
          const bottom = this.yOf(low);
          const top = this.yOf(high);
          context.fillRect(box.left + begin / ratio, top, (end - begin) / ratio, bottom - top);
        }
      };
      for (let i = 0; i < steps.length; ++i) {
        const from = sums[i];
        const to = from + live[steps[i]];
        sums[i] = to;
        if (i === 0 || from !== low || to !== high) {
          flush(i);
          begin = i;
          low = from;
          high = to;
        }
      }
      flush(steps.length);
    });
  }

  drawAxes(context) {
    const { app, box } = this;
    const { theme, view } = app;
    context.font = `11px ${theme.font}`;
    context.fillStyle = theme.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const { step, ticks } = byteTicks(0, this.most, 5);
    const write = tickWriter(step, this.most);
    for (const tick of ticks) {
      context.fillText(write(tick), box.left - 9, this.yOf(tick));
      context.fillRect(box.left - 5, Math.round(this.yOf(tick)), 5, 1);
    }
    context.textBaseline = "top";
    context.fillText("step", box.left - 9, box.bottom + 7);
    context.textAlign = "center";
    for (const tick of stepTicks(view.x0, view.x1, (box.right - box.left) / 90).ticks) {
      const x = Math.round(app.picture.xOf(tick));
      context.fillRect(x, box.bottom, 1, 4);
      const text = formatCount(tick);
      const half = context.measureText(text).width / 2;
      context.fillText(text, Math.min(Math.max(x, box.left + half - 3), this.width - half - 4), box.bottom + 7);
    }
    context.textAlign = "left";
    context.fillStyle = theme.line;
    context.fillRect(box.left - 1, box.top, 1, box.bottom - box.top);
    context.fillRect(box.left - 1, box.bottom, box.right - box.left + 1, 1);
  }

  drawOverlay() {
    const { app, box } = this;
    const context = fitCanvas(this.overlay, this.width, this.height, this.ratio);
    context.clearRect(0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    context.rect(box.left, 0, box.right - box.left, box.bottom);
    context.clip();
    markSteps(context, app, app.picture, box);
    context.restore();
    // A dot on the fullest step.
    const x = (app.picture.xOf(this.peakStep) + app.picture.xOf(this.peakStep + 1)) / 2;
    if (x >= box.left && x <= box.right && this.peakBytes > 0) {
      context.beginPath();
      context.arc(x, this.yOf(this.peakBytes), 3.5, 0, 2 * Math.PI);
      context.fillStyle = app.theme.bound;
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = app.theme.surface;
      context.stroke();
    }
  }
}
