// How busy every pixel of a lane is. Nothing is painted that did not run: a pixel's ink is the share of its time in which
// the lane was busy, by shade (a cause, bright or faded), whatever the zoom.

// Adds to `share[shade * width + pixel]`; the view starts at `from` and each pixel lasts `step`.
function cover(model, lane, shades, view, share) {
  if (lane.detailed) coverSlices(model, lane, shades, view, share);
  else coverBins(model, lane, view, share);
}

function coverSlices(model, lane, shades, view, share) {
  const { begin, took } = model.slices;
  const { from, step, width } = view;
  const until = from + step * width;
  for (let at = firstEnding(model, lane, from); at < lane.last && begin[at] < until; at += 1) {
    const start = Math.max(0, (begin[at] - from) / step);
    const stop = Math.min(width, (begin[at] + took[at] - from) / step);
    spread(share, shades[at] * width, start, stop, 1);
  }
}

function coverBins(model, lane, view, share) {
  const { from, step, width } = view;
  const length = model.end / model.binCount;
  for (let cause = 0; cause < model.causes.length; cause += 1) {
    const parts = model.bins.subarray(lane.bins + cause * model.binCount, lane.bins + (cause + 1) * model.binCount);
    for (let at = Math.max(0, Math.floor(from / length)); at < parts.length; at += 1) {
      const start = Math.max(0, (at * length - from) / step);
      if (start >= width) break;
      const stop = Math.min(width, ((at + 1) * length - from) / step);
      if (parts[at]) spread(share, cause * width, start, stop, parts[at] / BIN_FULL);
    }
  }
}

// A span over pixels: whole ones get all of `amount`, the first and the last what they have of it.
function spread(share, row, start, stop, amount) {
  if (stop <= start) return;
  const first = Math.floor(start);
  const last = Math.floor(stop);
  if (first === last) {
    share[row + first] += (stop - start) * amount;
    return;
  }
  share[row + first] += (first + 1 - start) * amount;
  for (let pixel = first + 1; pixel < last; pixel += 1) share[row + pixel] += amount;
  if (stop > last) share[row + last] += (stop - last) * amount;
}

// Stacks the shares of each pixel from the bottom up, into the pixels of an image `height` high. Where a share ends inside
// a pixel the colours are mixed, so that the ink of a column is its share to a 255th.
function stack(share, colours, ground, image) {
  const { width, height, data } = image;
  const words = new Uint32Array(data.buffer);
  words.fill(word(ground));
  const full = colours.map(word);
  const busy = colours.map((_, shade) => shade).filter((shade) => hasAny(share, shade * width, width));
  for (let x = 0; x < width; x += 1) {
    let top = 0;
    for (const shade of busy) {
      const part = share[shade * width + x];
      if (part <= 0) continue;
      const from = top;
      top = Math.min(height, from + part * height);
      const column = { x, from, top, full: full[shade] };
      paint(data, words, width, height, column, colours[shade], ground);
    }
  }
}

// One share of one column: whole pixels at once, those at its ends mixed.
function paint(data, words, width, height, { x, from, top, full }, colour, ground) {
  for (let row = Math.floor(from); row < top; row += 1) {
    const part = Math.min(top, row + 1) - Math.max(from, row);
    const at = (height - 1 - row) * width + x;
    if (part >= 1) words[at] = full;
    else for (let band = 0; band < 3; band += 1) data[at * 4 + band] += part * (colour[band] - ground[band]);
  }
}

// A colour as a pixel of an image: red in the first byte.
function word(colour) {
  return new Uint32Array(new Uint8ClampedArray([...colour, 255]).buffer)[0];
}

function hasAny(values, from, count) {
  for (let at = from; at < from + count; at += 1) if (values[at] > 0) return true;
  return false;
}
