// The plan as columns, and what one picture (an entry and a tier) holds.

/** Kinds of the plan by the group that shows them, in the order of the stack. */
const GROUPS = [
  { key: "weights", label: "Weights", kinds: ["weight"], total: "resident_weight_bytes" },
  { key: "state", label: "State", kinds: ["state"], total: "state_bytes" },
  { key: "constants", label: "Constants", kinds: ["constant"], total: "constant_bytes" },
  { key: "staging", label: "Staging", kinds: ["staging"], total: "staging_bytes" },
  { key: "workspace", label: "Workspace", kinds: ["workspace"], total: "workspace_bytes" },
  {
    key: "activations",
    label: "Activations",
    kinds: ["activation", "input", "output"],
    total: "activation_peak_bytes",
  },
];

class Model {
  constructor(data) {
    const b = data.buffers;
    this.summary = data.summary;
    this.about = data.about;
    this.kinds = data.kinds;
    this.tiers = data.tiers;
    this.operations = data.operations;
    const nothing = { name: "–", steps: { name: [], what: [], first: [0], operands: [] } };
    this.entries = data.entries.length > 0 ? data.entries : [nothing];
    this.count = b.name.length;
    this.names = b.name;
    this.kind = Uint8Array.from(b.kind);
    this.tier = Uint8Array.from(b.tier);
    this.entry = Int32Array.from(b.entry); // -1: lives in every entry
    this.offset = Float64Array.from(b.offset);
    this.size = Float64Array.from(b.size);
    this.start = Float64Array.from(b.start);
    this.end = Float64Array.from(b.end);
    const groupOfKind = this.kinds.map((kind) => GROUPS.findIndex((g) => g.kinds.includes(kind)));
    this.group = this.kind.map((kind) => groupOfKind[kind]);
    this.scenes = new Map();
  }

  stepsOf(entry) {
    return Math.max(1, this.entries[entry].steps.name.length);
  }

  /** "linear  /model/layers.0/q_proj" of a step. */
  stepOperation(entry, step) {
    const steps = this.entries[entry].steps;
    return step < steps.what.length ? this.operations[steps.what[step]] : "";
  }

  stepName(entry, step) {
    return this.entries[entry].steps.name[step] ?? "";
  }

  stepText(entry, step) {
    return `${step} ${this.stepOperation(entry, step)} ${this.stepName(entry, step)}`.trim();
  }

  /** [{buffer, writes}] of a step, from its operands. */
  operandsOf(entry, step) {
    const steps = this.entries[entry].steps;
    const found = [];
    for (let i = steps.first[step]; i < steps.first[step + 1]; ++i) {
      const code = steps.operands[i];
      found.push({ buffer: Math.floor(code / 4), access: code % 4 });
    }
    return found;
  }

  /** Where a buffer can be seen: its own entry, or `fallback` if it is in all. */
  entryOf(buffer, fallback) {
    return this.entry[buffer] < 0 ? fallback : this.entry[buffer];
  }

  endOf(buffer, entry) {
    return this.entry[buffer] < 0 ? this.stepsOf(entry) : this.end[buffer];
  }

  livesAt(buffer, entry, step) {
    if (this.entry[buffer] < 0) {
      return true;
    }
    return this.entry[buffer] === entry && this.start[buffer] <= step && step < this.end[buffer];
  }

  /** Room of a tier as the plan states it. */
  roomOf(tier) {
    const s = this.summary;
    return [s.arena_bytes, s.host_bytes, s.disk_bytes][tier] ?? 0;
  }

  scene(entry, tier) {
    const key = `${entry}/${tier}`;
    if (!this.scenes.has(key)) {
      this.scenes.set(key, new Scene(this, entry, tier));
    }
    return this.scenes.get(key);
  }

  /** The most that lives at once in a tier, over all entries. */
  lowerBound(tier) {
    let most = 0;
    for (let entry = 0; entry < this.entries.length; ++entry) {
      most = Math.max(most, this.scene(entry, tier).peakBytes);
    }
    return most;
  }

  tiersInUse() {
    const used = this.tiers.map(() => false);
    this.tier.forEach((tier) => {
      used[tier] = true;
    });
    used[0] = true;
    return used;
  }
}

/** One entry in one tier: its rectangles and its live bytes. */
class Scene {
  constructor(model, entry, tier) {
    this.model = model;
    this.entry = entry;
    this.tier = tier;
    this.steps = model.stepsOf(entry);
    const ids = [];
    for (let i = 0; i < model.count; ++i) {
      const own = model.entry[i];
      if (model.tier[i] === tier && (own < 0 || own === entry) && model.size[i] > 0) {
        ids.push(i);
      }
    }
    // Painted large to small, so that a buffer thinner than a pixel still shows.
    const area = (i) => model.size[i] * (model.endOf(i, entry) - model.start[i]);
    ids.sort((a, b) => area(b) - area(a) || a - b);
    this.ids = Int32Array.from(ids);
    this.x0 = Float64Array.from(ids, (i) => model.start[i]);
    this.x1 = Float64Array.from(ids, (i) => model.endOf(i, entry));
    this.y0 = Float64Array.from(ids, (i) => model.offset[i]);
    this.y1 = Float64Array.from(ids, (i) => model.offset[i] + model.size[i]);
    this.measure();
    this.sumUp();
  }

  /** Extents: of everything, and of what does not live throughout. */
  measure() {
    this.extent = 0;
    let low = Infinity;
    let high = 0;
    for (let k = 0; k < this.ids.length; ++k) {
      this.extent = Math.max(this.extent, this.y1[k]);
      if (this.model.entry[this.ids[k]] >= 0) {
        low = Math.min(low, this.y0[k]);
        high = Math.max(high, this.y1[k]);
      }
    }
    this.moving = high > 0 ? [low, high] : null;
    this.top = Math.max(this.extent, this.tier === 0 ? this.model.roomOf(0) : 0, 64);
  }

  sumUp() {
    const { model, steps } = this;
    this.live = GROUPS.map(() => new Float64Array(steps + 1));
    for (let k = 0; k < this.ids.length; ++k) {
      if (this.x0[k] < this.x1[k]) {
        const live = this.live[model.group[this.ids[k]]];
        live[this.x0[k]] += model.size[this.ids[k]];
        live[this.x1[k]] -= model.size[this.ids[k]];
      }
    }
    this.total = new Float64Array(steps);
    for (const live of this.live) {
      for (let step = 0, sum = 0; step < steps; ++step) {
        sum += live[step];
        live[step] = sum;
        this.total[step] += sum;
      }
    }
    [this.peakStep, this.peakBytes] = highest(this.total);
  }

  /** Live bytes per step of the groups that are not hidden. */
  visibleTotal(hidden) {
    if (hidden.size === 0) {
      return this.total;
    }
    const total = new Float64Array(this.steps);
    this.live.forEach((live, group) => {
      if (!hidden.has(group)) {
        for (let step = 0; step < this.steps; ++step) {
          total[step] += live[step];
        }
      }
    });
    return total;
  }

  liveCount(step) {
    let count = 0;
    for (let k = 0; k < this.ids.length; ++k) {
      count += this.x0[k] <= step && step < this.x1[k] ? 1 : 0;
    }
    return count;
  }
}

/** [index of the first largest, its value] */
function highest(values) {
  let at = 0;
  for (let i = 1; i < values.length; ++i) {
    if (values[i] > values[at]) {
      at = i;
    }
  }
  return [at, values.length > 0 ? values[at] : 0];
}
