// The timeline as a person handles it: what is in view, what is chosen, what is searched for.

const CLOSEST = 20; // ticks that a view spans at least
const DETAIL_ROWS = 9; // neighbours named in the panel
const HEADING = 24;
const INNER = 15;
const LOWEST = 21;
const TALLEST = 160;
const PAPER_HEIGHT = 860; // of a page that lanes may take

class Timeline {
  constructor(model, painter, panel) {
    this.model = model;
    this.painter = painter;
    this.panel = panel;
    this.scroller = document.getElementById("lanes-scroll");
    this.space = document.getElementById("lanes-space");
    this.view = { from: 0, span: Math.max(1, model.end) };
    this.chosen = -1; // a slice
    this.pathShown = false;
    this.messages = false;
    this.hits = [];
    this.hit = -1;
    this.wanted = "";
    this.drawn = 0;
    this.lastDraw_ms = 0;
    this.chain = this.pathChain();
    this.shade();
    this.layOut();
    this.scroller.addEventListener("scroll", () => this.redraw());
    new ResizeObserver(() => this.resize()).observe(this.scroller.parentElement);
  }

  // One slice for each task of the critical path, in order of time.
  pathChain() {
    const { model } = this;
    const chain = [...model.path].map((task) => model.sliceOf.first[task]).filter((slice) => slice >= 0);
    const { begin } = model.slices;
    chain.sort((one, other) => begin[one] - begin[other] || one - other);
    return chain.map((slice) => ({ slice, lane: model.lanes[laneOf(model, slice)] }));
  }

  // Rows from top to bottom: a heading for each chip where there are several, then its lanes.
  layOut() {
    const { lanes } = this.model;
    const shown = lanes.filter((lane) => this.messages || !lane.inner);
    const several = new Set(lanes.map((lane) => lane.chip)).size > 1;
    const label = this.painter.narrow ? 15 : 0;
    const tall = this.laneHeight(shown, several) - label;
    this.rows = [];
    let y = 0;
    let chip;
    for (const lane of shown) {
      if ((several || lane.alike) && lane.chip !== chip) {
        this.rows.push({ y, height: HEADING, text: chipText(lane) });
        y += HEADING;
      }
      chip = lane.chip;
      const height = (lane.inner ? INNER : tall) + label;
      const text = lane.detailed ? lane.name : `${lane.name} (utilisation only)`;
      this.rows.push({ y, height, label, lane, text: lane.inner ? `· ${text}` : text });
      y += height;
    }
    this.space.style.height = `${y}px`;
  }

  // Few lanes are tall, many as low as can be read; what does not fit is scrolled to.
  laneHeight(shown, several) {
    const headings = several ? new Set(shown.map((lane) => lane.chip)).size * HEADING : 0;
    const inner = shown.filter((lane) => lane.inner).length;
    const each = (this.most() - headings - inner * INNER) / Math.max(1, shown.length - inner);
    return Math.min(TALLEST, Math.max(LOWEST, Math.floor(each)));
  }

  most() {
    return Math.max(240, Math.round(innerHeight * 0.66));
  }

  resize() {
    const width = this.scroller.clientWidth;
    if (!width) return;
    this.painter.resize(width, 1); // whether it is narrow decides the rows, and they the height
    this.layOut();
    const height = Math.min(parseFloat(this.space.style.height), this.most());
    this.scroller.style.height = `${height}px`;
    this.painter.resize(this.scroller.clientWidth, height);
    this.draw();
  }

  // Which slices keep their colour: what is searched for, else the critical path, else all.
  shade() {
    const { model } = this;
    const { kernel, task } = model.slices;
    const faded = model.causes.length;
    const found = this.wanted ? model.names.map((name) => name.toLowerCase().includes(this.wanted)) : undefined;
    this.shades = model.cause.slice();
    if (!found && !this.pathShown) return;
    for (let at = 0; at < this.shades.length; at += 1) {
      if (!(found ? found[kernel[at]] : isCritical(model, task[at]))) this.shades[at] += faded;
    }
  }

  redraw() {
    if (this.drawn) return;
    this.drawn = requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.drawn);
    this.drawn = 0;
    const start = performance.now();
    this.painter.overview(this.view, this.shades);
    this.painter.axis(this.view);
    this.painter.lanes(this.rows, this.view, this.scroller.scrollTop, this.shades, this.marked());
    this.lastDraw_ms = performance.now() - start;
  }

  // What is marked: the chosen task, what it waited for and what waited for it, and the critical path.
  marked() {
    const task = this.chosen < 0 ? -1 : this.model.slices.task[this.chosen];
    const { before, after } = this.model.links;
    const beside = new Set(task < 0 ? [] : [...linked(before, task), ...linked(after, task)]);
    return { task, beside, chain: this.pathShown && !this.wanted ? this.chain : undefined };
  }

  // What is in view as a picture of shapes: for paper and files. Lanes that a page has no room for are counted.
  picture(width) {
    const { rows } = this;
    const shown = rows.filter((row) => row.y + row.height <= PAPER_HEIGHT);
    const last = shown[shown.length - 1];
    const left = rows.length - shown.length;
    const paper = this.painter.onPaper(width, (last ? last.y + last.height : 0) + (left ? 20 : 0));
    paper.axis(this.view);
    paper.lanes(shown, this.view, 0, this.shades, this.marked());
    if (left) paper.side(paper.contexts.lanes, `${left} more lanes`, last.y + last.height + 10);
    return paper.picture;
  }

  timeAt(x) {
    return this.view.from + ((x - this.painter.gutter) / this.painter.room) * this.view.span;
  }

  look(from, span) {
    const end = Math.max(1, this.model.end);
    this.view.span = Math.min(end, Math.max(Math.min(end, CLOSEST), span));
    this.view.from = Math.min(end - this.view.span, Math.max(0, from));
    this.redraw();
  }

  // Closer by a factor, with the time at `at` staying where it is.
  zoom(factor, at = this.view.from + this.view.span / 2) {
    const { from, span } = this.view;
    const next = Math.min(Math.max(1, this.model.end), Math.max(CLOSEST, span / factor));
    this.look(at - ((at - from) / span) * next, next);
  }

  pan(share) {
    this.look(this.view.from + share * this.view.span, this.view.span);
  }

  home() {
    this.look(0, this.model.end);
  }

  // What is at a point of the lanes: the lane, the time, the slice there if any, and how wide its pixel is.
  at(x, y) {
    const place = y + this.scroller.scrollTop;
    const row = this.rows.find((each) => each.lane && place >= each.y && place < each.y + each.height);
    if (!row || x < this.painter.gutter) return undefined;
    const time = this.timeAt(x);
    const pixel = this.view.span / this.painter.room;
    return { lane: row.lane, time, pixel, slice: this.nearest(row.lane, time, 2 * pixel) };
  }

  nearest(lane, time, reach) {
    const { begin } = this.model.slices;
    const after = firstEnding(this.model, lane, time);
    if (after < lane.last && begin[after] <= time) return after;
    const close = (slice) => Math.max(begin[slice] - time, time - begin[slice] - this.model.slices.took[slice]);
    const near = [after - 1, after].filter((slice) => slice >= lane.first && slice < lane.last && close(slice) <= reach);
    return near.length ? near.reduce((one, other) => (close(other) < close(one) ? other : one)) : -1;
  }

  // How busy a lane is in one pixel, by cause, and how many slices it has there.
  inPixel(lane, time, pixel) {
    const share = new Float64Array(this.model.causes.length * 2);
    const from = time - pixel / 2;
    cover(this.model, lane, this.model.cause, { from, step: pixel, width: 1 }, share);
    const { begin } = this.model.slices;
    let count = 0;
    for (let at = firstEnding(this.model, lane, from); at < lane.last && begin[at] < from + pixel; at += 1) count += 1;
    return { share: share.subarray(0, this.model.causes.length), count };
  }

  choose(slice) {
    this.chosen = slice;
    this.panel.show(slice);
    this.redraw();
  }

  showPath(shown) {
    this.pathShown = shown && this.model.path.size > 0;
    this.shade();
    this.painter.whole = undefined;
    this.sayPath();
    this.redraw();
  }

  // The mode says that it is on, and what the colours mean in it.
  sayPath() {
    document.getElementById("show-path").setAttribute("aria-pressed", this.pathShown);
    const legend = document.getElementById("path-legend");
    legend.hidden = !this.pathShown;
    legend.replaceChildren();
    if (!this.pathShown) return;
    const { path, along } = this.model;
    const parts = along.size ? ` (and the ${counted(along.size, "message")} of its collectives)` : "";
    element("strong", "Critical path", legend);
    element("span", `in full colour: the ${counted(path.size, "task")} that the run's end waited for${parts}`, legend);
    element("span", "faded: all else, which can take longer without a loss", legend);
    element("span", "lines: from what was waited for to what waited", legend);
  }

  showMessages(shown) {
    this.messages = shown;
    this.resize();
  }

  // Brings a slice into view: its lane, and a span in which it is wide enough to be seen.
  reveal(slice) {
    const { begin, took } = this.model.slices;
    const lane = this.model.lanes[laneOf(this.model, slice)];
    if (lane.inner && !this.messages) this.showMessages(true);
    const row = this.rows.find((each) => each.lane === lane);
    const { scrollTop, clientHeight } = this.scroller;
    if (row.y < scrollTop || row.y + row.height > scrollTop + clientHeight) {
      this.scroller.scrollTop = row.y - clientHeight / 2;
    }
    const span = Math.min(this.view.span, Math.max(CLOSEST, took[slice] * 12));
    const middle = begin[slice] + took[slice] / 2;
    if (span < this.view.span || middle < this.view.from || middle > this.view.from + this.view.span) {
      this.look(middle - span / 2, span);
    }
    this.choose(slice);
  }

  search(text) {
    this.wanted = text.trim().toLowerCase();
    this.hit = -1;
    this.hits = [];
    this.shade();
    this.painter.whole = undefined;
    if (this.wanted) {
      const faded = this.model.causes.length;
      this.shades.forEach((shade, slice) => shade < faded && this.hits.push(slice));
      const { begin } = this.model.slices;
      this.hits.sort((one, other) => begin[one] - begin[other] || one - other);
    }
    this.redraw();
    return this.hits.length;
  }

  nextHit(step) {
    if (!this.hits.length) return;
    this.hit = (this.hit + step + this.hits.length) % this.hits.length;
    this.reveal(this.hits[this.hit]);
  }

  // The slice before or after the chosen one in its lane; without one, that in the middle of the view.
  beside(step) {
    if (this.chosen < 0) {
      const lane = this.rows.find((row) => row.lane?.detailed)?.lane;
      if (lane) this.reveal(Math.min(lane.last - 1, firstEnding(this.model, lane, this.view.from + this.view.span / 2)));
      return;
    }
    const lane = this.model.lanes[laneOf(this.model, this.chosen)];
    const next = this.chosen + step;
    if (next >= lane.first && next < lane.last) this.reveal(next);
  }
}

function chipText(lane) {
  const alike = lane.alike ? `, and ${counted(lane.alike, "chip")} just like it` : "";
  return `chip ${lane.chip} · ${lane.kind}${alike}`;
}
