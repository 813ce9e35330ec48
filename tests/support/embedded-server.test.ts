import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { EmbeddedServer, startServer } from './embedded-server.mjs';
import { childrenOf, endProcess, isAlive, signalProcess } from './processes.js';
import { waitFor } from './wait-for.js';

/** This file tests the servers themselves, so it starts its own and ignores TEST_DATABASE_URL. */
const OWNER = fileURLToPath(new URL('./fixtures/server-owner.mjs', import.meta.url));

async function query<T>(server: EmbeddedServer, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const settingsOf = (sql: postgres.Sql) =>
  sql<{ name: string; setting: string }[]>`SELECT name, setting FROM pg_settings`.then(
    (rows) => new Map(rows.map(({ name, setting }) => [name, setting])),
  );

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // ended since then
  }
}

const commandLines = () =>
  readdirSync('/proc').map(Number).filter(Number.isInteger).map(commandLine).join('\n');

describe('an embedded server', () => {
  let server: EmbeddedServer;
  beforeAll(async () => {
    server = await startServer({ settings: { max_connections: 33, log_line_prefix: "it's \\ " } });
  });
  afterAll(() => server.stop());

  test('has the default settings and the given ones', async () => {
    const settings = await query(server, settingsOf);
    expect(Object.fromEntries(settings)).toMatchObject({
      fsync: 'off',
      TimeZone: 'UTC',
      server_encoding: 'UTF8',
      max_connections: '33',
      log_line_prefix: "it's \\ ",
      password_encryption: 'scram-sha-256',
      listen_addresses: '127.0.0.1',
      data_directory: server.dataDirectory,
      unix_socket_directories: server.socketDirectory,
    });
  });

  test('refuses a wrong password', async () => {
    const sql = postgres(server.url, { max: 1, password: 'wrong' });
    await expect(sql`SELECT 1`).rejects.toMatchObject({ code: '28P01' });
    await sql.end();
  });

  test('does not run as root', () => {
    const [, uid] = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid ?? 0}/status`, 'utf8')) ?? [];
    expect(Number(uid)).toBeGreaterThan(0);
  });

  test('keeps its data and port through fast and immediate restarts, and through a kill', async () => {
    const { port } = server;
    await query(server, (sql) => sql`CREATE TABLE kept (step text)`);
    const again = {
      fast: () => server.restart('fast'),
      immediate: () => server.restart('immediate'),
      kill: () => server.kill().then(() => server.start()),
    };
    for (const [step, restart] of Object.entries(again)) {
      await query(server, (sql) => sql`INSERT INTO kept VALUES (${step})`);
      const before = server.pid ?? 0;
      await restart();
      expect(isAlive(before)).toBe(false);
      expect(server.pid).not.toBe(before);
    }
    const rows = await query(server, (sql) => sql<{ step: string }[]>`SELECT step FROM kept`);
    expect(rows.map(({ step }) => step)).toEqual(['fast', 'immediate', 'kill']);
    expect(server.port).toBe(port);
  });

  test('waits for its port when another program uses it during a restart', async () => {
    await server.halt();
    const squatter = createServer().listen({ host: '127.0.0.1', port: server.port });
    await once(squatter, 'listening');
    const starting = server.start();
    await waitFor('a failed attempt', () =>
      readFileSync(server.logFile, 'utf8').includes('Address already in use'),
    );
    squatter.close();
    await starting;
    await expect(query(server, (sql) => sql`SELECT 1`)).resolves.toHaveLength(1);
  });

  test('reports the reason when it cannot start', async () => {
    await expect(startServer({ settings: { shared_buffers: 'none' } })).rejects.toThrow(
      'invalid value for parameter "shared_buffers"',
    );
  });
});

test('stop leaves nothing, may be called twice, and no process had the password as an argument', async () => {
  const server = new EmbeddedServer();
  const creating = server.create({}).then(() => 'created');
  const nextRead = () => new Promise((resolve) => setTimeout(resolve, 10, 'not yet'));
  do {
    expect(commandLines()).not.toContain(server.password);
  } while ((await Promise.race([creating, nextRead()])) === 'not yet');
  const { folder, pid, supervisorPid } = server;
  expect(commandLines()).toContain(server.dataDirectory);
  expect(commandLines()).not.toContain(server.password);

  await server.stop();
  expect(existsSync(folder)).toBe(false);
  expect([pid, supervisorPid].filter((id) => isAlive(id ?? 0))).toEqual([]);
  await expect(server.stop()).resolves.toBeUndefined();
  await expect(server.start()).rejects.toThrow('was stopped');
});

describe('when the owner ends without stop()', () => {
  const owners: number[] = [];
  afterEach(async () => {
    for (const pid of owners.splice(0)) await endProcess(pid);
  });

  function startOwner(...args: string[]) {
    const owner = spawn(process.execPath, [OWNER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    owners.push(owner.pid ?? 0);
    const lines = createInterface({ input: owner.stdout })[Symbol.asyncIterator]();
    const next = async () =>
      JSON.parse(String((await lines.next()).value)) as {
        supervisorPid: number;
        pid: number;
        folder: string;
      };
    return { owner, next };
  }

  async function expectGone(folder: string, ...pids: number[]) {
    await waitFor('no process left', () => pids.every((pid) => !isAlive(pid)));
    expect(existsSync(folder)).toBe(false);
  }

  test('by a kill: server, supervisor and folder are removed', async () => {
    const { owner, next } = startOwner('stay');
    await next();
    const { supervisorPid, pid, folder } = await next();
    expect([isAlive(pid), isAlive(supervisorPid), existsSync(folder)]).toEqual([true, true, true]);
    signalProcess(owner.pid ?? 0, 'SIGKILL');
    await expectGone(folder, pid, supervisorPid);
  });

  test('by a kill during initdb: everything is removed', async () => {
    const { owner, next } = startOwner('stay');
    const { supervisorPid } = await next();
    const initdb = () =>
      childrenOf(supervisorPid)
        .map(commandLine)
        .find((line) => line.includes('--pgdata'));
    const args = (await waitFor('initdb', initdb, { intervalMs: 2 })).split(' ');
    const folder = dirname(args[args.indexOf('--pgdata') + 1] ?? '');
    expect(existsSync(folder)).toBe(true);
    signalProcess(owner.pid ?? 0, 'SIGKILL');
    await expectGone(folder, supervisorPid);
  });

  test('normally: the server does not keep the owner running, and ends with it', async () => {
    const { owner, next } = startOwner();
    const exited = once(owner, 'exit');
    await next();
    const { supervisorPid, pid, folder } = await next();
    expect(await exited).toEqual([0, null]);
    await expectGone(folder, pid, supervisorPid);
  });
});
