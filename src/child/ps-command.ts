import { execFile } from 'node:child_process';
import type { ProcessDescription, ProcessEntry } from './process-entry.js';

/** Every process as POSIX ps shows it; empty when there is no ps. */
export async function readPs(): Promise<ProcessEntry[]> {
  const output = await ps(['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart=']);
  return output.split('\n').flatMap(parsePsLine);
}

/** Describes a process for people; undefined when ps does not show it. */
export async function describeByPs(pid: number): Promise<ProcessDescription | undefined> {
  const output = await ps(['-o', 'user=,comm=', '-p', String(pid)]);
  const [, user, command] = /^\s*(\S+)\s+(.+?)\s*$/m.exec(output) ?? [];
  return user === undefined || command === undefined ? undefined : { pid, user, command };
}

function ps(args: string[]): Promise<string> {
  const options = {
    // lstart is local time. In UTC it does not change when daylight saving time begins.
    env: { LC_ALL: 'C', TZ: 'UTC0' },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 5_000,
    killSignal: 'SIGKILL',
  } as const;
  return new Promise((resolve) => {
    execFile('/bin/ps', args, options, (error, output) => resolve(error === null ? output : ''));
  });
}

/** One line such as `  501   500   501 Ss   Mon Nov 23 19:14:12 2026`. */
export function parsePsLine(line: string): ProcessEntry[] {
  const fields = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line);
  if (fields === null) return [];
  const [, pid, parent, group, state = '', started = ''] = fields;
  return [
    {
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      session: 0,
      startedAt: Date.parse(`${started.trim()} UTC`),
      zombie: state.startsWith('Z'),
      stopped: state.startsWith('T'),
    },
  ];
}
