// What is known of numbers by the names they have in CSV: a heading, its short form beside others, the range of the axis, the
// fields that they come with, and how to read them.

const WORDS = {
  linearity_score: {
    name: 'Linearity with the residual stream', brief: 'with the residual', range: [0, 1], adjusted: 'linearity_adjusted_score',
    floor: 'linearity_chance_floor', error: 'linearity_error_bound',
    read: 'The share of a layer’s output that the best linear map of its input explains (arXiv 2405.12250). ' +
      '1 is a linear layer. Values near 1 are usual, as most of the output is the input carried along; ' +
      'where they are all alike, look at the number without the residual.',
  },
  residual_linearity_score: {
    name: 'Linearity without the residual stream', brief: 'without the residual', range: [0, 1], adjusted: 'residual_linearity_adjusted_score',
    floor: 'residual_linearity_chance_floor', error: 'residual_linearity_error_bound',
    read: 'The same of what the layer adds, its output minus its input: how linear the block itself is. ' +
      'Subtract the chance floor in thought: unrelated data would score that much, and the adjusted score has it at 0.',
  },
  displacement: {
    name: 'Displacement', range: [0, null],
    read: 'How far a layer turns the vectors: (1 − cos)/2 of input and output, mean over tokens. 0 is no turn, 0.5 a right ' +
      'angle, 1 a reversal. A rise in the last layers is the jump that arXiv 2601.18302 describes.',
  },
  jump_rate: {
    name: 'Jump rate', unit: '%', range: [0, null],
    read: 'All rises of the displacement from this layer to the last, in per cent; the last layer’s is the final jump. ' +
      'Large values at the end say that the model leaves much of its work to the last layers.',
  },
  angular_distance: {
    name: 'Angular distance', range: [0, null],
    read: 'The angle between a layer’s input and output over π, mean over tokens (arXiv 2403.17887). 0 is no turn, 0.5 a ' +
      'right angle. Layers with the least change most easily left out.',
  },
  cosine_similarity: {name: 'Cosine similarity', read: 'Of a layer’s input and output, mean over tokens.'},
  contribution_ratio: {
    name: 'Contribution', brief: 'mean over tokens', range: [0, null],
    read: 'The length of what a layer adds, over the length of its output: the mean over tokens.',
  },
  contribution_ratio_frobenius: {
    name: 'Contribution, of all tokens at once', brief: 'of all tokens at once', range: [0, null],
    read: 'The same by Frobenius norms, where long vectors count for more. Far from the mean over tokens where a few are very long.',
  },
  outlier_share: {
    name: 'Share of the largest dimension', range: [0, 1], also: ['outlier_dimension'],
    read: 'How much of the layer’s variance lies in one dimension. Of d alike it is 1/d. Near 1 the other numbers are ' +
      'about that dimension only: linearity, CKA and anisotropy say little then.',
  },
  anisotropy: {
    name: 'Anisotropy', range: [0, 1],
    read: 'The share of the variance along the first principal direction. 1/d is a ball, 1 a line.',
  },
  stable_rank: {name: 'Stable rank', range: [0, null], read: 'The variance in units of that of the first direction: 1 / anisotropy.'},
  participation_ratio: {
    name: 'Participation ratio', range: [0, null],
    read: 'How many directions share the variance, (Σλ)² / Σλ²; small directions hardly count.',
  },
  effective_rank: {
    name: 'Effective rank', range: [0, null],
    read: 'How many directions are in use: exp of the entropy of the singular values. Small directions count for more than in ' +
      'the participation ratio.',
  },
  matrix_entropy: {name: 'Matrix entropy', range: [0, null], read: 'The entropy of the eigenvalues, in nats: log d is a ball, 0 a line.'},
  condition: {
    name: 'Condition number', also: ['rank'],
    read: 'The largest singular value over the smallest that is not 0. Large: some directions hold next to nothing.',
  },
  mean_pairwise_cosine: {
    name: 'Mean cosine of pairs of tokens',
    read: 'How alike the directions of different tokens are, the mean not taken off. Near 1 all tokens point the same way.',
  },
  norm: {
    name: 'Norm', range: [0, null], also: ['norm_maximum', 'norm_median', 'norm_minimum'],
    read: 'The mean length of a token’s vector. A maximum far above the median belongs to a few tokens that attention ' +
      'uses as a sink.',
  },
  massive_activation: {
    name: 'Largest activation', magnitude: true,
    also: ['massive_activation_token', 'massive_activation_dimension', 'massive_activations', 'median_activation'],
    read: 'The value of largest magnitude, with its token and dimension. Those above 100 and far above the median are ' +
      'massive (arXiv 2402.17762), and come with attention sinks.',
  },
  curvature: {name: 'Curvature', range: [0, null], read: 'The mean angle between one step from token to token and the next, in radians.'},
  intrinsic_dimension: {
    name: 'Intrinsic dimension', range: [0, null], also: ['intrinsic_dimension_sampled'],
    read: 'The dimension of the surface on which tokens lie, from distances to the two nearest neighbours (TwoNN), of a ' +
      'sample of tokens.',
  },
  linear_cka: {
    name: 'Linear CKA', range: [0, 1],
    read: 'How alike a layer’s output and its input are, up to rotation and scale. High for unrelated data, too, where ' +
      'tokens are few beside dimensions: then take the debiased one.',
  },
  debiased_linear_cka: {name: 'Debiased linear CKA', range: [0, 1], read: 'CKA that is about 0 for unrelated data, however few tokens.'},
  representational_similarity: {
    name: 'Representational similarity', range: [0, 1],
    read: 'The correlation of the squared distances between tokens, before and after the layer.',
  },
  procrustes: {
    name: 'Procrustes distance', range: [0, null], also: ['procrustes_angle', 'size_and_shape_distance'],
    read: 'What is left between a layer’s input and output after centring, scaling and the best rotation, 0 to 1.41.',
  },
  mean_cca: {
    name: 'Mean canonical correlation', range: [0, 1], floor: 'cca_floor', also: ['mean_square_cca'],
    read: 'Of all pairs of directions. 1 says that the layer is a linear map that loses nothing; see the chance floor.',
  },
  svcca: {name: 'SVCCA', range: [0, 1], read: 'Canonical correlations of the directions with 99 % of the variance.'},
  pwcca: {name: 'PWCCA', range: [0, 1], read: 'Canonical correlations weighted by what the layer’s input has of each direction.'},
  fast_weight_score: {
    name: 'Fast-weight score', range: [0, 1],
    read: 'What one step of learning from 0 (Yᵀ X, as linear attention’s memory) explains of the layer; at most what linearity, ' +
      'uncentred, would.',
  },
  mutual_knn: {
    name: 'Mutual nearest neighbours', range: [0, 1], also: ['mutual_knn_sampled'],
    read: 'The share of each token’s 10 nearest neighbours that the layer keeps, of a sample of tokens.',
  },
  block_influence: {name: 'Block influence', range: [0, null], read: '1 − the mean cosine of input and output: twice the displacement.'},
  collapse_index: {
    name: 'Collapse index', range: [0, null],
    read: 'Displacement times 4 l, which is 1 where layers add independent updates of equal length. Far below 1 deep layers ' +
      'do less than that.',
  },
  last_layer_linearity: {
    name: 'Linearity of the last layer in this one', range: [0, 1], adjusted: 'last_layer_linearity_adjusted',
    floor: 'last_layer_linearity_floor',
    read: 'How well a linear map of this layer gives the last layer’s output: how early the answer can be read.',
  },
};

// Of pairs of layers.
const MATRICES = {
  angular_distances: {
    name: 'Angular distance of all pairs of layers', lowest: 0,
    read: 'The angle between two layers’ vectors over π, mean over tokens. Dark blocks along the diagonal are layers that ' +
      'do little between them.',
  },
  linear_cka: {
    name: 'Linear CKA of all pairs of layers', lowest: 0, highest: 1,
    read: 'How alike two layers are up to rotation and scale, 1 on the diagonal. Bright blocks are stages of the model.',
  },
};

// The charts of every profile; what was added follows, a chart each.
const CHARTS = [
  {name: 'Linearity', fields: ['linearity_score', 'residual_linearity_score']},
  {fields: ['displacement']},
  {fields: ['jump_rate']},
  {fields: ['angular_distance']},
  {name: 'Contribution', fields: ['contribution_ratio', 'contribution_ratio_frobenius']},
  {fields: ['outlier_share']},
];

// The tables; a field that no prefix or name here takes is in the last.
const TABLES = [
  {name: 'Linearity with the residual stream', takes: (field) => /^linearity_/.test(field)},
  {name: 'Linearity without the residual stream', takes: (field) => /^residual_linearity_/.test(field)},
  {
    name: 'Movement and outliers',
    takes: (field) => /^(displacement|jump_rate|angular_distance|cosine_similarity|contribution_ratio|outlier_)/.test(field),
  },
  {name: 'More metrics', takes: () => true},
];

/** What the page says of a field, known or not. */
function wordsOf(field) {
  return WORDS[field] ?? {name: field.replaceAll('_', ' ')};
}

/** Its name in a chart of several. */
function briefOf(field) {
  return wordsOf(field).brief ?? wordsOf(field).name;
}

/** The field that bounds how far rounding can have moved `field`. */
function errorOf(field) {
  return wordsOf(field).error ?? `${field}_error`;
}
