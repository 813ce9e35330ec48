/**
 * Commands that print when they started and ended, on a clock that all processes share. `date` is execed, not forked,
 * as the last step: only its own exit comes between its output and its end.
 */
const NOW = 'date +%s%N';

/** Prints `ready`, waits for a line on stdin, prints the time and ends. */
export const UNTIL_LET_GO = ['sh', '-c', `echo ready; read line; exec ${NOW}`];
/** Prints the time and ends. */
export const PRINT_TIME = NOW.split(' ');

/**
 * Prints the time at its start and at its end.
 * @param {string} work a shell command
 */
export function printingTimes(work) {
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
