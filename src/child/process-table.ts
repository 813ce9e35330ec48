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

/** The operating system's view of its processes. */
export interface ProcessTable {
  /** `none`: no process can be seen. `own`: processes of other users may be hidden. */
  readonly shows: 'all' | 'own' | 'none';
  /** Whether a signal to a group reaches every member, of any user. */
  readonly maySignalAnyone: boolean;
  /** All visible processes; empty when the system shows none. Rejects when descriptors or memory are exhausted. */
  list(): Promise<ProcessEntry[]>;
  /** The process that has this pid now. Undefined: there is none, or the system cannot look up a single pid. */
  find(pid: number): ProcessEntry | undefined;
  /** Whether the pid still belongs to the process `entry`, zombie or not. */
  isStill(entry: ProcessEntry): boolean;
  /** The NAME=value strings that a process was started with. Undefined: unreadable; empty: it may be in an exec. */
  environment(pid: number): string[] | undefined;
  /** The pid assigned last. While it is unchanged, no process was started. Undefined: the system does not show it. */
  lastPid(): number | undefined;
  /** Describes it for people. Undefined: it has exited. */
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
 * Elsewhere (macOS, BSD): ps. It takes some 10 ms, has start times in seconds and no environments. A process that left the
 * group and whose parents have exited is not found there.
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

/** Linux without a /proc of our PID namespace. ps reads the same /proc, so it would show other processes too. */
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

/** The process table of this system. */
export function systemProcessTable(): ProcessTable {
  if (process.platform !== 'linux') return psTable;
  return isOurProc() ? procTable() : noTable();
}

/** The start time of a process that has just been started; 0 when it is unknown. */
export function startTimeOf(pid: number, table: ProcessTable): number {
  try {
    return table.find(pid)?.startedAt ?? 0;
  } catch {
    return 0;
  }
}
