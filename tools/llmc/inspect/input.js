// Pointer, wheel and keyboard.

App.prototype.listen = function listen() {
  const on = (id, event, act) => document.getElementById(id).addEventListener(event, act);
  on("peak", "click", () => this.showPeak());
  on("zoom-in", "click", () => this.zoomMiddle(0.6));
  on("zoom-out", "click", () => this.zoomMiddle(1 / 0.6));
  on("fit-moving", "click", () => this.fitMoving());
  on("reset", "click", () => this.reset());
  on("query", "input", (event) => this.search(event.target.value));
  on("here", "change", (event) => {
    this.table.here = event.target.checked;
    this.table.update();
  });
  on("query", "keydown", (event) => {
    if (event.key === "ArrowDown") {
      this.table.rows.focus();
      this.table.key(event);
    }
  });
  listenPicture(this);
  listenCurve(this);
  listenKeys(this);
};

/** Pixels of a wheel event, whatever unit it comes in. */
function wheelPixels(event) {
  const unit = [1, 16, 400][event.deltaMode];
  // Browsers turn shift + wheel into a sideways movement.
  return (event.deltaY || event.deltaX) * unit;
}

function wheelZoom(app, event, axes) {
  event.preventDefault();
  const box = app.picture.canvas.getBoundingClientRect();
  const place = app.picture.placeAt(event.clientX - box.left, event.clientY - box.top);
  // A pinch on a touchpad comes as small steps with ctrl.
  const speed = event.ctrlKey ? 0.01 : 0.0016;
  const factor = Math.exp(Math.min(Math.max(wheelPixels(event), -400), 400) * speed);
  app.zoom(factor, place, axes);
  app.tip.hide();
}

function listenPicture(app) {
  const { picture } = app;
  const { canvas } = picture;
  const pointers = new Map();
  let moved = false;

  canvas.addEventListener("wheel", (event) => {
    const inGutter = event.offsetX < picture.box.left;
    wheelZoom(app, event, inGutter || event.altKey ? "y" : event.shiftKey ? "x" : "xy");
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button === 0) {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      moved = pointers.size > 1;
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) {
      hoverPicture(app, event);
      return;
    }
    const to = { x: event.offsetX, y: event.offsetY };
    const far = Math.abs(to.x - from.x) + Math.abs(to.y - from.y) > 3;
    if (!moved && !far) {
      return;
    }
    moved = true;
    canvas.classList.add("dragging");
    app.tip.hide();
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const was = Math.hypot(from.x - other.x, from.y - other.y);
      const is = Math.hypot(to.x - other.x, to.y - other.y);
      app.zoom(was / Math.max(is, 1), picture.placeAt((to.x + other.x) / 2, (to.y + other.y) / 2));
    } else {
      const { box } = picture;
      app.pan((from.x - to.x) / (box.right - box.left), (to.y - from.y) / (box.bottom - box.top));
    }
    pointers.set(event.pointerId, to);
  });

  const release = (event) => {
    if (pointers.delete(event.pointerId) && event.type === "pointerup" && !moved) {
      app.choose(picture.pick(event.offsetX, event.offsetY));
    }
    if (pointers.size === 0) {
      canvas.classList.remove("dragging");
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("dblclick", (event) => {
    const buffer = picture.pick(event.offsetX, event.offsetY);
    if (buffer >= 0) {
      app.zoomTo(buffer);
    } else {
      app.reset();
    }
  });
  canvas.addEventListener("pointerleave", () => leave(app));
}

function leave(app) {
  app.hover = -1;
  app.hoverStep = -1;
  app.tip.hide();
  app.drawOverlays();
}

function stepUnder(app, x) {
  const { box } = app.picture;
  const step = Math.floor(app.picture.placeAt(x, 0).step);
  return x >= box.left && x < box.right && step >= 0 && step < app.scene.steps ? step : -1;
}

function hoverPicture(app, event) {
  const buffer = app.picture.pick(event.offsetX, event.offsetY);
  const step = stepUnder(app, event.offsetX);
  if (buffer !== app.hover || step !== app.hoverStep) {
    app.hover = buffer;
    app.hoverStep = step;
    app.drawOverlays();
  }
  if (buffer >= 0) {
    app.tip.showBuffer(app, buffer, event.clientX, event.clientY);
  } else {
    app.tip.hide();
  }
}

function listenCurve(app) {
  const { canvas } = app.curve;
  canvas.addEventListener("wheel", (event) => wheelZoom(app, event, "x"), { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    const step = stepUnder(app, event.offsetX);
    if (step !== app.hoverStep) {
      app.hover = -1;
      app.hoverStep = step;
      app.drawOverlays();
    }
    if (step >= 0) {
      app.tip.showStep(app, step, event.clientX, event.clientY);
    } else {
      app.tip.hide();
    }
  });
  canvas.addEventListener("pointerleave", () => leave(app));
  // What lives at that step, in the list.
  canvas.addEventListener("click", (event) => {
    const step = stepUnder(app, event.offsetX);
    if (step >= 0) {
      document.getElementById("here").checked = true;
      app.table.here = true;
      app.search(`step:${step}`);
    }
  });
}

function listenKeys(app) {
  const acts = {
    "+": () => app.zoomMiddle(0.7),
    "=": () => app.zoomMiddle(0.7),
    "-": () => app.zoomMiddle(1 / 0.7),
    "0": () => app.reset(),
    a: () => app.fitMoving(),
    p: () => app.showPeak(),
    "/": () => document.getElementById("query").focus(),
    Escape: () => {
      app.tip.hide();
      app.choose(-1);
    },
  };
  const moves = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (typing) {
      if (event.key === "Escape") {
        app.search("");
        event.target.blur();
      }
      return;
    }
    if (event.target === app.picture.canvas && event.key in moves) {
      app.pan(...moves[event.key]);
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === app.picture.canvas && app.chosen >= 0) {
      app.zoomTo(app.chosen);
    } else if (event.key in acts) {
      acts[event.key]();
      event.preventDefault();
    }
  });
}
