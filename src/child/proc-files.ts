import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { errorCode } from './error-code.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';

/** Every process in /proc. Only thread-group leaders are listed there, though the number of any thread has a folder too. */
export function readProc(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^[1-9]/.test(name))
    .flatMap((name) => readProcEntry(Number(name)) ?? []);
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

/**
 * Whether the numbers in /proc are those of our PID namespace. `unshare --pid` without `--mount-proc` leaves the outer
 * /proc in place: it shows us with two numbers (NSpid), and ours mean other processes there.
 */
export function isOurProc(): boolean {
  try {
    if (readlinkSync('/proc/self') !== String(process.pid)) return false;
  } catch {
    return false;
  }
  const numbers = /^NSpid:\s*(.*)$/m.exec(ownFile('status'))?.[1];
  return numbers === undefined || !/\s/.test(numbers);
}

/** Whether we may signal every process (CAP_KILL), of any user. */
export function maySignalAnyone(): boolean {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(ownFile('status'))?.[1];
  return capabilities !== undefined && (BigInt(`0x${capabilities}`) & CAP_KILL) !== 0n;
}

const CAP_KILL = 1n << 5n;

/** Whether /proc hides the processes of other users from us (hidepid). */
export function hidesOthers(): boolean {
  const mounts = ownFile('mountinfo');
  // The last one that was mounted on /proc lies on top.
  const options = [...mounts.matchAll(/^\d+ \d+ \S+ \S+ \/proc .* - proc \S+ (\S+)$/gm)].at(-1)?.[1];
  if (options === undefined || !/(^|,)hidepid=(?!0|off)/.test(options)) return false;
  // The members of one group see all; it is shown only when it is not group 0.
  const group = Number(/(?:^|,)gid=(\d+)/.exec(options)?.[1] ?? 0);
  return !(process.getgroups?.() ?? []).includes(group);
}

/** Who a process is, for people; undefined when it is gone. */
export function describeProcess(pid: number): ProcessDescription | undefined {
  const status = read(`/proc/${pid}/status`) ?? '';
  const command = /^Name:\t(.*)$/m.exec(status)?.[1];
  // Real, effective, saved: what the process may do is the second.
  const user = /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1];
  return command === undefined || user === undefined ? undefined : { pid, user: nameOfUser(user), command };
}

/** One of /proc/self; empty where it cannot be read, for whatever reason. */
function ownFile(name: 'status' | 'mountinfo'): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}

function nameOfUser(number: string): string {
  const line = (read('/etc/passwd') ?? '').split('\n').find((entry) => entry.split(':')[2] === number);
  return line?.split(':', 1)[0] ?? number;
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
