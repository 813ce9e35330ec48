import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, CLI, TESTED_EXECUTABLE, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** Node from 22.15 and 23.11 on. */
const HAS_EXECVE = 'execve' in process;
const BECOMES = HAS_EXECVE || TESTED_EXECUTABLE !== undefined;
const KEY = 'release 1';

let db: TestDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-become-'));
  const env = { DATABASE_URL: db.url };
  expect(await runCli(['run', '--once', KEY, '--', 'true'], { env })).toMatchObject({ code: 0 });
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});

interface Given {
  env?: Record<string, string>;
  input?: string;
  through?: string[];
}

const start = (command: string[], { env, ...given }: Given = {}) =>
  startCli(['wait', '--once', KEY, '--', ...command], {
    ...{ env: { DATABASE_URL: db.url, ...env }, auditOnly: false },
    ...given,
  });

/** What the command writes to stdout, after the events. */
const outputOf = (stdout: string) => stdout.replace(/^(\{.*\}\n)*/, '');
const run = async (command: string[], given: Given = {}) => {
  const { code, stdout, stderr } = await start(command, given).done;
  return { code, stdout: outputOf(stdout), stderr };
};

describe('the command', () => {
  test('has its arguments, its stdin and its environment, and no variable more', async () => {
    const script = 'cat; printf "%s|" "$@"; echo; env | sort';
    const given = { env: { 'A.B': 'x', EMPTY: '' }, input: 'from stdin\n' };
    const { code, stdout, stderr } = await run(['sh', '-c', script, 'sh', 'a b', '', '$c'], given);
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines.slice(0, 2)).toEqual(['from stdin', 'a b||$c|']);
    const without = startCli(['-c', script, 'sh', 'a b', '', '$c'], {
      ...{
        program: [
          '-e',
          'require("node:child_process").spawn("sh", process.argv.slice(1), { stdio: "inherit" })',
          '--',
        ],
      },
      ...{ auditOnly: false, ...given, env: { DATABASE_URL: db.url, ...given.env } },
    });
    expect(lines).toEqual((await without.done).stdout.split('\n'));
    // No warning of Node either.
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('migrate-lock:'))).toEqual([]);
  });

  test('gives its exit code, or the signal that ends it', async () => {
    expect(await run(['sh', '-c', 'exit 7'])).toMatchObject({ code: 7 });
    const { code, signal } = await start(['sh', '-c', 'kill -KILL $$']).done;
    expect(BECOMES ? signal : code).toBe(BECOMES ? 'SIGKILL' : 137);
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)(
    'gets %s once',
    async (signal) => {
      const name = signal.slice(3);
      const script = `trap 'echo got' ${name}; trap 'exit 9' QUIT; echo ready; while :; do sleep 0.05; done`;
      const cli = start(['sh', '-c', script]);
      await waitFor('the command to be ready', () => cli.stdout().endsWith('ready\n'));
      cli.kill(signal);
      await waitFor('the signal', () => cli.stdout().includes('got\n'));
      cli.kill('SIGQUIT');
      expect(await cli.done).toMatchObject({ code: 9, stdout: expect.stringMatching(/ready\ngot\n$/) });
    },
  );

  (BECOMES ? test : test.skip)('is the same process', async () => {
    const cli = start(['sh', '-c', 'echo "pid $$"']);
    expect((await cli.done).stdout).toContain(`pid ${cli.pid}\n`);
  });

  test('that the kernel refuses has exit code 126, with the reason; a script without a first line runs', async () => {
    const file = join(folder, 'script');
    writeFileSync(file, '#!/nowhere/sh\n');
    chmodSync(file, 0o755);
    const refused = await run([file]);
    expect(refused).toMatchObject({ code: 126, stdout: '', stderr: expect.stringContaining('/nowhere/sh') });
    writeFileSync(file, 'echo x\n');
    expect(await run([file])).toMatchObject({ code: 0, stdout: 'x\n' });
  });
});

const isLinux = process.platform === 'linux';
(isLinux ? describe : describe.skip)('what Node changes is restored', () => {
  test('no signal is ignored or blocked', async () => {
    const { stdout } = await run(['grep', '-E', '^Sig(Ign|Blk)', '/proc/self/status']);
    expect(stdout).toBe('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n');
  });

  (HAS_EXECVE ? test : test.skip)('stdin and stdout are blocking, also when they were not before', () => {
    const O_NONBLOCK = 0o4000;
    const unblock = join(folder, 'unblock.cjs');
    writeFileSync(
      unblock,
      'process.stdin.resume().pause(); process.stdout.write("\\n"); ' +
        'process.execve(process.execPath, [process.execPath, ...process.argv.slice(2)], process.env)',
    );
    const flagsAfter = (...words: string[]): number[] => {
      const given = {
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: '', DATABASE_URL: db.url },
      } as const;
      const script = `echo | "$0" "$@" | cat`;
      const { stdout } = spawnSync('sh', ['-c', script, process.execPath, unblock, ...words], given);
      const flags = [...stdout.matchAll(/^flags:\s*(\d+)$/gm)];
      return flags.map(([, octal = '']) => parseInt(octal, 8) & O_NONBLOCK);
    };
    const show = 'cat /proc/self/fdinfo/0 /proc/$$/fdinfo/1';
    const file = join(folder, 'show.cjs');
    writeFileSync(file, `process.execve("/bin/sh", ["sh", "-c", ${JSON.stringify(show)}], process.env)`);
    expect(flagsAfter(file)).toEqual([O_NONBLOCK, O_NONBLOCK]);
    expect(flagsAfter(CLI, 'wait', '--once', KEY, '--', 'sh', '-c', show)).toEqual([0, 0]);
  });

  const through = (soft: number, ...inner: string[]) => [
    'sh',
    '-c',
    `ulimit -S -n ${soft}; "$@"; exit $?`,
    'sh',
    ...inner,
  ];
  const limits = ['sh', '-c', 'ulimit -S -n; ulimit -H -n'];

  test('the soft limit of open files is that of before, and the hard one too', async () => {
    const script = 'ulimit -S -n 512; ulimit -S -n; ulimit -H -n';
    const before = spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout;
    const after = await run(limits, { through: through(512) });
    expect(before).toMatch(/^512\n/);
    expect(after).toMatchObject({ code: 0, stdout: before });
  });

  test('with the limit, the environment and argv[0] are as they would be', async () => {
    const given = { through: through(512), env: { EMPTY: '' } };
    const { stdout } = await run(['sh', '-c', 'tr "\\0" " " </proc/$$/cmdline; echo; env | sort'], given);
    const [argv, ...variables] = stdout.split('\n');
    expect(argv).toMatch(/^sh -c /);
    const without = await run(['sh', '-c', 'echo; env | sort'], { env: { EMPTY: '' } });
    expect(variables).toEqual(without.stdout.split('\n').slice(1));
  });

  test('with the limit, the command gets no variable that only a shell sets', async () => {
    const { stdout } = await run(['env'], {
      through: through(512, 'env', '-u', 'PWD', '-u', 'SHLVL', '-u', 'OLDPWD'),
    });
    expect(stdout).toContain('DATABASE_URL=');
    expect(stdout).not.toMatch(/^(PWD|SHLVL|OLDPWD)=/m);
  });

  test('the limit stays raised where a shell would drop a variable', async () => {
    const { stdout } = await run(limits, { through: through(512, 'env', 'A.B=x') });
    const [soft, hard] = stdout.split('\n');
    expect(soft).toBe(hard);
  });
});
