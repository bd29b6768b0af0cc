// What to know before a run's numbers are read, in words.

/** "3 to 9, 12" */
function ranges(numbers) {
  const parts = [];
  for (const number of numbers) {
    const last = parts.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(', ');
}

function layersWhere(run, holds) {
  return run.rows.filter(holds).map((row) => row.layer);
}

function layersWord(layers) {
  return `${layers.length === 1 ? 'layer' : 'layers'} ${ranges(layers)}`;
}

/** Whether the scores mean what they seem to. */
function sampleWarnings(run) {
  const {tokens: n, dimensions: d} = run.profile;
  const floors = run.rows.flatMap((row) => [row.linearity_chance_floor, row.residual_linearity_chance_floor])
    .filter((floor) => typeof floor === 'number');
  if (floors.length === 0) return [];
  const floor = Math.max(...floors).toFixed(2);
  if (run.rows.some((row) => row.linearity_underdetermined || row.residual_linearity_underdetermined))
    return [`Too few tokens: ${n} for ${d} dimensions. Any two matrices of this size fit each other, so that linearity ` +
      `scores are 1 by construction and mean nothing. Use at least ${4 * d} tokens, better ${16 * d}.`];
  if (n < 4 * d)
    return [`Few tokens: ${n} for ${d} dimensions. Unrelated data would score up to ${floor} (the chance floor): read the ` +
      `adjusted scores. Use at least ${4 * d} tokens, better ${16 * d}.`];
  if (n < 16 * d)
    return [`${n} tokens for ${d} dimensions put the chance floor of linearity at ${floor}; ${16 * d} tokens or more bring ` +
      'it down to 0.06.'];
  return [];
}

/** One dimension, or a few tokens, that the numbers are mostly about. */
function outlierWarnings(run) {
  const found = [];
  const least = Math.max(0.2, 4 / run.profile.dimensions);
  const outliers = run.rows.filter((row) => row.outlier_share > least);
  for (const dimension of new Set(outliers.map((row) => row.outlier_dimension))) {
    const rows = outliers.filter((row) => row.outlier_dimension === dimension);
    const most = Math.max(...rows.map((row) => row.outlier_share));
    found.push(`Outlier dimension: dimension ${dimension} has up to ${(100 * most).toFixed(0)} % of the variance of ` +
      `${layersWord(rows.map((row) => row.layer))}. Numbers of these layers that weigh by variance (linearity, CKA, ` +
      'anisotropy, ranks) are mostly about it.');
  }
  const massive = run.rows.filter((row) => row.massive_activations > 0);
  if (massive.length > 0) {
    const top = massive.reduce((a, b) => (Math.abs(a.massive_activation) >= Math.abs(b.massive_activation) ? a : b));
    found.push(`Massive activations in ${layersWord(massive.map((row) => row.layer))}, the largest ` +
      `${shown(top.massive_activation)} in layer ${top.layer}, of token ${top.massive_activation_token} in dimension ` +
      `${top.massive_activation_dimension}, where the median is ${shown(top.median_activation)}` +
      `${top.massive_activation_token === 0 ? '. The first token is the usual attention sink' : ''}. ` +
      '--skip-first 1 leaves the first token of each sequence out.');
  }
  const long = layersWhere(run, (row) => row.norm_maximum > 10 * row.norm_median);
  if (long.length > 0)
    found.push(`A few vectors are more than 10 times as long as the median in ${layersWord(long)}, as those of attention ` +
      'sinks are. They outweigh the others in everything that is not a mean over tokens.');
  return found;
}

function warningsOf(run) {
  const found = [...sampleWarnings(run), ...outlierWarnings(run)];
  const {profile} = run;
  if (profile.input.assumed)
    found.push(`How the file is to be read was not certain: it was taken as ${profile.input.axes} (${profile.input.axes_because}).`);
  if (profile.final_norm === 'unspecified')
    found.push('Nothing says whether the last state was taken before or after the model’s final norm (--final-norm). The ' +
      'last layer’s numbers, the final jump above all, depend on it.');
  if (profile.final_norm === 'after')
    found.push('The last state was taken after the final norm, so that the last layer’s numbers are of the layer and the norm.');
  const rough = layersWhere(run, (row) => row.linearity_error_bound > 1e-6 || row.residual_linearity_error_bound > 1e-6);
  if (rough.length > 0) found.push(`Rounding can have moved the linearity of ${layersWord(rough)} by more than 1e-6.`);
  const empty = layersWhere(run, (row) => row.linearity === null && row.layer !== profile.input.state_numbers[0]);
  const measured = layersWhere(run, (row) => row.linearity_score !== undefined);
  if (empty.length > 0 && measured.length > 0)
    found.push(`Linearity is not defined for ${layersWord(empty)}: no variance.`);
  return found;
}

/** What differs between runs that stand side by side. */
function differencesOf(runs) {
  const differ = (of) => new Set(runs.map((run) => JSON.stringify(of(run.profile)))).size > 1;
  const found = [];
  if (differ((profile) => [profile.tokens, profile.dimensions]))
    found.push('The runs differ in tokens or dimensions, and so in their chance floors: compare adjusted scores.');
  if (differ((profile) => profile.final_norm))
    found.push('The runs differ in whether the last state is before or after the final norm: their last layers don’t compare.');
  if (differ((profile) => profile.centering))
    found.push('The runs differ in whether columns were centred: their linearities don’t compare.');
  return found;
}
