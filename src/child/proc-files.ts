import { readdirSync, readFileSync, statSync } from 'node:fs';
import { errorCode } from './error-code.js';
import type { ProcessEntry } from './process-table.js';

export interface PidRange {
  first: number;
  last: number;
}

/** To ask for each number takes less than to have all of /proc listed, as long as there are not more of them. */
const FEW_PIDS = 50;

/** Every process in /proc, or those in a range of numbers; and ourselves, for a list that shows nobody is no look at all. */
export function readProc(range?: PidRange): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const pid of pidsIn(range)) {
    const entry = readProcEntry(pid);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

function pidsIn(range: PidRange | undefined): number[] {
  if (range === undefined || range.last - range.first > FEW_PIDS) {
    const pids = readdirSync('/proc')
      .filter((name) => /^[1-9]/.test(name))
      .map(Number);
    return range === undefined ? pids : pids.filter((pid) => pid >= range.first || pid === process.pid);
  }
  const pids = [process.pid];
  for (let pid = range.first; pid <= range.last; pid++) {
    // A thread has a number and a folder too. It shows its process, of which nothing else can be told.
    if (pid !== process.pid && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined)
      pids.push(pid);
  }
  return pids;
}

/** Undefined when there is no such process (any more). */
export function readProcEntry(pid: number): ProcessEntry | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseProcStat(stat);
}

/** Parses /proc/<pid>/stat. The name (field 2) may hold anything, blanks and brackets too: the last `)` ends it. */
export function parseProcStat(stat: string): ProcessEntry | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startedAt = Number(fields[19]);
  if (fields.length < 20 || Number.isNaN(startedAt)) return undefined;
  const state = fields[0];
  return {
    pid: Number.parseInt(stat, 10),
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startedAt,
    // A process whose first thread has ended shows Z while its other threads run on.
    zombie: state === 'X' || (state === 'Z' && Number(fields[17]) <= 1),
    stopped: state === 'T' || state === 't',
  };
}

/**
 * NAME=value strings; none at all in the instant of an exec. Undefined when it is another user's process, or none any more.
 * A program that writes its title over its environment (PostgreSQL does) leaves empty strings.
 */
export function readEnvironment(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/environ`);
  return text === '' ? [] : text?.split('\0');
}

/** The pid given out last in our pid namespace; undefined where the kernel does not tell. */
export function lastPid(): number | undefined {
  const text = read('/proc/sys/kernel/ns_last_pid');
  return text === undefined ? undefined : Number(text);
}

/** How many processes and threads were started since the machine was; undefined where the kernel does not tell. */
export function forksSoFar(): number | undefined {
  return numberIn('/proc/stat', /^processes (\d+)$/m);
}

/** How many threads the machine has now. */
export function threadCount(): number | undefined {
  return numberIn('/proc/loadavg', /\/(\d+) /);
}

/** The pids that are given out are lower. */
export function highestPid(): number | undefined {
  return numberIn('/proc/sys/kernel/pid_max', /^(\d+)$/m);
}

function numberIn(file: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(read(file) ?? '')?.[1];
  return found === undefined ? undefined : Number(found);
}

function read(file: string): string | undefined {
  try {
    // Node reads `utf8` in one call, and takes twice as long for anything else. All that is looked for is ASCII.
    return readFileSync(file, 'utf8');
  } catch (error) {
    // Not to see a process for want of descriptors or memory must not look as if it were gone.
    if (EXHAUSTED.has(errorCode(error))) throw error;
    return undefined;
  }
}

const EXHAUSTED = new Set<string | undefined>(['EMFILE', 'ENFILE', 'ENOMEM']);
