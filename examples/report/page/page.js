// The page: what was read, what to know first, the charts, the heat maps, and all numbers.

/** A layer's fields by the names of CSV: linearity.score is linearity_score. */
function rowOf(layer) {
  const row = {};
  for (const [name, value] of Object.entries(layer)) {
    if (value === null || typeof value !== 'object') row[name] = value;
    else for (const [part, content] of Object.entries(value)) row[`${name}_${part}`] = content;
  }
  return row;
}

/** The runs, each by its title, and where titles are the same by its place, too. */
function runsOf(profiles) {
  const titles = profiles.map((profile) => profile.title);
  const same = (title) => titles.filter((other) => other === title).length > 1;
  return profiles.map((profile, number) => ({
    profile, number, label: same(profile.title) ? `${profile.title} (${number + 1})` : profile.title, rows: profile.layers.map(rowOf),
  }));
}

function summaryOf({input, tokens, dimensions, dtype, final_norm: norm, centering}) {
  const count = input.state_numbers.length - 1;
  const last = norm === 'unspecified' ? 'final norm not stated' : `last state ${norm} the final norm`;
  return `${count} ${count === 1 ? 'layer' : 'layers'}, ${tokens} tokens, ${dimensions} dimensions, ${dtype}, ${last}, ` +
    (centering === 'columns' ? 'columns centred' : 'not centred');
}

function firstAndLast(names) {
  return names.length > 4 ? `${names[0]} … ${names.at(-1)} (${names.length})` : names.join(', ');
}

/** What was taken from the files, as terms and descriptions. */
function takenList({profile}) {
  const {input} = profile;
  const items = [
    ['files', firstAndLast(profile.files)], ['tensors', firstAndLast(input.tensors)], ['read as', `${input.axes} (${input.axes_because})`],
    ['order of layers', input.order_because], ['states', firstAndLast(input.state_numbers.map(String))], ['mask', input.mask],
    ['tokens left out', input.tokens_left_out > 0 ? `${input.tokens_left_out} of ${input.tokens_left_out + profile.tokens}` : null],
    ['not read', input.not_read.join(', ')], ['remarks', input.remarks.join('; ')],
  ];
  return html('dl', {}, ...items.filter(([, text]) => text).flatMap(([term, text]) => [html('dt', {}, term), html('dd', {}, text)]));
}

function headOf(runs) {
  const several = runs.length > 1;
  const head = html('header', {}, html('h1', {}, several ? `${runs.length} runs side by side` : runs[0].label));
  for (const run of runs) {
    const name = several ? html('h2', {}, swatch(run.number), run.label) : null;
    head.append(html('section', {class: 'run', 'data-run': run.number}, ...(several ? [name] : []),
      html('p', {class: 'summary'}, summaryOf(run.profile)),
      html('details', {class: 'taken'}, html('summary', {}, 'What was read, and how'), takenList(run)),
      ...(runs.length > 2 ? folded(noticesOf(warningsOf(run))) : noticesOf(warningsOf(run)))));
  }
  if (several) head.append(...noticesOf(differencesOf(runs)));
  return head;
}

function noticesOf(texts) {
  return texts.length === 0 ? [] : [html('ul', {class: 'notices', 'aria-label': 'To know first'}, ...texts.map((text) => html('li', {}, text)))];
}

/** With many runs the charts would be far below. */
function folded(notices) {
  return notices.map((list) => html('details', {class: 'taken'}, html('summary', {}, `To know first (${list.childElementCount})`), list));
}

/** The boxes that choose what the charts show. */
function controlsOf(runs, charts, changed) {
  const box = (text, checked, set, ...before) => {
    const input = html('input', {type: 'checkbox'});
    input.checked = checked;
    input.addEventListener('change', () => {
      set(input.checked);
      changed();
    });
    return html('label', {}, input, ...before, html('span', {}, text));
  };
  const controls = html('fieldset', {class: 'controls'}, html('legend', {}, 'Show'));
  if (runs.length > 1)
    for (const run of runs)
      controls.append(box(run.label, true, (on) => (on ? view.hidden.delete(run.number) : view.hidden.add(run.number)), swatch(run.number)));
  const some = (what) => charts.some(({fields}) => fields.some((field) => wordsOf(field)[what]));
  if (some('adjusted')) controls.append(box('adjusted for chance', view.adjusted, (on) => (view.adjusted = on)));
  if (some('floor')) controls.append(box('chance floor', view.floor, (on) => (view.floor = on)));
  controls.append(box('zoom in on the lines', view.zoomed, (on) => (view.zoomed = on)));
  if (runs.length > 1) controls.append(box('depth in per cent', view.relative, (on) => (view.relative = on)));
  return controls;
}

/** All numbers of a run, a table a topic. */
function tablesOf(run) {
  const fields = [...new Set(run.rows.flatMap(Object.keys))].filter((field) => !['layer', 'linearity', 'residual_linearity'].includes(field));
  const left = new Set(fields);
  return TABLES.flatMap(({name, takes}) => {
    const taken = [...left].filter(takes);
    taken.forEach((field) => left.delete(field));
    const parts = [];  // of 12 columns at most, for paper's sake
    for (let i = 0; i < taken.length; i += 12) parts.push(taken.slice(i, i + 12));
    const prefix = (field) => field.replace(/^(residual_)?linearity_/, '').replaceAll('_', ' ');
    return parts.map((part) => html('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${run.label}: ${name}`},
      html('table', {}, html('caption', {}, name),
        html('thead', {}, html('tr', {}, html('th', {scope: 'col'}, 'layer'), ...part.map((field) => html('th', {scope: 'col'}, prefix(field))))),
        html('tbody', {}, ...run.rows.map((row) => html('tr', {}, html('th', {scope: 'row'}, String(row.layer)),
          ...part.map((field) => html('td', {}, shown(row[field])))))))));
  });
}

/** What is folded is printed, too, but for the tables of heat maps, and charts are drawn for half a page's width. */
function prepareForPrint(redraw) {
  let folded = [];
  addEventListener('beforeprint', () => {
    folded = [...document.querySelectorAll('details:not([open], .numbers)')];
    folded.forEach((details) => (details.open = true));
    redraw(320);
  });
  addEventListener('afterprint', () => {
    folded.forEach((details) => (details.open = false));
    redraw();
  });
}

function show() {
  const runs = runsOf(JSON.parse(document.getElementById('profiles').textContent));
  const several = runs.length > 1, charts = chartsOf(runs);
  const redraw = (width) => {
    charts.forEach((chart) => draw(chart, width ?? chart.plot.clientWidth));
    document.querySelectorAll('.run').forEach((part) => part.classList.toggle('off', view.hidden.has(Number(part.dataset.run))));
  };
  const maps = Object.keys(MATRICES).flatMap((field) => runs.filter((run) => run.profile[field]).map((run) => heatCard(run, field, runs)));
  const page = document.getElementById('page');
  page.append(headOf(runs), controlsOf(runs, charts, redraw),
    html('h2', {class: 'part'}, 'Layer by layer'), html('div', {class: 'cards'}, ...charts.map(chartCard)),
    ...(maps.length > 0 ? [html('h2', {class: 'part'}, 'Pairs of layers'), html('div', {class: 'cards'}, ...maps)] : []),
    html('h2', {class: 'part'}, 'All numbers'), ...runs.map((run) => (several
      ? html('details', {class: 'tables run', 'data-run': run.number}, html('summary', {}, swatch(run.number), run.label), ...tablesOf(run))
      : html('div', {class: 'tables'}, ...tablesOf(run)))),
    html('footer', {}, 'Six digits; the files that this page was made of, and its source, have all of them. Made by layerwise.'));
  redraw();
  let width = page.clientWidth;
  new ResizeObserver(() => {
    if (page.clientWidth !== width) redraw();
    width = page.clientWidth;
  }).observe(page);
  addEventListener('scroll', placeTip, {passive: true});
  prepareForPrint(redraw);
}

show();
