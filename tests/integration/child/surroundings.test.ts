import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fixture, Ground } from './start-one.js';

let ground: Ground;
beforeEach(() => {
  ground = new Ground();
});
afterEach(() => ground.dispose());

interface Surroundings {
  descriptors: [fd: string, target: string][];
  cwd: string;
  umask: number;
  argv0: string;
  env: Record<string, string>;
}

async function surroundings(env: NodeJS.ProcessEnv = process.env): Promise<Surroundings> {
  // Node opens descriptors of its own; those of a shell that execs it show what was inherited.
  const script = `ls -l /proc/self/fd >&2; exec '${process.execPath}' '${fixture('surroundings.mjs')}'`;
  const started = await ground.start('sh', ['-c', script], { env });
  expect(await started.child.ended).toMatchObject({ exitCode: 0, leftovers: 0 });
  const lines = started.output().trim().split('\n');
  const found = JSON.parse(lines.pop() ?? '') as Surroundings;
  // "lrwx------ 1 root root 64 Jan  1 00:00 0 -> /dev/null"
  const links = lines.flatMap((line) => [...line.matchAll(/ (\d+) -> (.+)$/g)]);
  return { ...found, descriptors: links.map(([, fd = '', target = '']) => [fd, target]) };
}

/** Descriptors that the test runner inherited and left open: a child has them without migrate-lock too. */
const inherited = readdirSync('/proc/self/fdinfo').filter((fd) => {
  const closeOnExec = 0o2000000;
  const flags = existsSync(`/proc/self/fdinfo/${fd}`)
    ? readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    : 'flags: 2000000';
  return Number(fd) > 2 && (Number.parseInt(/flags:\s*(\d+)/.exec(flags)?.[1] ?? '', 8) & closeOnExec) === 0;
});

test("the child has the given descriptors 0, 1 and 2, and none of migrate-lock's", async () => {
  const { descriptors } = await surroundings();
  const own = descriptors.filter(([fd, target]) => !target.startsWith('/proc/') && !inherited.includes(fd));
  expect(own).toEqual([
    ['0', '/dev/null'],
    ['1', ground.file('output-1')],
    ['2', ground.file('output-1')],
  ]);
});

test("the child has migrate-lock's working directory and umask", async () => {
  const { cwd, umask } = await surroundings();
  const ours = /^Umask:\s*(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  expect(cwd).toBe(process.cwd());
  expect(umask).toBe(Number.parseInt(ours ?? '', 8));
});

test("the child's argv[0] is the word that was typed", async () => {
  const started = await ground.start('node', ['-p', 'process.argv0'], { file: process.execPath });
  await started.child.ended;
  expect(started.output()).toBe('node\n');
});

test('the environment is passed unchanged, also names that no shell accepts, with the mark added', async () => {
  const env = {
    PATH: process.env.PATH,
    'A.B': '1',
    'X-Y': '2',
    'with blank': '3',
    é: 'ü',
    EMPTY: '',
    LINES: 'a\nb=c',
    PWD: '/not/where/we/are',
    MIGRATE_LOCK_INSTANCES: 'outer',
  };
  const script = fixture('surroundings.mjs');
  const started = await ground.start(process.execPath, [script], { env, mark: 'inner' });
  await started.child.ended;
  const found = JSON.parse(started.output()) as Surroundings;
  expect(found.env).toEqual({ ...env, MIGRATE_LOCK_INSTANCES: 'outer inner' });
});
