import {
  describeProcess,
  hidesOthers,
  isOurProc,
  lastPid,
  maySignalAnyone,
  readEnvironment,
  readProc,
  readProcEntry,
} from './proc-files.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';
import { describeByPs, readPs } from './ps-command.js';

/** How a system shows its processes. */
export interface ProcessTable {
  /** `none`: nothing can be seen. `own`: perhaps not the processes of other users. */
  readonly shows: 'all' | 'own' | 'none';
  /** Whether a signal to a group reaches every member, of any user. */
  readonly maySignalAnyone: boolean;
  /** All processes that can be seen; empty when the system does not tell. Rejects when there was no room to look. */
  list(): Promise<ProcessEntry[]>;
  /** The process that has this pid now. Undefined: none, or the system has no quick answer. */
  find(pid: number): ProcessEntry | undefined;
  /** Whether `entry` is still the process that it was, zombie or not. */
  isStill(entry: ProcessEntry): boolean;
  /** The NAME=value strings that a process was started with. Undefined: not to be read; empty: it may just be starting. */
  environment(pid: number): string[] | undefined;
  /** The pid given out last. Unchanged: nobody was started in between. Undefined: the system does not tell. */
  lastPid(): number | undefined;
  /** Who it is. Undefined: it is gone. */
  describe(pid: number): Promise<ProcessDescription | undefined>;
}

/** Linux: /proc, about 20 microseconds for each process. */
function procTable(): ProcessTable {
  return {
    shows: hidesOthers() ? 'own' : 'all',
    maySignalAnyone: maySignalAnyone(),
    list: () => Promise.resolve(readProc()),
    find: readProcEntry,
    isStill: (entry) => readProcEntry(entry.pid)?.startedAt === entry.startedAt,
    environment: readEnvironment,
    lastPid,
    describe: (pid) => Promise.resolve(describeProcess(pid)),
  };
}

/**
 * Elsewhere (macOS, BSD): ps. It takes some 10 ms, tells start times by the second, and no environment: a process that
 * left the group and lost its parents is not found there. The list was made a moment ago; there is no closer look.
 */
const psTable: ProcessTable = {
  shows: 'all',
  maySignalAnyone: process.geteuid?.() === 0,
  list: () => readPs(),
  find: () => undefined,
  isStill: () => true,
  environment: () => undefined,
  lastPid: () => undefined,
  describe: describeByPs,
};

/** Linux without a /proc of our PID namespace: ps reads the same /proc, so it would name others as well. */
function noTable(): ProcessTable {
  return {
    shows: 'none',
    maySignalAnyone: maySignalAnyone(),
    list: () => Promise.resolve([]),
    find: () => undefined,
    isStill: () => false,
    environment: () => undefined,
    lastPid: () => undefined,
    describe: () => Promise.resolve(undefined),
  };
}

/** The way this system shows its processes. */
export function systemProcessTable(): ProcessTable {
  if (process.platform !== 'linux') return psTable;
  return isOurProc() ? procTable() : noTable();
}

/** The start time of a process that has just been started; 0 when it cannot be told. */
export function startTimeOf(pid: number, table: ProcessTable): number {
  try {
    return table.find(pid)?.startedAt ?? 0;
  } catch {
    return 0;
  }
}
