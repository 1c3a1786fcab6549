// Numbers as a person reads them, in the same words as the tables that Python wrote: "217.9 us", "3.35 TB".

const PREFIXES = [
  [1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""],
  [1e-3, "m"], [1e-6, "u"], [1e-9, "n"], [1e-12, "p"],
];
const LONG_TIMES = [[86400, "day"], [3600, "h"], [60, "min"]];

function significant(value, digits) {
  return String(Number(value.toPrecision(digits)));
}

function quantity(value, unit, digits = 4) {
  if (!value) return `0 ${unit}`;
  const size = Math.abs(Number(value.toPrecision(digits))); // 999.99 is 1 k, not 1000
  const [factor, prefix] = PREFIXES.find(([least]) => size >= least) ?? PREFIXES[PREFIXES.length - 1];
  return `${significant(value / factor, digits)} ${prefix}${unit}`;
}

function duration(seconds, digits = 4) {
  if (Math.abs(seconds) < 300) return quantity(seconds, "s", digits);
  const [factor, name] = LONG_TIMES.find(([least]) => Math.abs(seconds) >= least);
  return `${significant(seconds / factor, digits)} ${name}`;
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

// Round places between two times, so many apart that a label fits, and the decimals that tell neighbours apart.
function ticks(from, to, room) {
  const least = (to - from) / room;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= least * 0.999);
  const places = [];
  for (let at = Math.ceil(from / step); at * step <= to; at += 1) places.push(at * step);
  return { step, places };
}

// Labels of an axis share one unit, that of its end; they have as many decimals as the step between them needs.
function tickLabels(places, step, end) {
  const [factor, prefix] = PREFIXES.find(([least]) => end >= least) ?? PREFIXES[PREFIXES.length - 1];
  const decimals = Math.max(0, Math.min(12, -Math.floor(Math.log10(step / factor) + 1e-9)));
  return places.map((place) => (place === 0 ? "0" : `${(place / factor).toFixed(decimals)} ${prefix}s`));
}
