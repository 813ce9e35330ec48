/**
 * @param {readonly number[]} values at least one
 * @param {number} share 0.5: the median
 */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)] ?? NaN;
  const above = sorted[Math.ceil(position)] ?? NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** @param {readonly number[]} values */
export function median(values) {
  return quantile(values, 0.5);
}

/**
 * @param {readonly number[]} values
 * @returns {[lower: number, upper: number]}
 */
export function quartiles(values) {
  return [quantile(values, 0.25), quantile(values, 0.75)];
}
