import { median, quartiles } from './statistics.mjs';

/**
 * One line of the table. `must` and `aim` are upper bounds in `unit`; without them it is for information.
 * @typedef {object} Finding
 * @property {string} what
 * @property {number} value
 * @property {string} unit
 * @property {string} spread
 * @property {number} [must]
 * @property {number} [aim]
 * @property {string} from the values behind it
 */

/** @typedef {{ must?: number, aim?: number }} Bounds */
/** @typedef {{ name: string, values: readonly number[] }} Series */

/**
 * The ratio of two medians, with the quartiles of the single rounds' ratios, or of `ours` divided by the other
 * median where they were not measured in the same rounds.
 * @param {string} what
 * @param {Series} ours
 * @param {Series} theirs
 * @param {Bounds & { unit: string }} bounds `unit` of both series
 * @returns {Finding}
 */
export function ratio(what, ours, theirs, { unit, ...bounds }) {
  const other = median(theirs.values);
  const areRounds = ours.values.length === theirs.values.length;
  const inRounds = ours.values.map(
    (value, round) => value / (areRounds ? (theirs.values[round] ?? NaN) : other),
  );
  return {
    what,
    value: median(ours.values) / other,
    unit: 'times',
    spread: inRounds.length < 3 ? 'one round' : spreadOf(inRounds, ''),
    ...bounds,
    from: [ours, theirs].map((series) => describe(series, unit)).join('; '),
  };
}

/**
 * The median of the values.
 * @param {string} what
 * @param {Series} series
 * @param {Bounds & { unit: string, remark?: string }} bounds
 * @returns {Finding}
 */
export function figure(what, series, { unit, remark, ...bounds }) {
  return {
    what,
    value: median(series.values),
    unit,
    spread: series.values.length < 3 ? 'one round' : spreadOf(series.values, unit),
    ...bounds,
    from: [describe(series, unit), ...(remark === undefined ? [] : [remark])].join('; '),
  };
}

/** @param {Finding} finding */
export function verdict({ value, must, aim }) {
  if (aim !== undefined && value <= aim) return 'pass, and the aim';
  if (must !== undefined) return value <= must ? 'pass' : 'MISS';
  return aim === undefined ? 'for information' : 'not the aim';
}

/** @param {Finding} finding */
export function isMiss(finding) {
  return finding.must !== undefined && !(finding.value <= finding.must);
}

/**
 * @param {number} value
 * @param {string} unit
 */
export function amount(value, unit) {
  const text = Number.isInteger(value) ? String(value) : inDigits(value, unit);
  return unit === '' || unit === 'times' ? text : `${text} ${unit}`;
}

/**
 * @param {number} value
 * @param {string} unit
 */
function inDigits(value, unit) {
  return value.toFixed(['times', '', 's'].includes(unit) ? 2 : 1);
}

/**
 * @param {readonly number[]} values
 * @param {string} unit
 */
function spreadOf(values, unit) {
  const [lower, upper] = quartiles(values);
  return `${inDigits(lower, unit)} to ${inDigits(upper, unit)} ${unit}`.trim();
}

/**
 * @param {Series} series
 * @param {string} unit
 */
function describe({ name, values }, unit) {
  if (values.length < 3) return `${name} ${values.map((value) => amount(value, unit)).join(', ')}`;
  return `${name} ${amount(median(values), unit)} (${spreadOf(values, unit)}; n = ${values.length})`;
}
