// Six runs that fail, each with the sentence that says why, and what cures it.

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {{title: string, sentence: string, loss: Fields, train: Fields, cure: {title: string, loss?: Fields, train?: Fields}}} Preset */

const MOONS = { data: { name: "moons" }, model: { name: "mlp", hidden: [16] }, epochs: 60, metrics: ["accuracy"] };
const CROSS_ENTROPY = { name: "binary_cross_entropy", from_logits: true };

/** Twenty-four points of a line, three of them wild. */
const OUTLIERS = {
  inputs: Array.from({ length: 24 }, (_, index) => [Number((-2 + (4 * index) / 23).toFixed(2))]),
  targets: [-3, -2.3, 12.4, -1.7, -1.7, 13.7, -0.4, -0.5, -0.2, 0.4, 0.8, 0.8, 1.4, 1.2, 1.7, 2.1, 2.2, 2.5, 2.8, 3.5, -11.1, 4.2, 4.7, 4.6],
};

/** @type {Record<string, Preset>} */
export const PRESETS = {
  rate_too_high: {
    title: "Rate too high",
    sentence: "Each step jumps across the valley instead of down into it: the loss goes up and down and settles nowhere.",
    loss: CROSS_ENTROPY,
    train: { ...MOONS, optimizer: { name: "sgd", learning_rate: 30 } },
    cure: { title: "rate 3", train: { ...MOONS, optimizer: { name: "sgd", learning_rate: 3 } } },
  },
  rate_too_low: {
    title: "Rate too low",
    sentence: "Every step goes the right way and far too short: after 60 epochs it is still falling.",
    loss: CROSS_ENTROPY,
    train: { ...MOONS, optimizer: { name: "sgd", learning_rate: 0.0003 } },
    cure: { title: "rate 0.3", train: { ...MOONS, optimizer: { name: "sgd", learning_rate: 0.3 } } },
  },
  outliers: {
    title: "Outliers",
    sentence: "Three wild points of 24 tilt the squared error’s line flat; huber bounds their pull.",
    loss: { name: "mean_squared_error" },
    train: { data: OUTLIERS, model: { name: "linear" }, optimizer: { name: "adam", learning_rate: 0.1 }, epochs: 200, validation: null, standardize: { inputs: false, targets: false } },
    cure: { title: "huber", loss: { name: "huber" } },
  },
  hinge: {
    title: "Hinge on 0 and 1",
    sentence: "Hinge wants ±1: with raw 0 a negative costs 1 whatever its score and never pulls; the service takes 0 for −1 and says so.",
    loss: { name: "hinge" },
    train: { ...MOONS, optimizer: { name: "adam", learning_rate: 0.01 } },
    cure: { title: "the raw labels instead", loss: { name: "expression", value: "relu(1 - y*p)" } },
  },
  imbalance: {
    title: "Imbalance",
    sentence: "Of 100 rows about 5 are positive: saying no nearly always is 94 % right, and its F1 is 0.",
    loss: CROSS_ENTROPY,
    train: {
      data: { name: "classification", n_samples: 3000, n_features: 2, n_informative: 2, n_redundant: 0, n_clusters_per_class: 2, weights: [0.95], flip_y: 0, class_sep: 0.8, seed: 3 },
      model: { name: "linear" },
      optimizer: { name: "adam", learning_rate: 0.01 },
      epochs: 40,
      metrics: ["accuracy", "f1"],
    },
    cure: { title: "pos_weight 20", loss: { ...CROSS_ENTROPY, pos_weight: 20 } },
  },
  overfitting: {
    title: "Overfitting",
    sentence: "Sixty rows, 4417 weights: training loss falls on while validation turns at epoch 31 and climbs.",
    loss: CROSS_ENTROPY,
    train: { data: { name: "moons", n_samples: 100, noise: 0.4 }, model: { name: "mlp", hidden: [64, 64] }, optimizer: { name: "adam", learning_rate: 0.01 }, epochs: 300, validation: { fraction: 0.4 }, metrics: ["accuracy"] },
    cure: {
      title: "patience 20",
      train: { data: { name: "moons", n_samples: 100, noise: 0.4 }, model: { name: "mlp", hidden: [64, 64] }, optimizer: { name: "adam", learning_rate: 0.01 }, epochs: 300, validation: { fraction: 0.4 }, metrics: ["accuracy"], early_stopping: { patience: 20 } },
    },
  },
};
