import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { systemErrorCode } from './system-error.js';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';

/** Every process in /proc. A listing shows only thread-group leaders, although /proc/<tid> exists for every thread. */
export function readProc(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^[1-9]/.test(name))
    .flatMap((name) => readProcEntry(Number(name)) ?? []);
}

/** Undefined when there is no such process. */
export function readProcEntry(pid: number): ProcessEntry | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseProcStat(stat);
}

/** Parses /proc/<pid>/stat. The name (field 2) may contain blanks and brackets: the last `)` ends it. */
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
    // A process whose first thread has exited shows Z while its other threads run.
    zombie: state === 'X' || (state === 'Z' && Number(fields[17]) <= 1),
    stopped: state === 'T' || state === 't',
  };
}

/**
 * NAME=value strings; none during an exec. Undefined when it is another user's process, or has exited.
 * A program that overwrites its environment with its title (PostgreSQL does) leaves empty strings.
 */
export function readEnvironment(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/environ`);
  return text === '' ? [] : text?.split('\0');
}

/** The pid assigned last in our PID namespace; undefined where the kernel does not show it. */
export function lastPid(): number | undefined {
  const text = read('/proc/sys/kernel/ns_last_pid');
  return text === undefined ? undefined : Number(text);
}

/**
 * Whether /proc is that of our PID namespace. `unshare --pid` without `--mount-proc` leaves the outer /proc, where our
 * process has two pids (NSpid), and our pids are those of other processes.
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

/** Whether this process may signal processes of any user (CAP_KILL). */
export function maySignalAnyone(): boolean {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(ownFile('status'))?.[1];
  return capabilities !== undefined && (BigInt(`0x${capabilities}`) & CAP_KILL) !== 0n;
}

const CAP_KILL = 1n << 5n;

/** Whether /proc hides the processes of other users (hidepid). */
export function hidesOthers(): boolean {
  const mounts = ownFile('mountinfo');
  // The last mount on /proc is the visible one.
  const options = [...mounts.matchAll(/^\d+ \d+ \S+ \S+ \/proc .* - proc \S+ (\S+)$/gm)].at(-1)?.[1];
  if (options === undefined || !/(^|,)hidepid=(?!0|off)/.test(options)) return false;
  // Members of the group `gid` see all processes; the option is omitted for group 0.
  const group = Number(/(?:^|,)gid=(\d+)/.exec(options)?.[1] ?? 0);
  return !(process.getgroups?.() ?? []).includes(group);
}

/** Describes a process for people; undefined when it has exited. */
export function describeProcess(pid: number): ProcessDescription | undefined {
  const status = read(`/proc/${pid}/status`) ?? '';
  const command = /^Name:\t(.*)$/m.exec(status)?.[1];
  // The fields are the real, effective and saved user. The effective one decides.
  const user = /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1];
  return command === undefined || user === undefined ? undefined : { pid, user: nameOfUser(user), command };
}

/** A file of /proc/self; empty where it cannot be read. */
export function ownFile(name: 'status' | 'mountinfo' | 'limits'): string {
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
    // Node reads `utf8` in one call, and needs twice as long for other encodings. The fields that matter are ASCII.
    return readFileSync(file, 'utf8');
  } catch (error) {
    // A lack of descriptors or memory does not mean that the process has exited.
    if (EXHAUSTED.has(systemErrorCode(error))) throw error;
    return undefined;
  }
}

const EXHAUSTED = new Set<string | undefined>(['EMFILE', 'ENFILE', 'ENOMEM']);
