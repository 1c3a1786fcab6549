// Pointer, wheel and keys.

const STEP = 0.2; // of the view that an arrow key moves
const CLOSER = 1.5;
const CLICK = 4; // pixels that a click may wander

function listenToPointer(timeline, tooltip) {
  const canvas = timeline.painter.canvases.lanes;
  const held = new Map(); // pointers that are down, by id
  let wandered = 0;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const hover = (event) => {
    const { x, y } = place(event);
    const found = timeline.at(x, y);
    if (!found) return tooltip.hide();
    return tooltip.show({ x: event.clientX, y: event.clientY }, found, timeline.inPixel(found.lane, found.time, found.pixel));
  };
  canvas.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, place(event));
    wandered = 0;
    canvas.setPointerCapture(event.pointerId);
    tooltip.hide();
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return hover(event);
    const now = place(event);
    wandered += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (held.size === 1) timeline.pan((before.x - now.x) / timeline.painter.room);
    else pinch(timeline, held, event.pointerId, now);
    held.set(event.pointerId, now);
    return undefined;
  });
  const released = (event) => {
    const start = held.get(event.pointerId);
    held.delete(event.pointerId);
    if (!start || wandered > CLICK || event.type === "pointercancel") return;
    const found = timeline.at(start.x, start.y);
    timeline.choose(found && found.slice >= 0 ? found.slice : -1);
  };
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("pointerleave", () => tooltip.hide());
  canvas.addEventListener("dblclick", (event) => timeline.zoom(4, timeline.timeAt(place(event).x)));
  canvas.addEventListener("wheel", (event) => wheel(timeline, event, place(event).x), { passive: false });
}

// Two fingers: what lay between them still does.
function pinch(timeline, held, moved, now) {
  const [other] = [...held].filter(([id]) => id !== moved).map(([, point]) => point);
  const before = held.get(moved);
  const apart = (one) => Math.max(8, Math.abs(one.x - other.x));
  timeline.zoom(apart(now) / apart(before), timeline.timeAt((now.x + other.x) / 2));
}

// With Ctrl (or Command) the wheel zooms, sideways or with Shift it moves in time; else it scrolls as everywhere.
function wheel(timeline, event, x) {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    timeline.zoom(Math.exp(-event.deltaY / 240), timeline.timeAt(x));
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    timeline.pan((event.deltaX || event.deltaY) / timeline.painter.room);
  }
}

function listenToOverview(timeline) {
  const canvas = timeline.painter.canvases.overview;
  const go = (event) => {
    const { painter, model, view } = timeline;
    const x = event.clientX - canvas.getBoundingClientRect().left - painter.gutter;
    timeline.look((x / painter.room) * model.end - view.span / 2, view.span);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    go(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && go(event));
}

function listenToKeys(timeline, search, frame) {
  const keys = {
    ArrowLeft: () => timeline.pan(-STEP),
    ArrowRight: () => timeline.pan(STEP),
    ArrowUp: () => timeline.scroller.scrollBy(0, -60),
    ArrowDown: () => timeline.scroller.scrollBy(0, 60),
    "+": () => timeline.zoom(CLOSER),
    "=": () => timeline.zoom(CLOSER),
    "-": () => timeline.zoom(1 / CLOSER),
    Home: () => timeline.home(),
    n: () => timeline.beside(1),
    b: () => timeline.beside(-1),
    p: () => timeline.showPath(!timeline.pathShown),
  };
  frame.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target === search) return;
    if (event.target.tagName === "BUTTON" && event.key.startsWith("Arrow")) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target.tagName !== "INPUT") {
      event.preventDefault();
      search.focus();
      search.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Escape") {
      search.value = "";
      search.dispatchEvent(new Event("input"));
      timeline.choose(-1);
      timeline.showPath(false);
      if (document.activeElement === search) timeline.painter.canvases.lanes.focus({ preventScroll: true });
    }
  });
}

function listenToSearch(timeline, search, answer) {
  const say = () => {
    const count = timeline.hits.length;
    answer.textContent = !timeline.wanted
      ? ""
      : count ? `${timeline.hit >= 0 ? `${timeline.hit + 1} of ` : ""}${counted(count, "slice")}` : "no such op";
  };
  search.addEventListener("input", () => {
    timeline.search(search.value);
    say();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    timeline.nextHit(event.shiftKey ? -1 : 1);
    say();
  });
}

function listenToButtons(timeline) {
  const actions = {
    "zoom-in": () => timeline.zoom(CLOSER),
    "zoom-out": () => timeline.zoom(1 / CLOSER),
    "zoom-home": () => timeline.home(),
    "show-path": () => timeline.showPath(!timeline.pathShown),
    "show-messages": () => timeline.showMessages(!timeline.messages),
  };
  for (const [id, act] of Object.entries(actions)) {
    const button = document.getElementById(id);
    button.addEventListener("click", () => {
      act();
      if (id === "show-messages") button.setAttribute("aria-pressed", timeline.messages);
    });
  }
  const name = document.title.replace(/[^\w.-]+/g, "-").slice(0, 80) || "timeline";
  const picture = () => timeline.picture(Math.max(720, timeline.painter.width));
  document.getElementById("save-svg").addEventListener("click", () => {
    save(`${name}.svg`, new Blob([svgText(picture())], { type: "image/svg+xml" }));
  });
  document.getElementById("save-png").addEventListener("click", async () => save(`${name}.png`, await pngOf(picture())));
  document.getElementById("show-path").hidden = !timeline.model.path.size;
  document.getElementById("show-messages").hidden = !timeline.model.lanes.some((lane) => lane.inner);
}
