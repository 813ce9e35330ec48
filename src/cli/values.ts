import { formatDuration, MAX_DURATION_MS, parseDuration } from '../text/duration.js';
import { UsageError } from '../errors.js';
import { EVENT_NAMES } from '../events/events.js';
import { findUnexpanded } from '../text/fixed-name.js';
import { written, type Reader } from './own-option.js';

/** The longest --keep. No timer is used for it. */
export const LONGEST_KEEP_MS = 100 * 365 * 86_400_000;

/** Reads a duration as milliseconds. */
export function durationReader(
  example: string,
  { mayBeZero = false, longestMs = MAX_DURATION_MS } = {},
): Reader {
  return (value, name) => {
    const parsed = parseDuration(value, Infinity);
    const problem =
      parsed === undefined
        ? 'is not a duration'
        : parsed === 0 && !mayBeZero
          ? 'must be longer than 0'
          : parsed > longestMs
            ? `is too long: at most ${formatDuration(longestMs)}`
            : undefined;
    if (problem === undefined) return parsed;
    throw new UsageError(
      `${name} ${JSON.stringify(value)} ${problem}.`,
      `Write for example ${written(name, example)} (also 500ms, 5m, 1h).`,
    );
  };
}

/** Reads a whole number. */
export function numberReader(what: string, from: number, to: number, example: number): Reader {
  return (value, name) => {
    const number = /^\d{1,6}$/.test(value) ? Number(value) : NaN;
    if (number >= from && number <= to) return number;
    throw new UsageError(
      `${name} ${JSON.stringify(value)} is not ${what} from ${from} to ${to}.`,
      `Write for example ${written(name, String(example))}.`,
    );
  };
}

export function choiceReader(choices: readonly string[]): Reader {
  return (value, name) => {
    if (choices.includes(value)) return value;
    throw new UsageError(
      `${name} ${JSON.stringify(value)} is none of ${choices.join(', ')}.`,
      `Write for example ${written(name, choices[0] ?? '')}.`,
    );
  };
}

export const readFilePath: Reader = (value, name) => {
  // As a path, a URL would look different in the messages of the system, and its password would not be found in them.
  const unexpanded = findUnexpanded(value);
  const problem =
    value.trim() === ''
      ? 'is empty'
      : value.includes('://')
        ? 'is a URL'
        : unexpanded === undefined
          ? undefined
          : `contains ${unexpanded}, which was not expanded`;
  if (problem === undefined) return value;
  const example = '/var/lib/node_exporter/migrate-lock.prom';
  throw new UsageError(`${name} ${problem}.`, `Write for example ${written(name, example)}.`);
};

/** Reads a line for the shell. */
export const readShellCommand: Reader = (value, name) => {
  if (value.trim() !== '' && !value.includes('\0')) return value;
  throw new UsageError(
    `${name} is empty.`,
    `Write for example ${written(name, "'./migrations-pending.sh'")}.`,
  );
};

/** Reads names of events, with commas. */
export const readEventNames: Reader = (value, name) => {
  const given = value.split(',').map((word) => word.trim());
  const unknown = given.find((word) => !EVENT_NAMES.some((known) => known === word));
  if (unknown === undefined) return given;
  throw new UsageError(
    `${name} names an event that does not exist: ${JSON.stringify(unknown)}.`,
    `Write for example ${written(name, 'run.finished,lock.takeover')}. The events are: ${EVENT_NAMES.join(', ')}.`,
  );
};
