// The timeline as it came in the page: columns of bytes, turned into typed arrays. The format stands in report_lanes.py.

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array };
const HIGH = 2 ** 32;
const BIN_FULL = 65535;

function summed(deltas) {
  const values = new Int32Array(deltas.length);
  let value = 0;
  for (let at = 0; at < deltas.length; at += 1) values[at] = value += deltas[at];
  return values;
}

function joined(low, high) {
  const values = new Float64Array(low.length);
  for (let at = 0; at < low.length; at += 1) values[at] = high[at] * HIGH + low[at];
  return values;
}

function readModel(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const column = (name) => {
    const [type, offset, count] = header.columns[name];
    return new ARRAYS[type](buffer, 4 + length + offset, count);
  };
  const begin = joined(column("begin_low"), column("begin_high"));
  const slices = {
    begin,
    took: joined(column("took_low"), column("took_high")),
    waited: joined(column("waited_low"), column("waited_high")),
    task: summed(column("task")),
    kernel: summed(column("kernel")),
    chunk: summed(column("chunk")),
  };
  const model = { ...header, slices, path: new Set(summed(column("path"))), along: new Set(summed(column("along"))), bins: column("bins"), binCount: header.bins };
  placeLanes(model, begin);
  model.cause = causes(model, column("fact"));
  model.factOf = column("fact");
  model.links = links(column("followers"), column("distance"));
  model.sliceOf = slicesByTask(slices.task, header.tasks);
  return model;
}

// Begins are counted from the one before in their lane; lanes without slices have parts of the run instead.
function placeLanes(model, begin) {
  let first = 0;
  let part = 0;
  for (const lane of model.lanes) {
    lane.first = first;
    lane.last = lane.detailed ? first + lane.count : first;
    for (let at = first + 1; at < lane.last; at += 1) begin[at] += begin[at - 1];
    first = lane.last;
    if (!lane.detailed) {
      lane.bins = part;
      part += model.causes.length * model.binCount;
    }
  }
}

function causes(model, factOf) {
  const ofFact = model.facts.map(([, cause]) => model.causes.indexOf(cause));
  const { kernel } = model.slices;
  const result = new Uint8Array(kernel.length);
  for (let at = 0; at < kernel.length; at += 1) result[at] = ofFact[factOf[kernel[at]]];
  return result;
}

// Who follows whom, and the same backwards: for task t the entries starts[t] .. starts[t + 1] of `tasks`.
function links(followers, distance) {
  const count = followers.length;
  const after = { starts: new Uint32Array(count + 1), tasks: new Int32Array(distance.length) };
  const before = { starts: new Uint32Array(count + 1), tasks: new Int32Array(distance.length) };
  for (let task = 0, at = 0; task < count; task += 1) {
    after.starts[task + 1] = at + followers[task];
    for (; at < after.starts[task + 1]; at += 1) {
      after.tasks[at] = task + distance[at];
      before.starts[after.tasks[at] + 1] += 1;
    }
  }
  for (let task = 0; task < count; task += 1) before.starts[task + 1] += before.starts[task];
  const next = before.starts.slice();
  for (let task = 0; task < count; task += 1) {
    for (let at = after.starts[task]; at < after.starts[task + 1]; at += 1) {
      before.tasks[next[after.tasks[at]]++] = task;
    }
  }
  return { after, before };
}

function linked(side, task) {
  return side.starts.length > task + 1 ? side.tasks.subarray(side.starts[task], side.starts[task + 1]) : [];
}

// The slices of a task: the first, and from each the next one, -1 at the end.
function slicesByTask(task, tasks) {
  const first = new Int32Array(tasks).fill(-1);
  const next = new Int32Array(task.length).fill(-1);
  for (let at = task.length - 1; at >= 0; at -= 1) {
    next[at] = first[task[at]];
    first[task[at]] = at;
  }
  return { first, next };
}

// Whether a slice is on the critical path: its task is, or it is a message of a collective that is.
function isCritical(model, task) {
  return model.path.has(task) || model.along.has(task);
}

function nameOf(model, slice) {
  return model.names[model.slices.kernel[slice]];
}

function laneOf(model, slice) {
  return model.lanes.findIndex((lane) => slice >= lane.first && slice < lane.last);
}

// The first slice of a lane that ends after a time.
function firstEnding(model, lane, time) {
  const { begin, took } = model.slices;
  let low = lane.first;
  let high = lane.last;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (begin[middle] + took[middle] > time) high = middle;
    else low = middle + 1;
  }
  return low;
}
