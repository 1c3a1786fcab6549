// Puts the page together: the timeline first, which people wait for, then the charts.

function packed(id) {
  return document.getElementById(id)?.textContent ?? "";
}

function canvas(id) {
  return document.getElementById(id);
}

async function timelineOf(text) {
  const model = readModel(await inflated(text));
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

async function main() {
  const page = { timeline: undefined, charts: undefined, readyAt_ms: 0 };
  window.overlapse = page; // the page's one name, for whoever opens the console
  watchTheme(() => {
    page.timeline?.painter.readColours();
    page.timeline?.draw();
    page.charts?.draw();
  });
  page.timeline = await timelineOf(packed("timeline-data"));
  page.readyAt_ms = performance.now();
  root.dataset.ready = "timeline";
  const decoder = new TextDecoder();
  page.charts = new Charts(JSON.parse(decoder.decode(await inflated(packed("charts-data")))));
  await wanted();
  await page.charts.unpack(packed("plotly"));
  root.dataset.ready = "all";
}

main().catch((error) => {
  document.getElementById("trouble").hidden = false;
  document.getElementById("trouble").textContent = `The pictures cannot be drawn in this browser: ${error.message}`;
  throw error;
});
