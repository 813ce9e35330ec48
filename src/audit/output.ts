import { constants, fstatSync, openSync, type Stats } from 'node:fs';
import { isatty } from 'node:tty';
import { DescriptorOutput } from './descriptor-output.js';
import { RelayOutput } from './relay-output.js';

/**
 * Takes lines and never makes the caller wait. Node's own process.stdout does: on a pipe or a terminal it writes in a
 * blocking way, so that a reader that stalls would stop our timers, the child's deadline among them.
 */
export interface Output {
  /** Writes the text and a newline, now or as soon as the reader takes it. Never throws: what cannot be written is lost. */
  writeLine: (text: string) => void;
  /** Waits until nothing is left to write (true), `limitMs` at most (false). Keeps Node alive meanwhile. */
  flush: (limitMs: number) => Promise<boolean>;
  /** Gives up at once what is left, so that it does not keep Node alive. Later lines are ignored. */
  close: () => void;
}

/** An output that also takes what is no line of its own, such as what moves a terminal's cursor. */
export interface RawOutput extends Output {
  /** As writeLine(), without the newline. */
  write: (text: string) => void;
  /** False while something waits for its reader: then what can be left out is better left out. */
  readonly isIdle: boolean;
}

/** The output for a descriptor of this process, by what the descriptor is. */
export function openOutput(fd: number): RawOutput {
  const stats = statOrNull(fd);
  if (stats?.isSocket() === true) return new RelayOutput(fd);
  if (stats?.isFIFO() !== true && !isatty(fd)) return new DescriptorOutput(fd, { owned: false });
  try {
    return new DescriptorOutput(reopen(fd), { owned: true });
  } catch (error) {
    // Nobody reads this pipe any more: a write fails, and at once.
    if (codeOf(error) === 'ENXIO') return new DescriptorOutput(fd, { owned: false });
    return new RelayOutput(fd); // no /proc (macOS), or another user's terminal or pipe (su, sudo)
  }
}

/** stdout and stderr: one and the same output when both lead to the same place, so that no line lands in another's middle. */
export function openOutputs(): { stdout: RawOutput; stderr: RawOutput } {
  const stdout = openOutput(1);
  return { stdout, stderr: isSamePlace(statOrNull(1), statOrNull(2)) ? stdout : openOutput(2) };
}

/**
 * The same pipe or terminal once more, as a description of our own: only on that one can we be non-blocking. The one we
 * were given is the child's too, and others', who do not expect to be told "try again".
 */
function reopen(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function isSamePlace(one: Stats | null, other: Stats | null): boolean {
  return one !== null && other !== null && one.dev === other.dev && one.ino === other.ino;
}

function statOrNull(fd: number): Stats | null {
  try {
    return fstatSync(fd);
  } catch {
    return null;
  }
}
