import { expect } from '@jest/globals';
import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { systemProcessTable } from '../../../src/child/process-table.js';
import { childrenOf, processesWith } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { fixture } from './start-one.js';
import { SupervisorLab, type LogLine } from './supervisor-process.js';

/** The text has every character that a shell could misread, and its Base64 every kind of letter. */
export const RELEASE = '{"secret":"s3cr\\et $HOME `id` \'x\' ÿþ>>>???"}';

export interface Settings {
  command?: string;
  args?: string[];
  /** There is none with this name: then it is the program's own guard. */
  shell?: string[];
  proc?: string;
  guardKillMs?: number;
  killMs?: number;
  killGraceMs?: number;
  orders?: boolean;
  crashRelease?: string;
  untold?: boolean;
  claims?: { pid: number; startedAt: number; ownGroup: boolean };
  ownGuard?: string[];
}

export interface GuardKind {
  name: string;
  shell: [string, ...string[]];
  isThere: boolean;
}

const NO_SHELL = '/nowhere/sh';

const SHELLS: [name: string, shell: [string, ...string[]]][] = [
  ['dash', ['dash']],
  ['busybox', ['busybox', 'sh']],
  ['mksh', ['mksh']],
  ['bash', ['bash', '--posix']],
];

/** The shells that may be there, for the guard as a script. */
export const SHELL_GUARDS: GuardKind[] = SHELLS.map(([name, shell]) => ({
  name,
  shell,
  isThere: spawnSync(shell[0], [...shell.slice(1), '-c', ':']).status === 0,
}));
export const OWN_GUARD: GuardKind = { name: 'the own guard', shell: [NO_SHELL], isThere: true };

export interface Holder {
  program: ChildProcess;
  guard: number;
  say: (word: string) => void;
}

/** Holders with their guards (tests/support/fixtures/child/holder.mjs). */
export class GuardLab extends SupervisorLab {
  readonly mark = `guard-test-${process.pid}-${Date.now()}`;

  holderWords(settings: Settings): string[] {
    const here = [this.bundle, this.log, this.mark];
    const json = JSON.stringify({
      mark: this.mark,
      crashRelease: RELEASE,
      releaseProgram: [process.execPath, fixture('release.mjs'), ...here],
      ownGuard: [process.execPath, fixture('own-guard.mjs'), this.bundle, this.log, 'migrate-lock-guard'],
      ...settings,
    });
    return [fixture('holder.mjs'), this.bundle, this.log, json];
  }

  async holder(settings: Settings): Promise<Holder> {
    const program = this.run(process.execPath, this.holderWords(settings));
    const { ready } = await this.line('ready');
    expect(ready).toBe(true);
    return {
      program,
      guard: guardOf(program.pid ?? 0),
      say: (word) => program.stdin.write(`${word}\n`),
    };
  }

  released(): LogLine | undefined {
    return this.lines().find(({ type }) => type === 'release');
  }

  /** No process of the test is left, including the guard and its processes. */
  async untilNobodyIsLeft(): Promise<void> {
    await waitFor('the end of all', () => processesWith('MIGRATE_LOCK_TEST_LAB', this.folder).length === 0);
  }
}

/** The guard of a holder: a child process that leads a session and does not carry the mark. */
export function guardOf(holderPid: number): number {
  const guards = childrenOf(holderPid).filter((pid) => {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    // A child that is just being started still has the arguments of the holder, which name the guard too.
    return command.includes('migrate-lock-guard') && !command.includes('holder.mjs');
  });
  expect(guards).toHaveLength(1);
  return guards[0] ?? 0;
}

export async function kill(program: ChildProcess): Promise<void> {
  const exited = once(program, 'exit');
  program.kill('SIGKILL');
  await exited;
}

export async function pidsIn(file: string, count: number): Promise<number[]> {
  return waitFor(`${count} pids in ${file}`, () => {
    const pids = contents(file).split(/\s+/).filter(Boolean).map(Number);
    return pids.length >= count ? pids : null;
  });
}

export async function untilSessionIsOver(session: number): Promise<void> {
  await waitFor(`the end of session ${session}`, async () => {
    const processes = await systemProcessTable().list();
    return !processes.some((entry) => entry.session === session && !entry.zombie);
  });
}

/** The guard has read its orders: it has a second process, which ends the child when both it and the holder are killed. */
export async function untilGuardWatches(guard: number): Promise<void> {
  await waitFor(`the second process of guard ${guard}`, async () => {
    const processes = await systemProcessTable().list();
    return processes.some(({ session, pid, zombie }) => session === guard && pid !== guard && !zombie);
  });
}

export function contents(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it has ended
  }
}
