// Puts the page together: the timeline first, which people wait for, then the charts.

function packed(id) {
  return document.getElementById(id)?.textContent ?? "";
}

function canvas(id) {
  return document.getElementById(id);
}

function timelineOf(text) {
  const model = readModel(inflated(text));
  const painter = new Painter(model, { overview: canvas("overview"), axis: canvas("axis"), lanes: canvas("lanes") });
  const tooltip = new Tooltip(model, document.getElementById("tooltip"));
  const panel = new Panel(model, document.getElementById("slice"), (slice) => timeline.reveal(slice));
  const timeline = new Timeline(model, painter, panel);
  const search = document.getElementById("search");
  listenToPointer(timeline, tooltip);
  listenToOverview(timeline);
  listenToKeys(timeline, search, document.getElementById("timeline"));
  listenToSearch(timeline, search, document.getElementById("found"));
  listenToButtons(timeline);
  timeline.resize();
  return timeline;
}

// What the page looks like now, on the screen or on paper.
function show(page, onPaper) {
  page.timeline.painter.readColours();
  page.timeline.draw();
  const paper = document.getElementById("paper");
  paper.hidden = !onPaper;
  paper.replaceChildren(...(onPaper ? [page.timeline.picture(PAPER_WIDTH)] : []));
  if (onPaper) page.charts.onPaper();
  else page.charts.draw();
}

async function main() {
  const page = { timeline: undefined, charts: undefined, readyAt_ms: 0 };
  window.overlapse = page; // the page's one name, for whoever opens the console
  page.timeline = timelineOf(packed("timeline-data"));
  page.readyAt_ms = performance.now();
  const figures = JSON.parse(new TextDecoder().decode(inflated(packed("charts-data"))));
  page.charts = new Charts(figures, packed("plotly"));
  watchTheme(() => show(page, false));
  watchPaper(() => show(page, true), () => show(page, false));
  root.dataset.ready = "timeline";
  await wanted();
  await page.charts.unpack();
  root.dataset.ready = "all";
}

main().catch((error) => {
  document.getElementById("trouble").hidden = false;
  document.getElementById("trouble").textContent = `The pictures cannot be drawn in this browser: ${error.message}`;
  throw error;
});
