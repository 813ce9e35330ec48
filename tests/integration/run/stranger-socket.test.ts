/** MIGRATE_LOCK_SOCKET may be left over, or lead to any program: its answers are not trusted. */
import { chmodSync, lchownSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { RAW_CONTROL_IN_LINES } from '../../support/hostile-text.js';
import { assertNothingLeft, runCli, startCli, type RunningCli } from '../../support/run-cli.js';

let db: TestDatabase;
let folder: string;
let answer = '';
let stranger: net.Server;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync('/tmp/migrate-lock-test-');
  stranger = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(answer));
  });
  await new Promise<void>((resolve) => stranger.listen(join(folder, 's'), resolve));
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  stranger.close();
  rmSync(folder, { recursive: true });
  await db.drop();
});

const env = () => ({ DATABASE_URL: db.url, MIGRATE_LOCK_SOCKET: join(folder, 's') });
const lease = {
  schema: 'migrate_lock',
  instanceId: 'a',
  fencingToken: 1,
  dbRole: 'postgres',
  expiresAt: 'x',
  termInMs: 1,
  killInMs: 1,
};

test.each([
  ['no JSON', 'HTTP/1.1 400 Bad Request\n'],
  ['nothing', 'null\n'],
  ['a yes without a lease', '{"ok":true}\n'],
  ['a lease without times', `${JSON.stringify({ ok: true, lease: { ...lease, termInMs: 'soon' } })}\n`],
  ['a refusal without a reason', '{"ok":false}\n'],
  ['more than an answer', 'x'.repeat(100_000)],
])('%s', async (_, text) => {
  answer = text;
  const asked = await runCli(['extend', '--ttl', '10m'], { env: env(), auditOnly: false });
  expect(asked).toMatchObject({ code: 70, stdout: '' });
  expect(asked.stderr).toContain('the peer is not a holder');
  expect(asked.stderr).not.toMatch(/\n\s+at /);
  const { code, events } = await runCli(['run', '--', 'true'], { env: env() });
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lock.acquired');
});

test("the stranger's text is printed safely, and changes nothing", async () => {
  answer = `${JSON.stringify({ ok: false, code: 'X', message: 'no\u001b[2J\u009b\u202e\nreleased' })}\n`;
  const { code, stderr } = await runCli(['extend', '--ttl', '10m'], { env: env(), auditOnly: false });
  expect(code).toBe(70);
  expect(stderr).not.toMatch(RAW_CONTROL_IN_LINES);
  expect(stderr.split('\n')).toHaveLength(3);
});

describe('a stranger that knows the holder', () => {
  let holder: RunningCli;
  let token: number;
  beforeEach(async () => {
    holder = startCli(['run', '--ttl', '5m', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    const { instanceId, fencingToken } = await holder.waitForEvent('child.started');
    token = Number(fencingToken);
    const told = { ...lease, instanceId, fencingToken: token, termInMs: 1e12, killInMs: 1e12 };
    answer = `${JSON.stringify({ ok: true, lease: told })}\n`.repeat(2);
  });
  afterEach(async () => {
    chmodSync(folder, 0o700);
    lchownSync(folder, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    holder.kill('SIGTERM');
    await holder.done;
  });

  const isRoot = process.getuid?.() === 0;
  test.each<[string, () => string, RegExp, boolean]>([
    [
      'in a folder that others may enter',
      () => (chmodSync(folder, 0o755), folder),
      /other users may enter/,
      true,
    ],
    [
      'behind a link',
      () => (symlinkSync(folder, join(folder, 'link')), join(folder, 'link')),
      /link is not a folder/,
      true,
    ],
    [
      'of another user (skipped where we are not root, and cannot make folders of others)',
      () => (lchownSync(folder, 65_534, 65_534), folder),
      /belongs to another user \(uid 65534\)/,
      isRoot,
    ],
  ])("%s does not make a run join the holder's lease", async (_, make, reason, possible) => {
    if (!possible) return;
    const variables = { DATABASE_URL: db.url, MIGRATE_LOCK_SOCKET: join(make(), 's') };
    const { code, events } = await runCli(['run', '--wait-timeout', '300ms', '--', 'true'], {
      env: variables,
    });
    expect(code).toBe(75);
    expect(events.map(({ event }) => event)).not.toContain('child.started');
    const asked = await runCli(['extend', '--ttl', '10m'], { env: variables });
    expect(asked.code).toBe(70);
    expect(asked.stderr).toMatch(reason);
  });

  test.each([
    ['another token', { fencingToken: 999 }],
    ['another role', { dbRole: 'mallory' }],
    ['another schema', { schema: 'another' }],
  ])('with %s names another lock, and the run waits', async (_, differs) => {
    const { ok, lease: told } = JSON.parse(answer.split('\n')[0] ?? '') as { ok: boolean; lease: object };
    answer = `${JSON.stringify({ ok, lease: { ...told, ...differs } })}\n`;
    const { code, events } = await runCli(['run', '--wait-timeout', '300ms', '--', 'true'], { env: env() });
    expect(code).toBe(75);
    expect(events.map(({ event }) => event)).not.toContain('child.started');
  });

  test("of the same user is not believed about the lease's end, which the database knows", async () => {
    const run = startCli(['run', '--', 'true'], { env: env() });
    const { fencingToken } = await run.waitForEvent('lock.inherited');
    const { deadlineMs } = await run.waitForEvent('child.started');
    await run.done;
    expect(fencingToken).toBe(token);
    expect(deadlineMs).toBeLessThanOrEqual(300_000);
  });
});
