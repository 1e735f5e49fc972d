// Rectangles into pixels. The cost of a frame is bounded by the pixels, not by
// the buffers: rows of a rectangle are filled as memory, what is thinner than a
// pixel becomes one. A second plane of the same size remembers which buffer
// each pixel shows; it is the index that hovering and clicking look into.

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
    const { width, height, pixels, owner } = this;
    pixels.fill(0);
    owner.fill(0);
    const scaleX = width / (view.x1 - view.x0);
    const scaleY = height / (view.y1 - view.y0);
    const { ids, x0, x1, y0, y1 } = scene;
    let painted = 0;
    for (let k = 0; k < ids.length; ++k) {
      if (x0[k] >= view.x1 || x1[k] <= view.x0 || y0[k] >= view.y1 || y1[k] <= view.y0) {
        continue;
      }
      const colour = x0[k] < x1[k] ? colourOf(k) : 0;
      if (colour === 0) {
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
      ++painted;
      const id = ids[k] + 1;
      if (right - left < 8) {
        for (let row = top; row < bottom; ++row) {
          for (let at = row * width + left, end = row * width + right; at < end; ++at) {
            pixels[at] = colour;
            owner[at] = id;
          }
        }
      } else {
        for (let at = top * width; at < bottom * width; at += width) {
          pixels.fill(colour, at + left, at + right);
          owner.fill(id, at + left, at + right);
        }
      }
    }
    return painted;
  }

  /** The buffer at a pixel or within `reach` of it; -1 if there is none. */
  pick(x, y, reach) {
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
