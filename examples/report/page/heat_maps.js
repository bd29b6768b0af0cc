// Numbers of all pairs of layers, as colours and as a table.

// Viridis in nine steps: even in lightness, so that it is read without colours, too.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37]];

/** The colour of a share of the range, 0 to 1. */
function colourOf(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1), step = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return `rgb(${VIRIDIS[step].map((from, i) => Math.round(from + (place - step) * (VIRIDIS[step + 1][i] - from))).join(',')})`;
}

function colourBar(from, to) {
  const stops = VIRIDIS.map((_, i) => colourOf(i / (VIRIDIS.length - 1))).join(',');
  return html('p', {class: 'bar'}, html('span', {}, shown(from)),
    html('i', {style: `background:linear-gradient(to right,${stops})`}), html('span', {}, shown(to)));
}

/** The squares, with an outline that pointer and arrow keys move. */
function heatPlot(matrix, numbers, from, to, label) {
  const count = numbers.length, cell = 16, margin = 30, size = margin + cell * count;
  const squares = svg('g', {});
  matrix.forEach((row, i) => row.forEach((value, j) => squares.append(svg('rect', {
    x: margin + cell * j, y: cell * i, width: cell + 0.3, height: cell + 0.3, ...(value === null ? {class: 'none'} :
      {fill: colourOf(to > from ? (value - from) / (to - from) : 1)}),
  }))));
  const outline = svg('rect', {width: cell, height: cell, class: 'outline', visibility: 'hidden'});
  const font = Math.max(7, size / 34), every = Math.ceil(count / 14), style = `font-size:${font}px`;
  const names = numbers.flatMap((number, i) => i % every > 0 ? [] : [
    svg('text', {x: margin - 4, y: cell * (i + 0.5) + font / 3, 'text-anchor': 'end', style}, String(number)),
    svg('text', {x: margin + cell * (i + 0.5), y: cell * count + font + 3, 'text-anchor': 'middle', style}, String(number)),
  ]);
  const picture = svg('svg', {viewBox: `0 0 ${size} ${cell * count + font + 8}`, 'aria-hidden': 'true', style: `max-width:${1.7 * size}px`}, squares, ...names, outline);
  const plot = html('div', {class: 'plot heat', tabindex: 0, role: 'application', 'aria-roledescription': 'heat map',
    'aria-label': `${label}; arrow keys go from square to square, the table below has the same numbers`}, picture);
  let place = [0, 0];
  const goTo = (i, j, aloud) => {
    place = [i, j].map((index) => Math.min(Math.max(index, 0), count - 1));
    outline.setAttribute('x', margin + cell * place[1]);
    outline.setAttribute('y', cell * place[0]);
    outline.setAttribute('visibility', 'visible');
    const text = `layers ${numbers[place[0]]} and ${numbers[place[1]]}`, value = shown(matrix[place[0]][place[1]]);
    showTip(text, [[value]], outline);
    if (aloud) said.textContent = `${text}: ${value}`;
  };
  const goAway = () => {
    outline.setAttribute('visibility', 'hidden');
    hideTip(outline);
  };
  plot.addEventListener('pointermove', (event) => {
    const box = picture.getBoundingClientRect(), scale = size / box.width;
    const j = Math.floor(((event.clientX - box.left) * scale - margin) / cell), i = Math.floor((event.clientY - box.top) * scale / cell);
    if (i >= 0 && j >= 0 && i < count && j < count) goTo(i, j, false);
    else goAway();
  });
  plot.addEventListener('pointerleave', goAway);
  plot.addEventListener('focus', () => plot.matches(':focus-visible') && goTo(...place, true));
  plot.addEventListener('blur', goAway);
  plot.addEventListener('keydown', (event) => {
    const by = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (event.key === 'Escape') goAway();
    if (by === undefined) return;
    event.preventDefault();
    goTo(place[0] + by[0], place[1] + by[1], true);
  });
  return plot;
}

/** A card with the heat map of one run’s `field`, in colours that mean the same for all runs. */
function heatCard(run, field, runs) {
  const several = runs.length > 1;
  const matrix = run.profile[field], numbers = run.profile.input.state_numbers;
  const {name, lowest, highest, read} = MATRICES[field];
  const values = runs.flatMap(({profile}) => (profile[field] ?? []).flat()).filter((value) => value !== null);
  const from = Math.min(lowest, ...values), to = highest ?? Math.max(lowest, ...values);
  const cells = matrix.map((row, i) => html('tr', {}, html('th', {scope: 'row'}, String(numbers[i])),
    ...row.map((value) => html('td', {}, value === null ? '–' : value.toFixed(3)))));
  const head = html('tr', {}, html('th', {scope: 'col'}, 'layer'), ...numbers.map((number) => html('th', {scope: 'col'}, String(number))));
  return html('section', {class: 'card run', 'data-run': run.number}, html('h3', {}, ...(several ? [swatch(run.number), `${run.label}: `] : []),
    several ? name.toLowerCase().replace('cka', 'CKA') : name), heatPlot(matrix, numbers, from, to, name), colourBar(from, to),
  html('details', {class: 'read'}, html('summary', {}, 'How to read it'), html('p', {}, read)),
  html('details', {class: 'numbers'}, html('summary', {}, 'As a table'), html('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${name}, table`},
    html('table', {}, html('thead', {}, head), html('tbody', {}, ...cells)))));
}
