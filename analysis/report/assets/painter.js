// Paints the timeline: an overview of the whole run, an axis, and the lanes. What it is given decides everything; it keeps
// no state of its own but sizes and colours.

const FADED = 0.2; // how much of its colour a slice keeps that is not meant
const OVERVIEW_HEIGHT = 26;
const AXIS_HEIGHT = 22;
const GUTTER = 132;
const LANE_GAP = 3;
const LINE_HEIGHT = 14;
const FINE = 3; // pixels of an image on paper to one of the screen
const LABELLED = 34; // pixels from which a slice carries its name
const MOST_JOINED = 200; // slices of the critical path in view that are joined by lines
const PARTED = 5; // pixels from which a slice is parted from the next

class Painter {
  constructor(model, canvases) {
    this.model = model;
    this.canvases = canvases;
    this.contexts = Object.fromEntries(
      Object.entries(canvases).map(([name, canvas]) => [name, canvas.getContext("2d", { alpha: false })]),
    );
    this.readColours();
  }

  readColours() {
    const ground = channels(variable("--lane"));
    const full = this.model.causes.map((cause) => channels(variable(`--${cause}`)));
    this.colours = [...full, ...full.map((colour) => mixed(colour, ground, FADED))];
    this.onColour = this.colours.map((colour) => (brightness(colour) > 0.19 ? "#101418" : "#ffffff"));
    this.ground = ground;
    this.ink = Object.fromEntries(
      ["ink", "faint", "page", "lane", "line", "accent", "waiting"].map((name) => [name, variable(`--${name}`)]),
    );
    this.font = getComputedStyle(document.body).fontFamily;
    this.whole = undefined;
  }

  resize(width, height) {
    this.scale = devicePixelRatio || 1;
    this.narrow = width < 560;
    this.gutter = this.narrow ? 0 : GUTTER;
    this.width = width;
    this.room = width - this.gutter;
    this.height = height;
    const heights = { overview: OVERVIEW_HEIGHT, axis: AXIS_HEIGHT, lanes: height };
    for (const [name, canvas] of Object.entries(this.canvases)) {
      canvas.width = Math.round(width * this.scale);
      canvas.height = Math.round(heights[name] * this.scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${heights[name]}px`;
    }
    this.whole = undefined;
  }

  // Begins a canvas: page ground, and units of CSS pixels.
  start(name) {
    const context = this.contexts[name];
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.fillStyle = this.ink.page;
    context.fillRect(0, 0, this.width, context.canvas.height);
    context.textBaseline = "middle";
    context.font = `11px ${this.font}`;
    return context;
  }

  // The image of a lane in a view, in device pixels.
  image(lanes, shades, view, width, height) {
    const pixels = Math.max(1, Math.round(width * this.scale));
    const share = new Float64Array(this.colours.length * pixels);
    for (const lane of lanes) {
      cover(this.model, lane, shades, { from: view.from, step: view.span / pixels, width: pixels }, share);
    }
    if (lanes.length > 1) for (let at = 0; at < share.length; at += 1) share[at] /= lanes.length;
    const image = new ImageData(pixels, Math.max(1, Math.round(height * this.scale)));
    stack(share, this.colours, this.ground, image);
    return image;
  }

  // Another painter of the same run, whose every command makes a shape: an axis, and lanes of a height.
  onPaper(width, height) {
    const paper = Object.create(this);
    const root = shape("svg", { xmlns: SVG, width, height: AXIS_HEIGHT + height, viewBox: `0 0 ${width} ${AXIS_HEIGHT + height}` });
    Object.assign(paper, { scale: FINE, narrow: width < 560, gutter: width < 560 ? 0 : GUTTER, width, height });
    paper.room = width - paper.gutter;
    paper.contexts = {
      axis: new Drawing(width, AXIS_HEIGHT, 0, root),
      lanes: new Drawing(width, height, AXIS_HEIGHT, root),
    };
    paper.picture = root;
    return paper;
  }

  overview(view, shades) {
    const context = this.start("overview");
    const whole = { from: 0, span: this.model.end };
    this.whole ??= this.image(this.model.lanes.filter((lane) => !lane.inner), shades, whole, this.room, OVERVIEW_HEIGHT - 4);
    context.putImageData(this.whole, Math.round(this.gutter * this.scale), Math.round(2 * this.scale));
    const left = this.gutter + (view.from / this.model.end) * this.room;
    const wide = Math.max(2, (view.span / this.model.end) * this.room);
    context.fillStyle = this.ink.page;
    context.globalAlpha = 0.7;
    context.fillRect(this.gutter, 0, left - this.gutter, OVERVIEW_HEIGHT);
    context.fillRect(left + wide, 0, this.width - left - wide, OVERVIEW_HEIGHT);
    context.globalAlpha = 1;
    context.strokeStyle = this.ink.accent;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, wide - 1.5, OVERVIEW_HEIGHT - 1.5);
    this.side(context, "whole run", OVERVIEW_HEIGHT / 2);
  }

  // A label left of the lanes, cut where it would run into them.
  side(context, text, y) {
    if (!this.gutter) return;
    context.fillStyle = this.ink.faint;
    context.textAlign = "left";
    context.fillText(this.cut(context, text, this.gutter - 10), 0, y);
  }

  cut(context, text, room) {
    if (context.measureText(text).width <= room) return text;
    let length = Math.max(1, Math.floor((text.length * room) / context.measureText(text).width) - 1);
    while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > room) length -= 1;
    return `${text.slice(0, length)}…`;
  }

  axis(view) {
    const context = this.start("axis");
    const second = this.model.tick_s;
    const { step, places } = ticks(view.from * second, (view.from + view.span) * second, this.room / 96);
    const labels = tickLabels(places, step, (view.from + view.span) * second);
    context.fillStyle = this.ink.faint;
    places.forEach((at, number) => {
      const x = this.gutter + ((at / second - view.from) / view.span) * this.room;
      const wide = context.measureText(labels[number]).width;
      context.fillRect(x, AXIS_HEIGHT - 5, 1, 5);
      context.textAlign = "left";
      context.fillText(labels[number], Math.min(Math.max(this.gutter, x - wide / 2), this.width - wide), 8);
    });
  }

  // `rows` as laid out by the timeline; only those between `top` and the canvas' height are painted.
  lanes(rows, view, top, shades, marked) {
    const context = this.start("lanes");
    for (const row of rows) {
      const y = row.y - top;
      if (y + row.height < 0 || y > this.height) continue;
      if (row.lane) this.lane(context, row, y, view, shades, marked);
      else this.heading(context, row, y);
    }
    if (marked.chain) this.chain(context, rows, view, top, marked.chain);
  }

  heading(context, row, y) {
    context.fillStyle = this.ink.ink;
    context.font = `600 12px ${this.font}`;
    context.textAlign = "left";
    context.fillText(this.cut(context, row.text, this.width), 0, y + row.height / 2 + 1);
    context.font = `11px ${this.font}`;
  }

  lane(context, row, y, view, shades, marked) {
    const top = y + row.label;
    const height = row.height - row.label - LANE_GAP;
    this.coverage(context, row.lane, view, shades, top, height);
    if (this.gutter) this.side(context, row.text, top + height / 2);
    else {
      context.fillStyle = this.ink.faint;
      context.textAlign = "left";
      context.fillText(this.cut(context, row.text, this.width), 0, y + row.label / 2);
    }
    this.slices(context, row.lane, top, height, view, shades, marked);
  }

  // How busy the lane is, in colour.
  coverage(context, lane, view, shades, top, height) {
    if (context.vector && lane.detailed && this.allWide(lane, view)) {
      this.shapes(context, lane, view, shades, top, height);
      return;
    }
    const image = this.image([lane], shades, view, this.room, height);
    if (context.vector) context.image(image, this.gutter, top, this.room, height);
    else context.putImageData(image, Math.round(this.gutter * this.scale), Math.round(top * this.scale));
  }

  // Whether every slice in view is a pixel wide at least: thinner ones would be drawn too thick, so that a lane looks busy.
  allWide(lane, view) {
    const { begin, took } = this.model.slices;
    const least = view.span / this.room;
    for (let at = firstEnding(this.model, lane, view.from); at < lane.last && begin[at] < view.from + view.span; at += 1) {
      if (took[at] < least) return false;
    }
    return true;
  }

  shapes(context, lane, view, shades, top, height) {
    const { begin, took } = this.model.slices;
    const scale = this.room / view.span;
    context.fillStyle = this.ink.lane;
    context.fillRect(this.gutter, top, this.room, height);
    for (let at = firstEnding(this.model, lane, view.from); at < lane.last && begin[at] < view.from + view.span; at += 1) {
      const from = Math.max(0, (begin[at] - view.from) * scale);
      const until = Math.min(this.room, (begin[at] + took[at] - view.from) * scale);
      const [red, green, blue] = this.colours[shades[at]].map(Math.round);
      context.fillStyle = `rgb(${red},${green},${blue})`;
      context.fillRect(this.gutter + from, top, until - from, height);
    }
  }

  // What is wide enough to be seen by itself: an edge, a name; waiting as a line; the chosen slice framed.
  slices(context, lane, top, height, view, shades, marked) {
    const { begin, took, waited, task } = this.model.slices;
    const scale = this.room / view.span;
    const until = view.from + view.span;
    context.save();
    context.beginPath();
    context.rect(this.gutter, top - 2, this.room, height + 4);
    context.clip();
    for (let at = firstEnding(this.model, lane, view.from); at < lane.last; at += 1) {
      if (begin[at] - waited[at] > until) break;
      const x = this.gutter + (begin[at] - view.from) * scale;
      const wide = took[at] * scale;
      if (waited[at] * scale >= 2) this.wait(context, x, waited[at] * scale, top + height / 2);
      if (marked.task === task[at]) this.frame(context, x, wide, top, height, this.ink.ink, 2);
      else if (marked.beside.has(task[at])) this.frame(context, x, wide, top, height, this.ink.accent, 1.5);
      if (wide < PARTED) continue;
      context.fillStyle = this.ink.lane;
      context.fillRect(x + wide - 1, top, 1, height);
      if (wide >= LABELLED && height >= 12) this.name(context, at, { x, wide, top, height }, this.onColour[shades[at]]);
    }
    context.restore();
  }

  wait(context, x, wide, y) {
    context.strokeStyle = this.ink.waiting;
    context.lineWidth = 2;
    context.setLineDash([2, 2]);
    context.beginPath();
    context.moveTo(x - wide, y);
    context.lineTo(x, y);
    context.stroke();
    context.setLineDash([]);
  }

  frame(context, x, wide, top, height, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x - 1, top - 1, Math.max(2, wide) + 1, height + 2);
  }

  // Its name; where there is room below it how long it takes, and what binds it.
  name(context, slice, { x, wide, top, height }, colour) {
    const left = Math.max(x, this.gutter);
    const room = Math.min(x + wide, this.width) - left - 9;
    if (room < 12) return;
    const { kernel, took } = this.model.slices;
    const [kind, cause] = this.model.facts[this.model.factOf[kernel[slice]]];
    const words = [nameOf(this.model, slice), duration(took[slice] * this.model.tick_s), `${kind}, ${cause}`];
    const most = Math.max(1, Math.floor((height - 4) / LINE_HEIGHT));
    const lines = words.slice(0, most).filter((line, at) => !at || context.measureText(line).width <= room);
    context.fillStyle = colour;
    context.textAlign = "left";
    const first = top + height / 2 + 0.5 - ((lines.length - 1) * LINE_HEIGHT) / 2;
    lines.forEach((line, at) => context.fillText(this.cut(context, line, room), left + 5, first + at * LINE_HEIGHT));
  }

  // The critical path from slice to slice, where few enough are in view to follow.
  chain(context, rows, view, top, chain) {
    const middle = new Map(
      rows.filter((row) => row.lane).map((row) => [row.lane, row.y - top + row.label + (row.height - row.label - LANE_GAP) / 2]),
    );
    const { begin, took } = this.model.slices;
    const seen = chain.filter(({ slice }) => begin[slice] <= view.from + view.span && begin[slice] + took[slice] >= view.from);
    if (seen.length > MOST_JOINED) return;
    context.strokeStyle = this.ink.ink;
    context.lineWidth = 1.25;
    for (let at = 1; at < seen.length; at += 1) {
      const before = seen[at - 1];
      const here = seen[at];
      if (before.lane === here.lane) continue;
      const x = this.gutter + ((begin[here.slice] - view.from) / view.span) * this.room;
      context.beginPath();
      context.moveTo(x, middle.get(before.lane));
      context.lineTo(x, middle.get(here.lane));
      context.stroke();
    }
  }
}

// Relative luminance, 0 to 1 (WCAG 2).
function brightness(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
