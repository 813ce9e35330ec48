import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { isAlive } from './processes.js';
import { assertNothingLeft, leftovers, runCli, startCli } from './run-cli.js';

const program = [fileURLToPath(new URL('./fixtures/print-lines.mjs', import.meta.url))];
const common = {
  v: 1,
  time: '2026-01-01T00:00:00.000Z',
  instanceId: 'V1StGXR8_Z5jdHi6B-myT',
  host: 'h',
  pid: 1,
  database: null,
  schema: 'migrate_lock',
};
const finished = JSON.stringify({
  ...common,
  event: 'run.finished',
  outcome: 'completed',
  exitCode: 0,
  durationMs: 1,
});

afterAll(assertNothingLeft);

describe('a run of the program', () => {
  test('returns its events, its end and its stderr', async () => {
    const result = await runCli([finished], { program });
    expect(result).toMatchObject({
      code: 0,
      signal: null,
      stderr: '',
      events: [{ event: 'run.finished', exitCode: 0 }],
    });
  });

  test('fails on a line that is not JSON, violates the schema, or has no line end', async () => {
    await expect(runCli(['plain words'], { program })).rejects.toThrow('not JSON: plain words');
    await expect(runCli([finished.replace('completed', 'nonsense')], { program })).rejects.toThrow(
      'breaks the schema',
    );
    await expect(runCli([], { program: ['-e', 'process.stdout.write("{")'] })).rejects.toThrow('has no end');
    await expect(runCli(['plain words'], { program, auditOnly: false })).resolves.toMatchObject({
      stdout: 'plain words\n',
      events: [],
    });
  });

  test('can be waited for and signalled', async () => {
    const cli = startCli([finished], { program, env: { STAY: '1' } });
    await expect(cli.waitForEvent('run.finished', ({ exitCode }) => exitCode === 0)).resolves.toMatchObject({
      pid: 1,
    });
    expect(cli.kill('SIGKILL')).toBe(true);
    await expect(cli.done).resolves.toMatchObject({ code: null, signal: 'SIGKILL' });
    await expect(cli.waitForEvent('child.started')).rejects.toThrow(
      'no event child.started until the program ended',
    );
  });

  test("gets none of the tests' own environment", async () => {
    const names =
      'console.log(Object.keys(process.env).filter((n) => /^(PG|DATABASE_URL|TEST_DATABASE|NODE_OPT)/.test(n)).join())';
    const { stdout } = await runCli([], {
      program: ['-e', names],
      auditOnly: false,
      env: { DATABASE_URL: 'x' },
    });
    expect(stdout).toBe('DATABASE_URL\n');
  });
});

test('finds, names and ends a run that a test left running', async () => {
  await runCli([finished], { program, env: { LEAVE_A_CHILD: '1' } });
  const left = await leftovers(50);
  expect(left).toEqual([{ pid: expect.any(Number), command: 'sleep 60' }]);
  await expect(assertNothingLeft()).rejects.toThrow(`${left[0]?.pid ?? 0} sleep 60`);
  expect(left.some(({ pid }) => isAlive(pid))).toBe(false);
  await expect(assertNothingLeft()).resolves.toBeUndefined();
});
