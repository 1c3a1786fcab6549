// Words about a slice: the tooltip under the pointer and the panel below the lanes. Names are text, never markup.

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent?.append(made);
  return made;
}

// What there is to say of a slice, as pairs of a word and its value.
function facts(model, slice) {
  const { begin, took, waited, kernel, chunk, task } = model.slices;
  const [kind, cause, flops, nbytes, sent, tile, chunks] = model.facts[model.factOf[kernel[slice]]];
  const second = model.tick_s;
  const pairs = [
    ["kind", kind],
    ["time", duration(took[slice] * second)],
    ["from", `${duration(begin[slice] * second, 6)} to ${duration((begin[slice] + took[slice]) * second, 6)}`],
    ["bound by", cause],
    ["FLOPs", flops ? quantity(flops, "FLOP") : "none"],
    ["HBM bytes", nbytes ? quantity(nbytes, "B") : "none"],
  ];
  if (flops && nbytes) pairs.push(["intensity", `${significant(flops / nbytes, 4)} FLOP/B`]);
  if (sent) pairs.push(["sent", quantity(sent, "B")]);
  if (waited[slice]) pairs.push(["waited", duration(waited[slice] * second)]);
  if (tile) pairs.push(["tile", tile]);
  if (chunks > 1) pairs.push(["chunk", `${chunk[slice] + 1} of ${chunks}`]);
  if (model.path.size) pairs.push(["critical path", onPath(model, task[slice])]);
  return pairs;
}

function onPath(model, task) {
  if (model.path.has(task)) return "on it";
  return model.along.has(task) ? "part of a collective on it" : "not on it";
}

function definitions(pairs, parent) {
  const list = document.createElement("dl");
  for (const [word, value] of pairs) {
    const pair = element("div", "", list);
    element("dt", word, pair);
    element("dd", value, pair);
  }
  parent.append(list);
}

// The tasks on one side, a few of them: a slice of each, and its name, with its chip where that is another one.
function neighbours(model, slice, side, most) {
  const tasks = [...linked(side, model.slices.task[slice])];
  const { chip } = model.lanes[laneOf(model, slice)];
  const slices = tasks.map((task) => model.sliceOf.first[task]).filter((each) => each >= 0);
  const shown = slices.slice(0, most).map((each) => {
    const there = model.lanes[laneOf(model, each)].chip;
    return { slice: each, name: there === chip ? nameOf(model, each) : `${nameOf(model, each)} on chip ${there}` };
  });
  return { shown, more: Math.max(0, tasks.length - most) };
}

class Tooltip {
  constructor(model, box) {
    this.model = model;
    this.box = box;
  }

  hide() {
    this.box.hidden = true;
  }

  // `point` in the page; `place` what the timeline found there; `mix` what is inside the pixel.
  show(point, place, mix) {
    this.box.replaceChildren();
    const { model } = this;
    const narrow = place.slice >= 0 && model.slices.took[place.slice] < place.pixel;
    if (place.slice >= 0 && !(narrow && mix.count > 1)) this.slice(place.slice);
    else this.mixture(place, mix);
    this.box.hidden = false;
    const { offsetWidth: wide, offsetHeight: high } = this.box;
    const left = Math.min(point.x + 14, document.documentElement.clientWidth - wide - 8);
    const top = point.y + 18 + high > innerHeight ? point.y - high - 12 : point.y + 18;
    this.box.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  }

  slice(slice) {
    const { model } = this;
    element("strong", nameOf(model, slice), this.box);
    const before = neighbours(model, slice, model.links.before, 3);
    const names = before.shown.map(({ name }) => name);
    if (before.more) names.push(`${before.more} more`);
    definitions([...facts(model, slice), ["after", names.join(", ") || "nothing"]], this.box);
  }

  mixture(place, { share, count }) {
    const { model } = this;
    const busy = share.reduce((one, other) => one + other, 0);
    element("strong", `${place.lane.name}: ${busy > 0 ? `${percent(Math.min(1, busy))} busy` : "idle"}`, this.box);
    const pairs = [...share].map((value, cause) => [model.causes[cause], value]).filter(([, value]) => value > 0);
    pairs.sort(([, one], [, other]) => other - one);
    const at = [["at", duration(Math.max(0, place.time) * model.tick_s, 6)], ["pixel", duration(place.pixel * model.tick_s)]];
    const inside = place.lane.detailed && count ? [["inside", counted(count, "slice")]] : [];
    definitions([...at, ...inside, ...pairs.map(([cause, value]) => [cause, percent(value)])], this.box);
  }
}

class Panel {
  constructor(model, box, choose) {
    this.model = model;
    this.box = box;
    this.reveal = choose;
  }

  show(slice) {
    this.box.replaceChildren();
    this.box.hidden = slice < 0;
    if (slice < 0) return;
    const { model } = this;
    const lane = model.lanes[laneOf(model, slice)];
    element("h3", nameOf(model, slice), this.box);
    definitions([["where", `chip ${lane.chip}, ${lane.name}`], ...facts(model, slice)], this.box);
    this.neighbours("waits for", slice, model.links.before);
    this.neighbours("then", slice, model.links.after);
  }

  neighbours(title, slice, side) {
    const { shown, more } = neighbours(this.model, slice, side, DETAIL_ROWS);
    const line = element("p", "", this.box);
    element("span", title, line);
    for (const { slice: there, name } of shown) {
      const button = element("button", name, line);
      button.type = "button";
      button.addEventListener("click", () => this.reveal(there));
    }
    if (more) element("em", `and ${more} more`, line);
    if (!shown.length) element("em", "nothing", line);
  }
}
