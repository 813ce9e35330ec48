import { constants, fstatSync, openSync, type Stats } from 'node:fs';
import { isatty } from 'node:tty';
import { DescriptorOutput } from './descriptor-output.js';
import type { RawOutput } from './output.js';
import { RelayOutput } from './relay-output.js';

/** The output for a descriptor of this process, by what the descriptor is. */
function openOutput(fd: number): RawOutput {
  const stats = statOrNull(fd);
  if (stats?.isSocket() === true) return new RelayOutput(fd);
  if (stats?.isFIFO() !== true && !isatty(fd)) return new DescriptorOutput(fd, { owned: false });
  try {
    return new DescriptorOutput(reopen(fd), { owned: true });
  } catch (error) {
    // The pipe has no reader: a write fails at once.
    if (codeOf(error) === 'ENXIO') return new DescriptorOutput(fd, { owned: false });
    return new RelayOutput(fd); // no /proc (macOS), or another user's terminal or pipe (su, sudo)
  }
}

/** stdout and stderr: one output when both lead to the same place, so that no line is written inside another. */
export function openOutputs(): { stdout: RawOutput; stderr: RawOutput } {
  const stdout = openOutput(1);
  return { stdout, stderr: isSamePlace(statOrNull(1), statOrNull(2)) ? stdout : openOutput(2) };
}

/**
 * Reopens the same pipe or terminal: only the new description can be non-blocking. The original is shared with
 * the child and other programs, which do not expect EAGAIN.
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
