// The charts: figures made by Python, drawn by plotly, which comes deflated and is unpacked after the page is up.

// A script made from text runs at once and in order; it defines the page's one library.
function load(code) {
  const script = document.createElement("script");
  script.textContent = code;
  document.head.append(script);
  script.remove();
}

// Figures know nothing of the ground they stand on: inks and lines come from the page.
function onGround(layout) {
  const ink = variable("--ink");
  const line = variable("--line");
  const themed = { ...layout, font: { ...layout.font, color: ink } };
  themed.hoverlabel = { ...layout.hoverlabel, bgcolor: variable("--panel"), bordercolor: line };
  themed.hoverlabel.font = { ...layout.hoverlabel?.font, color: ink };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const axis = layout[name];
    themed[name] = { ...axis, gridcolor: line, linecolor: line, tickcolor: line };
    themed[name].tickfont = { ...axis.tickfont, color: variable("--faint") };
    themed[name].title = { ...axis.title, font: { ...axis.title?.font, color: variable("--faint") } };
  }
  return themed;
}

// Where there is no room for a legend beside its chart, the chart is so much higher, and the legend stands below.
const NARROW_WIDTH = 560;
const LEGEND_ROW = 20;

function inRoom(layout, data, width) {
  const named = data.filter((trace) => trace.name && trace.showlegend !== false).length;
  if (width >= NARROW_WIDTH || layout.showlegend === false || named < 2) return layout;
  const height = Math.max(layout.height, 2 * LEGEND_ROW * named) + LEGEND_ROW * named;
  const legend = { ...layout.legend, x: 0, y: -70 / layout.height, xanchor: "left", yanchor: "top" };
  return { ...layout, height, legend };
}

// Traces may ask for the ink of the page; there is no such colour elsewhere.
function inked(traces) {
  const text = JSON.stringify(traces).replaceAll('"ink"', JSON.stringify(variable("--ink")));
  return JSON.parse(text);
}

// Starting the library stops the page for a moment: not before a chart is near, or nobody has done anything for a while.
const QUIET_MS = 2000;

function wanted() {
  return new Promise((resolve) => {
    const near = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && done(), { rootMargin: "200px" });
    let timer;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(done, QUIET_MS);
    };
    const signs = ["pointerdown", "pointermove", "wheel", "keydown"];
    function done() {
      clearTimeout(timer);
      near.disconnect();
      signs.forEach((sign) => removeEventListener(sign, wait));
      resolve();
    }
    signs.forEach((sign) => addEventListener(sign, wait, { passive: true }));
    document.querySelectorAll(".chart").forEach((box) => near.observe(box));
    wait();
  });
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}

const PAPER_WIDTH = 700; // of what A4 and Letter have between their margins
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false, showTips: false };

class Charts {
  constructor(figures, packed) {
    this.figures = figures;
    this.packed = packed;
    this.drawn = new Set();
    for (const button of document.querySelectorAll("button[data-chart]")) {
      button.addEventListener("click", () => this.save(button.dataset.chart, button.dataset.format));
    }
  }

  // One chart after the other, with room in between for whoever is using the timeline.
  async unpack() {
    this.library();
    for (const name of Object.keys(this.figures)) {
      await pause();
      this.drawOne(name);
    }
  }

  library() {
    if (typeof Plotly === "undefined") load(new TextDecoder().decode(inflated(this.packed)));
  }

  // All that are there, at once.
  draw(width) {
    this.drawn.forEach((name) => this.drawOne(name, width));
  }

  // All, at once, as wide as paper is: printing does not wait.
  onPaper() {
    this.library();
    Object.keys(this.figures).forEach((name) => this.drawOne(name, PAPER_WIDTH));
  }

  drawOne(name, width) {
    const box = document.getElementById(`chart-${name}`);
    const { data, layout } = this.figures[name];
    if (!box) return;
    const size = width ? { width, autosize: false } : { autosize: true };
    const fitted = inRoom({ ...layout, ...size }, data, width ?? box.clientWidth);
    Plotly.react(box, inked(data), onGround(fitted), CONFIG);
    this.drawn.add(name);
  }

  async save(name, format) {
    const box = document.getElementById(`chart-${name}`);
    this.library();
    if (!this.drawn.has(name)) this.drawOne(name);
    const size = { width: box.clientWidth, height: box.clientHeight, scale: format === "png" ? 2 : 1 };
    const url = await Plotly.toImage(box, { format, ...size });
    save(`${name}.${format}`, blobOf(url));
  }
}

// What a data: address holds; the page's own policy lets it fetch nothing, not even that.
function blobOf(url) {
  const [, type, encoding, data] = /^data:([^;,]*)[^,]*?(;base64)?,(.*)$/s.exec(url);
  if (!encoding) return new Blob([decodeURIComponent(data)], { type });
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
}
