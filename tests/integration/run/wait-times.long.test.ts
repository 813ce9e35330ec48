/** The configured times are kept, whatever the server does. */
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { startRelay, type Relay } from '../../support/relay.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

let db: TestDatabase;
let relay: Relay;
let silent: net.Server;
const silentSockets = new Set<net.Socket>();
let silentUrl: string;

beforeAll(async () => {
  db = await createDatabase();
  const server = new URL(serverUrl());
  relay = await startRelay({ host: server.hostname, port: Number(server.port) });
  silent = net.createServer((socket) => {
    silentSockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  silentUrl = `postgres://app:pw@127.0.0.1:${(silent.address() as net.AddressInfo).port}/app`;
});
afterEach(assertNothingLeft);
afterAll(async () => {
  for (const socket of silentSockets) socket.destroy();
  silent.close();
  await relay.close();
  await db.drop();
});

/** The time that the run counts itself: the start of a process takes seconds on a busy machine. */
async function timed(args: string[], url: string) {
  const { code, events } = await runCli(['run', ...args, '--', 'true'], { env: { DATABASE_URL: url } });
  const finished = events.find((event) => event.event === 'run.finished');
  return { code, seconds: (finished?.event === 'run.finished' ? finished.durationMs : NaN) / 1000 };
}

describe('a server that accepts connections and never answers', () => {
  test.each([
    ['3s', 3],
    ['1s', 1],
  ])('--wait-timeout %s takes at most a second more', async (given, seconds) => {
    const { code, seconds: took } = await timed(['--wait-timeout', given], silentUrl);
    expect(code).toBe(69);
    expect(took).toBeLessThan(seconds + 1.5);
    expect(took).toBeGreaterThan(seconds - 0.1);
  });

  test('--wait-timeout 0 makes one attempt of at most 5 s', async () => {
    const { code, seconds } = await timed(['--wait-timeout', '0'], silentUrl);
    expect(code).toBe(69);
    expect(seconds).toBeLessThan(7);
  });

  test.each([
    ['1s', 1],
    ['0', 5],
  ])('--wait-timeout %s is kept inside another run too', async (given, seconds) => {
    const startedMs = performance.now();
    const { code } = await runCli(['run', '--wait-timeout', given, '--', 'true'], {
      env: { DATABASE_URL: silentUrl, MIGRATE_LOCK_INSTANCE_ID: 'outer' },
    });
    expect(code).toBe(69);
    expect((performance.now() - startedMs) / 1000).toBeLessThan(seconds + 2.5);
  });

  test('connect_timeout limits an attempt', async () => {
    const { code, seconds } = await timed(['--wait-timeout', '0'], `${silentUrl}?connect_timeout=2`);
    expect(code).toBe(69);
    expect(seconds).toBeLessThan(4);
  });
});

test('a server that needs longer than five seconds for a connection and its first answer is reached', async () => {
  expect((await runCli(['init'], { env: { DATABASE_URL: db.url } })).code).toBe(0);
  relay.set({ delayMs: 500 });
  const { code } = await timed(['--wait-timeout', '60s'], relay.through(db.url));
  relay.set('pass');
  expect(code).toBe(0);
});
