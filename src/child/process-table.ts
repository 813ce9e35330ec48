import { existsSync } from 'node:fs';
import { lastPid, readEnvironment, readProc, readProcEntry, type PidRange } from './proc-files.js';
import { readPs } from './ps-command.js';

/** One process. Its identity is `pid` and `startedAt` together: a pid alone is used again. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  /** Session id; 0 where the system does not tell. */
  session: number;
  /** Start time in units that only compare with those of the same table. */
  startedAt: number;
  /** Ended, but not yet reaped by its parent: it runs no code and holds nothing. */
  zombie: boolean;
  /** Stopped (SIGSTOP, SIGTTIN, a debugger): it acts on no signal but SIGKILL and SIGCONT. */
  stopped: boolean;
}

/** How a system shows its processes. */
export interface ProcessTable {
  /**
   * All processes that can be seen; empty when the system does not tell. Rejects when there was no room to look. With a
   * range of pids, those outside of it may be left out, but for ourselves.
   */
  list(range?: PidRange): Promise<ProcessEntry[]>;
  /** The process that has this pid now. Undefined: none, or the system has no quick answer. */
  find(pid: number): ProcessEntry | undefined;
  /** Whether `entry` is still the process that it was, zombie or not. */
  isStill(entry: ProcessEntry): boolean;
  /** The NAME=value strings that a process was started with. Undefined: not to be read; empty: it may just be starting. */
  environment(pid: number): string[] | undefined;
  /** The pid given out last. Unchanged: nobody was started in between. Undefined: the system does not tell. */
  lastPid(): number | undefined;
}

/** Linux: /proc, about 20 microseconds for each process. */
const procTable: ProcessTable = {
  list: (range) => Promise.resolve(readProc(range)),
  find: readProcEntry,
  isStill: (entry) => readProcEntry(entry.pid)?.startedAt === entry.startedAt,
  environment: readEnvironment,
  lastPid,
};

/**
 * Elsewhere (macOS, BSD): ps. It takes some 10 ms, tells start times by the second, and no environment: a process that
 * left the group and lost its parents is not found there. The list was made a moment ago; there is no closer look.
 */
const psTable: ProcessTable = {
  list: () => readPs(),
  find: () => undefined,
  isStill: () => true,
  environment: () => undefined,
  lastPid: () => undefined,
};

/** The way this system shows its processes. */
export function systemProcessTable(): ProcessTable {
  return existsSync('/proc/self/stat') ? procTable : psTable;
}

/** The start time of a process that has just been started; 0 when it cannot be told. */
export function startTimeOf(pid: number, table: ProcessTable): number {
  try {
    return table.find(pid)?.startedAt ?? 0;
  } catch {
    return 0;
  }
}
