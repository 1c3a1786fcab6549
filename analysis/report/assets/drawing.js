// A picture of words and shapes (SVG) with the few commands of a canvas that the painter uses: what is on the screen, on
// paper and in files is drawn by the same hand, and names stay text.

const SVG = "http://www.w3.org/2000/svg";
const ruler = document.createElement("canvas").getContext("2d");

function shape(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, typeof value === "number" ? Number(value.toFixed(3)) : value);
  parent?.append(made);
  return made;
}

class Drawing {
  constructor(width, height, top, root) {
    this.vector = true;
    this.canvas = { width, height };
    this.root = shape("g", { transform: `translate(0 ${top})` }, root);
    this.here = this.root;
    this.above = [];
    this.globalAlpha = 1;
    this.dash = [];
    this.path = "";
  }

  setTransform() {} // units are those of the page already

  save() {
    this.above.push(this.here);
  }

  restore() {
    this.here = this.above.pop();
  }

  beginPath() {
    this.path = "";
  }

  rect(x, y, width, height) {
    this.clipped = { x, y, width, height };
  }

  clip() {
    const id = `clip${document.querySelectorAll("clipPath").length}-${Drawing.clips++}`;
    shape("rect", this.clipped, shape("clipPath", { id }, this.here));
    this.here = shape("g", { "clip-path": `url(#${id})` }, this.here);
  }

  fillRect(x, y, width, height) {
    const seen = { x, y, width: Math.max(0, width), height: Math.max(0, height), fill: this.fillStyle };
    shape("rect", this.globalAlpha < 1 ? { ...seen, "fill-opacity": this.globalAlpha } : seen, this.here);
  }

  strokeRect(x, y, width, height) {
    const line = { stroke: this.strokeStyle, "stroke-width": this.lineWidth };
    shape("rect", { x, y, width: Math.max(0, width), height, fill: "none", ...line }, this.here);
  }

  moveTo(x, y) {
    this.path += `M${x.toFixed(2)} ${y.toFixed(2)}`;
  }

  lineTo(x, y) {
    this.path += `L${x.toFixed(2)} ${y.toFixed(2)}`;
  }

  setLineDash(dash) {
    this.dash = dash;
  }

  stroke() {
    const line = { d: this.path, fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth };
    shape("path", this.dash.length ? { ...line, "stroke-dasharray": this.dash.join(" ") } : line, this.here);
  }

  measureText(text) {
    ruler.font = this.font;
    return ruler.measureText(text);
  }

  fillText(text, x, y) {
    const [, weight, size, face] = /^(?:(\d+) )?([\d.]+)px (.*)$/.exec(this.font);
    const look = { x, y, fill: this.fillStyle, "font-size": `${size}px`, "font-family": face, "dominant-baseline": "central" };
    shape("text", weight ? { ...look, "font-weight": weight } : look, this.here).textContent = text;
  }

  // Pixels, where there are more slices than a picture of shapes can hold.
  image(pixels, x, y, width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = pixels.width;
    canvas.height = pixels.height;
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const look = { x, y, width, height, preserveAspectRatio: "none", href: canvas.toDataURL("image/png") };
    shape("image", look, this.here);
  }
}
Drawing.clips = 0;

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function svgText(picture) {
  return new XMLSerializer().serializeToString(picture);
}

// An SVG as pixels, twice as fine as the screen.
async function pngOf(picture, fine = 2) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([svgText(picture)], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = fine * picture.getAttribute("width");
  canvas.height = fine * picture.getAttribute("height");
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
