// Light and dark: the system's wish until someone presses the button; paper is always light.

const root = document.documentElement;
const wish = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return (root.dataset.theme ?? (wish.matches ? "dark" : "light")) === "dark";
}

function variable(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

// "#rrggbb" as three numbers.
function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function mixed(colour, ground, part) {
  return colour.map((value, band) => value * part + ground[band] * (1 - part));
}

// Paper is light, whatever the screen is. `prepared` draws what paper needs before it is printed, `over` puts it away.
function watchPaper(prepared, over) {
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    prepared();
  });
  addEventListener("afterprint", () => {
    if (before === undefined) delete root.dataset.theme;
    else root.dataset.theme = before;
    over();
  });
}

function watchTheme(changed) {
  const button = document.getElementById("theme");
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    changed();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  wish.addEventListener("change", show);
  show();
}
