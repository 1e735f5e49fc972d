// A cursor over all curves: the nearest budget under the pointer, or the row of the table
// that has the focus or the pointer. Without this script the page is complete, only still.
"use strict";
(() => {
  const rows = [...document.querySelectorAll("#points tbody tr")];
  const pictures = [...document.querySelectorAll("svg")];

  function choose(index) {
    rows.forEach((row) => row.classList.toggle("chosen", Number(row.dataset.row) === index));
    for (const picture of pictures) {
      const cursor = picture.querySelector(".cursor");
      cursor.setAttribute("hidden", "");
      for (const point of picture.querySelectorAll("circle")) {
        const chosen = Number(point.dataset.row) === index;
        point.classList.toggle("chosen", chosen);
        if (chosen) {
          cursor.setAttribute("x1", point.getAttribute("cx"));
          cursor.setAttribute("x2", point.getAttribute("cx"));
          cursor.removeAttribute("hidden");
        }
      }
    }
  }

  /** The row whose point is nearest to the pointer, from left to right. */
  function nearest(picture, event) {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
    let best = -1;
    let distance = Infinity;
    for (const point of picture.querySelectorAll("circle")) {
      const away = Math.abs(Number(point.getAttribute("cx")) - x);
      if (away < distance) {
        distance = away;
        best = Number(point.dataset.row);
      }
    }
    return best;
  }

  for (const picture of pictures) {
    picture.addEventListener("pointermove", (event) => choose(nearest(picture, event)));
    picture.addEventListener("pointerleave", () => choose(-1));
  }
  for (const row of rows) {
    const index = Number(row.dataset.row);
    row.addEventListener("focus", () => choose(index));
    row.addEventListener("blur", () => choose(-1));
    row.addEventListener("pointerenter", () => choose(index));
    row.addEventListener("pointerleave", () => choose(-1));
    row.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && rows[index + step]) {
        rows[index + step].focus();
        event.preventDefault();
      }
    });
  }
})();
