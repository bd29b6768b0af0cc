// Curves over the layers: one chart a number, one line a run; of a single run some numbers share a chart.

// What the boxes above the charts have set.
const view = {hidden: new Set(), adjusted: true, floor: true, zoomed: false, relative: false};

/** The fields that `field` comes with, which have no chart of their own. */
function companionsOf(field) {
  const {adjusted, floor, also = []} = wordsOf(field);
  return [adjusted, floor, ...also].filter((name) => name !== undefined);
}

/** Of the fields that are in some layer a number: those that were added to the profile's, without what they come with. */
function addedFields(runs) {
  const numbers = new Set(runs.flatMap((run) => run.rows.flatMap((row) =>
    Object.keys(row).filter((field) => typeof row[field] === 'number'))));
  const rest = [...numbers].filter((field) => field !== 'layer' && !TABLES.slice(0, -1).some((table) => table.takes(field)));
  const companions = new Set(rest.flatMap(companionsOf));
  return rest.filter((field) => !companions.has(field) && !rest.some((other) => field.startsWith(`${other}_`)));
}

function chartsOf(runs) {
  const has = (field) => runs.some((run) => run.rows.some((row) => typeof row[field] === 'number'));
  const groups = [...CHARTS, ...addedFields(runs).map((field) => ({fields: [field]}))]
    .map((group) => ({...group, fields: group.fields.filter(has)}));
  const apart = runs.length === 1 ? groups : groups.flatMap(({fields}) => fields.map((field) => ({fields: [field]})));
  return apart.filter(({fields}) => fields.length > 0).map((chart) => ({
    ...chart, name: chart.fields.length > 1 ? chart.name : wordsOf(chart.fields[0]).name, runs, at: 0,
  }));
}

/** The lines to draw, each with its points by layer. */
function linesOf({fields, runs}) {
  return runs.filter((run) => !view.hidden.has(run.number)).flatMap((run) => fields.map((field, i) => {
    const {magnitude} = wordsOf(field);
    const last = run.rows.at(-1).layer;
    const pointsOf = (name) => run.rows.map((row) => ({
      row, x: view.relative ? row.layer / last : row.layer,
      y: typeof row[name] !== 'number' ? null : magnitude ? Math.abs(row[name]) : row[name],
    }));
    const {adjusted, floor} = wordsOf(field);
    return {
      field, colour: runs.length > 1 ? run.number : i, label: runs.length > 1 ? run.label : briefOf(field),
      points: pointsOf(field), adjusted: view.adjusted && adjusted ? pointsOf(adjusted) : [],
      floor: view.floor && floor ? pointsOf(floor) : [],
    };
  }));
}

/** The axis of the values: its ends, and where on it a value is, 0 to 1. */
function axisOf({fields}, lines) {
  const main = lines.flatMap((line) => line.points).map((point) => point.y).filter((y) => y !== null);
  const all = [...main, ...lines.flatMap((line) => [...line.adjusted, ...line.floor]).map((point) => point.y)
    .filter((y) => y !== null)];
  const range = wordsOf(fields[0]).range ?? [null, null];
  if (main.every((y) => y > 0) && Math.max(...main) >= 1000 * Math.min(...main)) {
    const from = Math.floor(Math.log10(Math.min(...main))), to = Math.ceil(Math.log10(Math.max(...main)));
    const every = Math.ceil((to - from) / 5);
    const ticks = [];
    for (let power = from; power <= to; power += every) ticks.push(10 ** power);
    return {ticks, at: (y) => (Math.log10(Math.max(y, 10 ** from)) - from) / (to - from), log: true};
  }
  const shownValues = view.zoomed ? main : all;
  let from = Math.max(Math.min(...shownValues), -1e300), to = Math.max(...shownValues);
  if (!view.zoomed && range[0] !== null) from = range[1] === 1 ? Math.max(Math.min(from, 0), -1) : Math.min(from, range[0]);
  if (!view.zoomed && range[1] !== null) to = Math.max(to, range[1]);
  if (!(to > from)) [from, to] = [from - (Math.abs(from) || 1) * 0.05, to + (Math.abs(to) || 1) * 0.05];
  else if (range[1] === null || view.zoomed) to += 0.06 * (to - from);
  if (view.zoomed) from -= 0.06 * (to - from);
  return {ticks: ticksOf(from, to, 5), at: (y) => (y - from) / (to - from), log: false};
}

/** The path through points; a missing value is a gap. */
function pathOf(points, placed) {
  let path = '', pen = 'M';
  for (const point of points) {
    if (point.y === null) {
      pen = 'M';
      continue;
    }
    const [x, y] = placed(point);
    path += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
    pen = 'L';
  }
  return path;
}

function drawAxes(picture, {width, height, left, bottom, axis, ticks, place}) {
  for (const tick of axis.ticks) {
    const y = place({x: 0, y: tick})[1];
    picture.append(svg('path', {class: 'grid', d: `M${left},${y}H${width}`}),
      svg('text', {x: left - 6, y: y + 4, 'text-anchor': 'end'}, axis.log ? `1e${Math.log10(tick).toFixed(0)}` : shown(tick)));
  }
  for (const tick of ticks) {
    const x = place({x: tick, y: axis.ticks[0]})[0];
    picture.append(svg('text', {x, y: height - bottom + 16, 'text-anchor': 'middle'},
      view.relative ? `${Math.round(100 * tick)} %` : String(tick)));
  }
  picture.append(svg('text', {x: width, y: height - 2, 'text-anchor': 'end', class: 'label'},
    view.relative ? 'depth' : 'layer'));
}

function drawLine(picture, line, place, axis) {
  const stroke = `stroke:var(--c${line.colour})`;
  picture.append(svg('path', {class: 'line floor', style: stroke, d: pathOf(line.floor, place)}),
    svg('path', {class: 'line adjusted', style: stroke, d: pathOf(line.adjusted, place)}),
    svg('path', {class: 'line', style: stroke, d: pathOf(line.points, place)}));
  const apart = line.points.length <= 48;
  for (const point of line.points) {
    if (point.y === null) continue;
    const [x, y] = place(point), error = point.row[errorOf(line.field)];
    const end = (value) => place({x: point.x, y: value})[1];
    if (error > 0 && !axis.log && Math.abs(end(point.y + error) - y) > 1)
      picture.append(svg('path', {class: 'line', style: stroke, d: `M${x},${end(point.y - error)}V${end(point.y + error)}`}));
    if (apart) picture.append(mark(line.colour, x.toFixed(1), y.toFixed(1)));
  }
}

/** Draws a chart anew. */
function draw(chart, wide) {
  const width = Math.max(wide, 240), height = Math.round(Math.min(290, Math.max(190, 0.52 * width)));
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true'});
  const lines = linesOf(chart).filter((line) => line.points.some((point) => point.y !== null));
  const wasOpen = isOpen(chart.cursor);
  hideTip(chart.cursor);
  chart.stops = [];
  chart.plot.replaceChildren(picture);
  if (lines.length === 0) {
    picture.append(svg('text', {x: width / 2, y: height / 2, 'text-anchor': 'middle'}, 'no run is shown that has it'));
    return;
  }
  const xs = [...new Set(lines.flatMap((line) => line.points.filter((point) => point.y !== null).map((point) => point.x)))]
    .sort((a, b) => a - b);
  const [low, high] = xs.length > 1 ? [xs[0], xs.at(-1)] : [xs[0] - 0.5, xs[0] + 0.5];
  const axis = axisOf(chart, lines), left = 54, right = 10, top = 10, bottom = 32;
  const place = ({x, y}) => [left + 8 + (x - low) / (high - low) * (width - left - right - 8),
    top + (1 - Math.min(Math.max(axis.at(y), -0.02), 1.02)) * (height - top - bottom)];
  const ticks = ticksOf(low, high, Math.min(8, width / 60)).filter((tick) => view.relative || Number.isInteger(tick));
  drawAxes(picture, {width, height, left, bottom, axis, ticks, place});
  for (const line of lines) drawLine(picture, line, place, axis);
  chart.stops = xs.map((x) => ({
    x, found: lines.flatMap((line) => line.points.filter((point) => point.x === x && point.y !== null)
      .map((point) => ({line, point, place: place(point)}))),
  }));
  chart.cursor = svg('g', {class: 'cursor'});
  chart.cursorEnds = [top, height - bottom];
  picture.append(chart.cursor);
  chart.plot.setAttribute('aria-valuemax', String(chart.stops.length));
  if (wasOpen) stopAt(chart, chart.at);
}

function headingOf(stop) {
  const layers = [...new Set(stop.found.map(({point}) => point.row.layer))];
  return `layer ${layers.join(', ')}${view.relative ? `, ${(100 * stop.x).toFixed(0)} % of the depth` : ''}`;
}

/** Lines of cells on a stop of the cursor: each number, its error, and what it comes with. */
function cellsOf({found}) {
  return found.flatMap(({line, point}) => {
    const value = point.row[line.field], error = point.row[errorOf(line.field)], {unit} = wordsOf(line.field);
    const first = [swatch(line.colour), line.label,
      shown(value) + (unit ? ` ${unit}` : ''), error === undefined || error === null ? '' : `± ${error.toExponential(0)}`];
    if (found.length > 2) return [first];  // of many runs the numbers alone
    const {adjusted, floor} = wordsOf(line.field), known = {[adjusted]: 'adjusted for chance', [floor]: 'chance floor'};
    return [first, ...companionsOf(line.field).filter((name) => point.row[name] !== undefined)
      .map((name) => ['', known[name] ?? wordsOf(name).name, shown(point.row[name]), ''])];
  });
}

/** Puts the cursor of a chart on a stop. */
function stopAt(chart, index) {
  if (chart.stops.length === 0) return;
  chart.at = Math.min(Math.max(index, 0), chart.stops.length - 1);
  const stop = chart.stops[chart.at], [x] = stop.found[0].place;
  chart.cursor.replaceChildren(svg('path', {d: `M${x},${chart.cursorEnds[0]}V${chart.cursorEnds[1]}`}),
    ...stop.found.map(({line, place}) => svg('circle', {cx: place[0], cy: place[1], r: 6, style: `stroke:var(--c${line.colour})`})));
  chart.plot.setAttribute('aria-valuenow', String(chart.at + 1));
  chart.plot.setAttribute('aria-valuetext', `${headingOf(stop)}: ${stop.found.map(({line, point}) =>
    `${line.label} ${shown(point.row[line.field])}`).join('; ')}`);
  showTip(headingOf(stop), cellsOf(stop), chart.cursor);
}

function leave(chart) {
  chart.cursor?.replaceChildren();
  hideTip(chart.cursor);
}

/** Numbers under the pointer, and by the arrow keys: to a screen reader the chart is a slider over the layers. */
function listen(chart) {
  const {plot} = chart;
  plot.addEventListener('pointermove', (event) => {
    const x = event.clientX - plot.getBoundingClientRect().left;
    const away = chart.stops.map((stop) => Math.abs(stop.found[0].place[0] - x));
    stopAt(chart, away.indexOf(Math.min(...away)));
  });
  plot.addEventListener('pointerleave', () => leave(chart));
  plot.addEventListener('focus', () => plot.matches(':focus-visible') && stopAt(chart, chart.at));
  plot.addEventListener('blur', () => leave(chart));
  plot.addEventListener('keydown', (event) => {
    const last = chart.stops.length - 1;
    const to = {ArrowLeft: chart.at - 1, ArrowDown: chart.at - 1, ArrowRight: chart.at + 1, ArrowUp: chart.at + 1, Home: 0, End: last,
      PageDown: chart.at - 5, PageUp: chart.at + 5}[event.key];
    if (event.key === 'Escape') leave(chart);
    if (to === undefined) return;
    event.preventDefault();
    stopAt(chart, to);
  });
}

/** A card with the chart, its legend, and how to read it. */
function chartCard(chart, number) {
  const id = `chart-${number}`, several = chart.fields.length > 1;
  chart.plot = html('div', {class: 'plot', tabindex: 0, role: 'slider', 'aria-labelledby': id, 'aria-valuemin': 1, 'aria-valuemax': 1,
    'aria-valuenow': 1, 'aria-valuetext': 'arrow keys go from layer to layer'});
  listen(chart);
  const legend = html('p', {class: 'legend'},
    ...(several ? chart.fields.map((field, i) => html('span', {}, swatch(i), briefOf(field))) : []),
    ...(chart.fields.some((field) => wordsOf(field).adjusted) ? [html('span', {}, html('i', {class: 'dashes'}), 'adjusted for chance')] : []),
    ...(chart.fields.some((field) => wordsOf(field).floor) ? [html('span', {}, html('i', {class: 'dots'}), 'chance floor')] : []));
  const reads = chart.fields.map((field) => [wordsOf(field).name, wordsOf(field).read]).filter(([, read]) => read);
  return html('section', {class: 'card'}, html('h3', {id}, chart.name + (wordsOf(chart.fields[0]).unit ? ', %' : '')),
    legend.childElementCount > 0 ? legend : null, chart.plot, reads.length === 0 ? null :
      html('details', {class: 'read'}, html('summary', {}, 'How to read it'),
        ...reads.map(([name, read]) => html('p', {}, several ? html('b', {}, `${name}. `) : '', read))));
}
