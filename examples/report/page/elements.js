// Elements, numbers as text, and the box that shows what the pointer or the focus is on.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

/** Six digits of a number; other values as words. */
function shown(value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value !== 'number') return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(6))) : value.toExponential(2);
}

/** Places for marks on an axis from `from` to `to`, about `count` of them. */
function ticksOf(from, to, count) {
  const rough = (to - from) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; ++i) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

const tip = document.getElementById('tip');
const said = document.getElementById('said');

let tipIsAt = null;  // the element that it is beside

function isOpen(element) {
  return !tip.hidden && tipIsAt === element;
}

/** Hides the box if it is beside that element, and not long beside another one. */
function hideTip(element) {
  if (isOpen(element)) tip.hidden = true;
}

/** Puts the box beside its element, inside the window. */
function placeTip() {
  if (tip.hidden) return;
  tip.style.left = tip.style.top = '0';  // as wide as it likes to be
  const {width, height} = tip.getBoundingClientRect(), {left: x, right, top: y} = tipIsAt.getBoundingClientRect();
  const most = document.documentElement.clientWidth - width - 8;
  tip.style.left = `${Math.max(8, right + 12 > most ? Math.min(x - width - 12, most) : right + 12)}px`;
  tip.style.top = `${Math.max(8, y - height - 12 < 8 ? y + 16 : y - height - 12)}px`;
}

/** Shows lines of cells under a heading, beside an element. */
function showTip(heading, lines, element) {
  tip.replaceChildren(html('b', {}, heading), html('table', {}, ...lines.map((cells) => html('tr', {}, ...cells.map((cell) =>
    html('td', {}, cell))))));
  tip.hidden = false;
  tipIsAt = element;
  placeTip();
}

// A mark for each run, so that colour is not all that tells them apart.
const MARKS = [
  'M-3.2,0a3.2,3.2 0 1,0 6.4,0a3.2,3.2 0 1,0 -6.4,0', 'M-3,-3h6v6h-6z', 'M0,-4L3.8,3H-3.8z', 'M0,-4.2L4.2,0L0,4.2L-4.2,0z',
  'M0,4L3.8,-3H-3.8z', 'M-1.2,-4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z', 'M-4,-1.6h8v3.2h-8z', 'M-1.6,-4h3.2v8h-3.2z',
];

function mark(number, x, y) {
  return svg('path', {d: MARKS[number], transform: `translate(${x},${y})`, class: 'mark', style: `fill:var(--c${number})`});
}

/** A line with its mark, as it stands in legends. */
function swatch(number) {
  return svg('svg', {class: 'swatch', viewBox: '-11 -6 22 12', width: 22, height: 12, 'aria-hidden': 'true'},
    svg('path', {d: 'M-11,0H11', class: 'line', style: `stroke:var(--c${number})`}), mark(number, 0, 0));
}
