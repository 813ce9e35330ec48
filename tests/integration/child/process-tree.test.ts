import { describe, expect, jest, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { parseProcStat } from '../../../src/child/proc-files.js';
import { parsePsLine, readPs } from '../../../src/child/ps-command.js';
import { systemProcessTable, type ProcessTable } from '../../../src/child/process-table.js';
import type { ProcessEntry } from '../../../src/child/process-entry.js';
import { ProcessTree } from '../../../src/child/process-tree.js';
import { isAlive } from '../../support/processes.js';

/** A process table whose `entries` may change between looks. */
class MadeUpTable implements ProcessTable {
  last = 1;
  shows: ProcessTable['shows'] = 'all';
  maySignalAnyone = false;
  environments = new Map<number, string[] | undefined>();
  constructor(public entries: ProcessEntry[]) {}
  list = (): Promise<ProcessEntry[]> => Promise.resolve(this.entries);
  find = (pid: number): ProcessEntry | undefined => this.entries.find((entry) => entry.pid === pid);
  isStill = (entry: ProcessEntry): boolean => this.find(entry.pid)?.startedAt === entry.startedAt;
  environment = (pid: number): string[] | undefined => this.environments.get(pid);
  lastPid = (): number => this.last;
  describe = (): Promise<undefined> => Promise.resolve(undefined);
}

const living = (pid: number, rest: Partial<ProcessEntry> = {}): ProcessEntry => ({
  pid,
  parent: 1,
  group: pid,
  session: pid,
  startedAt: 100,
  zombie: false,
  stopped: false,
  ...rest,
});
const SELF = living(10, { startedAt: 50 });
const CHILD = living(20, { parent: 10 });
const treeOf = (table: ProcessTable, ownGroup = true): ProcessTree =>
  new ProcessTree({ pid: 20, startedAt: 100, ownGroup, mark: 'me' }, table, 10);
const pidsOf = async (tree: ProcessTree): Promise<number[]> =>
  (await tree.scan()).members.map(({ pid }) => pid).sort((a, b) => a - b);

describe('the process tree', () => {
  test('has the group, the session, the descendants and the processes with the mark', async () => {
    const table = new MadeUpTable([
      SELF,
      CHILD,
      living(21, { group: 20, session: 20 }),
      living(22, { session: 20 }),
      living(23, { parent: 22 }),
      living(24),
      living(25, { parent: 24 }),
      living(26),
      living(27),
    ]);
    table.environments.set(24, ['A=1', 'MIGRATE_LOCK_INSTANCES=outer me']);
    table.environments.set(26, ['MIGRATE_LOCK_INSTANCES=somebody', 'OTHER=me']);
    expect(await pidsOf(treeOf(table))).toEqual([20, 21, 22, 23, 24, 25]);
  });

  test("has only descendants and processes with the mark, when the child shares migrate-lock's group", async () => {
    const inOurGroup = { group: 10, session: 5 };
    const table = new MadeUpTable([
      living(10, { ...inOurGroup, startedAt: 50 }),
      living(20, { ...inOurGroup, parent: 10 }),
      living(21, { ...inOurGroup, parent: 20 }),
      living(22, inOurGroup),
    ]);
    expect(await pidsOf(treeOf(table, false))).toEqual([20, 21]);
  });

  test('never has migrate-lock itself, its ancestors, or a process older than the child', async () => {
    const table = new MadeUpTable([
      living(5, { startedAt: 100 }),
      living(10, { parent: 5, startedAt: 100 }),
      CHILD,
      living(30, { startedAt: 99 }),
    ]);
    for (const pid of [5, 10, 30]) table.environments.set(pid, ['MIGRATE_LOCK_INSTANCES=me']);
    expect(await pidsOf(treeOf(table))).toEqual([20]);
  });

  test('does not count zombies', async () => {
    const table = new MadeUpTable([
      SELF,
      { ...CHILD, zombie: true },
      living(21, { group: 20, zombie: true }),
    ]);
    expect(await pidsOf(treeOf(table))).toEqual([]);
  });

  test('keeps a member that lost its parents, but not another process with its pid', async () => {
    const table = new MadeUpTable([SELF, CHILD, living(30, { parent: 20 })]);
    const tree = treeOf(table);
    expect(await pidsOf(tree)).toEqual([20, 30]);
    tree.rootReaped();
    table.entries = [SELF, living(30, { parent: 1 })];
    expect(await pidsOf(tree)).toEqual([30]);
    table.entries = [SELF, living(30, { parent: 1, startedAt: 101 })];
    expect(await pidsOf(tree)).toEqual([]);
  });

  test("does not have a process that reuses the child's process id", async () => {
    const table = new MadeUpTable([SELF, CHILD, living(21, { group: 20, session: 20 })]);
    const tree = treeOf(table);
    tree.rootReaped();
    table.entries = [SELF, living(21, { group: 20, session: 20 })];
    expect(await pidsOf(tree)).toEqual([21]);
    // Another process has this id now, and leads a group with this id.
    table.entries = [SELF, living(20, { startedAt: 200 }), living(40, { group: 20, startedAt: 201 })];
    expect(await pidsOf(tree)).toEqual([]);
    table.entries = [SELF, living(40, { group: 20, startedAt: 201 })];
    expect(await pidsOf(tree)).toEqual([]);
  });

  test('is not certain while a process forks or execs', async () => {
    const table = new MadeUpTable([SELF, CHILD, living(30)]);
    table.environments.set(30, ['A=1']);
    expect((await treeOf(table).scan()).certain).toBe(true);
    table.lastPid = () => (table.last += 1);
    expect((await treeOf(table).scan()).certain).toBe(false);
    table.lastPid = () => 1;
    table.environments.set(30, []);
    expect((await treeOf(table).scan()).certain).toBe(false);
  });

  test('is not empty when the process table cannot be read', async () => {
    const table = new MadeUpTable([]);
    table.list = () => Promise.reject(new Error('EMFILE'));
    const tree = treeOf(table, false);
    tree.rootReaped();
    expect(tree.isEmpty(await tree.scan())).toBe(false);
  });
});

describe('a signal', () => {
  test('goes to a member, and never to another process with its pid', async () => {
    const victim = await sleeping();
    const innocent = await sleeping();
    try {
      const table = new MadeUpTable([SELF, CHILD, living(pidOf(victim)), living(pidOf(innocent))]);
      const tree = treeOf(table);
      const kill = jest.spyOn(process, 'kill');
      table.entries = [SELF, CHILD, living(pidOf(victim)), living(pidOf(innocent), { startedAt: 777 })];
      tree.signal(living(pidOf(innocent)), 'SIGKILL');
      expect(kill).not.toHaveBeenCalled();
      kill.mockRestore();
      tree.signal(living(pidOf(victim)), 'SIGKILL');
      await once(victim, 'exit');
      expect(isAlive(pidOf(innocent))).toBe(true);
    } finally {
      innocent.kill('SIGKILL');
    }
  });

  test('is not sent when the real process has another start time', async () => {
    const innocent = await sleeping();
    try {
      const table = systemProcessTable();
      const entry = table.find(pidOf(innocent));
      expect(entry).toMatchObject({ parent: process.pid, zombie: false, stopped: false });
      if (entry === undefined) return;
      const tree = new ProcessTree({ pid: 1, startedAt: 0, ownGroup: false, mark: 'me' }, table, process.pid);
      tree.signal({ ...entry, startedAt: entry.startedAt - 1 }, 'SIGKILL');
      tree.signal(entry, 'SIGCONT');
      expect(isAlive(entry.pid)).toBe(true);
      tree.signal(entry, 'SIGKILL');
      await once(innocent, 'exit');
    } finally {
      innocent.kill('SIGKILL');
    }
  });

  test('goes to the group only while the group certainly belongs to the child', async () => {
    const kill = jest.spyOn(process, 'kill').mockReturnValue(true);
    try {
      const table = new MadeUpTable([SELF, CHILD]);
      const tree = treeOf(table);
      tree.signalGroup('SIGKILL', await tree.scan());
      expect(kill).toHaveBeenCalledWith(-20, 'SIGKILL');
      kill.mockClear();
      tree.rootReaped();
      table.entries = [SELF, living(40, { group: 20, startedAt: 201 }), living(20, { startedAt: 200 })];
      tree.signalGroup('SIGKILL', await tree.scan());
      treeOf(table, false).signalGroup('SIGKILL', await tree.scan());
      expect(kill).not.toHaveBeenCalled();
    } finally {
      kill.mockRestore();
    }
  });
});

describe('the process table', () => {
  test('parses /proc/<pid>/stat for any process name', () => {
    const rest = '20 21 22 34816 22 4194304 9 0 0 0 0 0 0 0 20 0 4 0 94171 3133440 382';
    expect(parseProcStat(`77 (a) R 1 (b) S ${rest}`)).toEqual({
      pid: 77,
      parent: 20,
      group: 21,
      session: 22,
      startedAt: 94171,
      zombie: false,
      stopped: false,
    });
    expect(parseProcStat('77 (x\n) y) T ' + rest)).toMatchObject({ pid: 77, stopped: true });
    expect(parseProcStat('')).toBeUndefined();
  });

  test('counts a zombie as gone, but not a process whose main thread alone ended', () => {
    const stat = (state: string, threads: number): ProcessEntry | undefined =>
      parseProcStat(`77 (x) ${state} 20 21 22 0 -1 4 9 0 0 0 0 0 0 0 20 0 ${threads} 0 94171 0 0`);
    expect(stat('Z', 1)?.zombie).toBe(true);
    expect(stat('X', 0)?.zombie).toBe(true);
    expect(stat('Z', 2)?.zombie).toBe(false);
  });

  test('parses a line of ps on systems without /proc', () => {
    expect(parsePsLine('  501   500   499 Ts+  Mon Nov  2 09:14:12 2026')).toEqual([
      {
        pid: 501,
        parent: 500,
        group: 499,
        session: 0,
        startedAt: Date.UTC(2026, 10, 2, 9, 14, 12),
        zombie: false,
        stopped: true,
      },
    ]);
    expect(parsePsLine('')).toEqual([]);
  });

  (existsSync('/bin/ps') ? test : test.skip)('runs ps (skipped where there is no /bin/ps)', async () => {
    const self = (await readPs()).find(({ pid }) => pid === process.pid);
    expect(self).toMatchObject({ parent: process.ppid, zombie: false });
    expect(Math.abs((self?.startedAt ?? 0) - performance.timeOrigin)).toBeLessThan(3_600_000);
  });
});

async function sleeping(): Promise<ChildProcess> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(child, 'spawn');
  return child;
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('not started');
  return child.pid;
}
