/**
 * Commands that tell when they started and ended, on a clock that all processes share. `date` is execed, not forked, as the
 * last thing: between what it prints and its end lies nothing but its own exit.
 */
const NOW = 'date +%s%N';

/** Says `ready`, waits for a line on stdin, tells the time and ends. */
export const UNTIL_LET_GO = ['sh', '-c', `echo ready; read line; exec ${NOW}`];
/** Tells the time and ends. */
export const TELL_TIME = NOW.split(' ');

/**
 * Tells the time at its start and at its end.
 * @param {string} work a shell command
 */
export function telling(work) {
  return ['sh', '-c', `${NOW}; ${work}; exec ${NOW}`];
}

/** @param {string} line */
export function isTime(line) {
  return /^\d{19}$/.test(line);
}

/**
 * @param {readonly string[]} lines
 * @returns {number[]} the times among them, in milliseconds
 */
export function timesIn(lines) {
  return lines.filter(isTime).map((line) => Number(BigInt(line) / 1000n) / 1000);
}
