// A small line plot: the last minutes of a few series, drawn as SVG to the pixel width it has.

import { h, svg, clock } from "./dom.js";

const HEIGHT = 120;
const LEFT = 50;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 18;

// The next of 1, 2, 5, 10, … so that the scale does not jump with every point.
function ceiling(value, least) {
  let step = least;
  for (let i = 0; value > step; i++) step *= i % 3 === 1 ? 2.5 : 2;
  return step;
}

export class Plot {
  // `series`: key, label and class of each line. `format` says how a value reads, `least` the smallest scale.
  constructor({ title, series, format, least = 1, note = "" }) {
    this.series = series;
    this.format = format;
    this.least = least;
    this.points = [];
    this.hovered = null;
    this.now = h("strong", { class: "plot-now" }, "–");
    this.canvas = svg("svg", { class: "plot-canvas", height: HEIGHT, role: "img", "aria-label": title });
    this.tip = h("div", { class: "plot-tip", hidden: true });
    this.values = new Map(series.map((each) => [each.key, h("b", null, "0")]));
    const legend =
      series.length > 1 &&
      h("ul", { class: "legend" }, series.map((each) => h("li", { class: each.cls }, each.label, this.values.get(each.key))));
    this.element = h(
      "figure",
      { class: "plot panel" },
      h("figcaption", null, h("span", null, title, note ? h("small", null, note) : null), this.now),
      legend,
      h("div", { class: "plot-body" }, this.canvas, this.tip),
    );
    this.canvas.addEventListener("pointermove", (event) => this.#hover(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.#hover(null));
    this.observer = new ResizeObserver(() => this.#draw());
    this.observer.observe(this.canvas);
  }

  stop() {
    this.observer.disconnect();
  }

  // `points`: a time in ms and the values by key, null where nothing is known. `span` is all the ms that are shown.
  show(points, span) {
    this.points = points;
    this.span = span;
    const last = points.at(-1);
    const known = last && this.series.map((each) => last.values[each.key]).filter((value) => value != null);
    this.now.textContent = known?.length ? this.format(known.reduce((sum, value) => sum + value, 0)) : "–";
    for (const [key, shown] of this.values) shown.textContent = last?.values[key] == null ? "–" : this.format(last.values[key]);
    this.#draw();
  }

  #draw() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const end = this.points.at(-1)?.at ?? 0;
    const highest = Math.max(0, ...this.points.flatMap((p) => this.series.map((each) => p.values[each.key] ?? 0)));
    const top = ceiling(highest, this.least);
    this.x = (at) => LEFT + (width - LEFT - RIGHT) * (1 - (end - at) / this.span);
    this.y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const grid = [0, top / 2, top].map((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: this.y(value), y2: this.y(value) }),
      svg("text", { class: "tick", x: LEFT - 6, y: this.y(value) + 3.5, "text-anchor": "end" }, this.format(value)),
    ]);
    const axis = [
      svg("text", { class: "tick", x: LEFT, y: HEIGHT - 3 }, `${Math.round(this.span / 60000)} min ago`),
      svg("text", { class: "tick", x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, "now"),
    ];
    const lines = this.series.map((each) => this.#line(each));
    this.marks = svg("g");
    this.canvas.replaceChildren(...grid.flat(), ...axis, ...lines.flat(), this.marks);
    this.#mark();
  }

  #line({ key, cls }) {
    const runs = [];
    let run = null;
    for (const point of this.points) {
      const value = point.values[key];
      if (value == null) run = null;
      else {
        if (!run) runs.push((run = []));
        run.push([this.x(point.at).toFixed(1), this.y(value).toFixed(1)]);
      }
    }
    return runs.flatMap((run) => {
      const path = `M${run.map((xy) => xy.join(" ")).join("L")}`;
      const line = svg("path", { class: `line ${cls}`, d: run.length > 1 ? path : `${path}h.1` });
      if (this.series.length > 1) return [line];
      const base = this.y(0);
      return [svg("path", { class: `area ${cls}`, d: `${path}L${run.at(-1)[0]} ${base}L${run[0][0]} ${base}Z` }), line];
    });
  }

  #hover(x) {
    const near = x === null || !this.x ? null : (best, point) => (Math.abs(this.x(point.at) - x) < Math.abs(this.x(best.at) - x) ? point : best);
    this.hovered = near && this.points.length ? this.points.reduce(near).at : null;
    this.#mark();
  }

  #mark() {
    const point = this.hovered === null ? null : this.points.find((each) => each.at === this.hovered);
    this.tip.hidden = !point;
    if (!this.marks) return;
    if (!point) return this.marks.replaceChildren();
    const x = this.x(point.at);
    const known = this.series.filter((each) => point.values[each.key] != null);
    this.marks.replaceChildren(
      svg("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
      ...known.map((each) => svg("circle", { class: `dot ${each.cls}`, cx: x, cy: this.y(point.values[each.key]), r: 3.5 })),
    );
    this.tip.replaceChildren(
      h("span", null, clock(point.at)),
      ...known.map((each) => h("span", { class: each.cls }, `${this.series.length > 1 ? each.label + " " : ""}${this.format(point.values[each.key])}`)),
    );
    const width = this.canvas.clientWidth;
    const side = x > width / 2 ? "right" : "left";
    this.tip.style[side] = `${side === "left" ? x + 10 : width - x + 10}px`;
    this.tip.style[side === "left" ? "right" : "left"] = "auto";
  }
}
