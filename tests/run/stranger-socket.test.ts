/** MIGRATE_LOCK_SOCKET may be left over, or lead to anybody: what answers there is not believed to be a holder. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { RAW_CONTROL_IN_LINES } from '../harness/hostile-text.js';
import { assertNothingLeft, runCli } from '../harness/run-cli.js';

let db: TestDatabase;
let folder: string;
let answer = '';
let stranger: net.Server;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
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
const lease = { instanceId: 'a', fencingToken: 1, expiresAt: 'x', termInMs: 1, killInMs: 1 };

test.each([
  ['no JSON', 'HTTP/1.1 400 Bad Request\n'],
  ['nothing', 'null\n'],
  ['a yes without a lease', '{"ok":true}\n'],
  ['a lease without times', `${JSON.stringify({ ok: true, lease: { ...lease, termInMs: 'soon' } })}\n`],
  ['a no without a reason', '{"ok":false}\n'],
  ['more than an answer', 'x'.repeat(100_000)],
])('%s', async (_, text) => {
  answer = text;
  const asked = await runCli(['extend', '--ttl', '10m'], { env: env(), auditOnly: false });
  expect(asked).toMatchObject({ code: 70, stdout: '' });
  expect(asked.stderr).toContain('what answered is no holder');
  expect(asked.stderr).not.toMatch(/\n\s+at /);
  const { code, events } = await runCli(['run', '--', 'true'], { env: env() });
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lock.acquired');
});

test('its words are shown, and not obeyed', async () => {
  answer = `${JSON.stringify({ ok: false, code: 'X', message: 'no\u001b[2J\u009b\u202e\nreleased' })}\n`;
  const { code, stderr } = await runCli(['extend', '--ttl', '10m'], { env: env(), auditOnly: false });
  expect(code).toBe(70);
  expect(stderr).not.toMatch(RAW_CONTROL_IN_LINES);
  expect(stderr.split('\n')).toHaveLength(3);
});
