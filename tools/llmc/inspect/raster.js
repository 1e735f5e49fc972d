// Rectangles into pixels. The cost of a frame is bounded by the pixels, not by
// the buffers: rows of a rectangle are filled as memory, what is thinner than a
// pixel becomes one. A second plane of the same size says which buffer each
// pixel shows; it is the index that hovering and clicking look into, and is
// made when they first ask after a frame.

class Raster {
  constructor() {
    this.width = 0;
    this.height = 0;
  }

  resize(width, height) {
    if (width === this.width && height === this.height) {
      return;
    }
    this.width = width;
    this.height = height;
    this.image = new ImageData(Math.max(1, width), Math.max(1, height));
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.owner = new Int32Array(this.pixels.length); // buffer + 1; 0: nothing
  }

  /**
   * Paints a scene's rectangles inside `view` {x0, x1, y0, y1}; address 0 is at
   * the bottom. `colourOf(k)` is a pixel for rectangle k, or 0 to leave it out.
   * Returns how many were painted.
   */
  paint(scene, view, colourOf) {
    this.painted = { scene, view, colourOf };
    this.indexed = false;
    return this.fill(this.pixels, colourOf);
  }

  /** Every rectangle's value into one of the planes. */
  fill(plane, valueOf) {
    const { width, height } = this;
    const { scene, view } = this.painted;
    const { ids, x0, x1, y0, y1 } = scene;
    const scaleX = width / (view.x1 - view.x0);
    const scaleY = height / (view.y1 - view.y0);
    let count = 0;
    plane.fill(0);
    for (let k = 0; k < ids.length; ++k) {
      if (x0[k] >= view.x1 || x1[k] <= view.x0 || y0[k] >= view.y1 || y1[k] <= view.y0) {
        continue;
      }
      const value = x0[k] < x1[k] ? valueOf(k) : 0;
      if (value === 0) {
        continue;
      }
      let left = Math.round((x0[k] - view.x0) * scaleX);
      let right = Math.max(left + 1, Math.round((x1[k] - view.x0) * scaleX));
      let bottom = height - Math.round((y0[k] - view.y0) * scaleY);
      let top = Math.min(bottom - 1, height - Math.round((y1[k] - view.y0) * scaleY));
      // A gap of one pixel tells neighbours apart where there is room for it.
      if (right - left > 4) {
        --right;
      }
      if (bottom - top > 3) {
        ++top;
      }
      left = Math.min(Math.max(left, 0), width - 1);
      right = Math.min(Math.max(right, left + 1), width);
      top = Math.min(Math.max(top, 0), height - 1);
      bottom = Math.min(Math.max(bottom, top + 1), height);
      this.fillRectangle(plane, left, right, top, bottom, value);
      ++count;
    }
    return count;
  }

  fillRectangle(plane, left, right, top, bottom, value) {
    const { width } = this;
    if (left === 0 && right === width) {
      plane.fill(value, top * width, bottom * width);
    } else if (right - left > 8) {
      for (let at = top * width; at < bottom * width; at += width) {
        plane.fill(value, at + left, at + right);
      }
    } else {
      // Calling fill() would cost more than the few pixels.
      for (let row = top * width; row < bottom * width; row += width) {
        for (let at = row + left; at < row + right; ++at) {
          plane[at] = value;
        }
      }
    }
  }

  /** The buffer at a pixel or within `reach` of it; -1 if there is none. */
  pick(x, y, reach) {
    if (!this.indexed) {
      const { scene, colourOf } = this.painted;
      this.fill(this.owner, (k) => (colourOf(k) === 0 ? 0 : scene.ids[k] + 1));
      this.indexed = true;
    }
    const column = Math.floor(x);
    const row = Math.floor(y);
    for (let around = 0; around <= reach; ++around) {
      for (let dy = -around; dy <= around; ++dy) {
        for (let dx = -around; dx <= around; ++dx) {
          const inside =
            Math.max(Math.abs(dx), Math.abs(dy)) === around &&
            column + dx >= 0 && column + dx < this.width &&
            row + dy >= 0 && row + dy < this.height;
          const id = inside ? this.owner[(row + dy) * this.width + column + dx] : 0;
          if (id > 0) {
            return id - 1;
          }
        }
      }
    }
    return -1;
  }
}
