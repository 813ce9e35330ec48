/** After `kill -9`, the guard connects as the run did: it trusts the authorities that the variables of Node.js name. */
import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { Certificates, hasOpenssl } from '../../support/certificates.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { EXECUTABLE } from '../../support/executable.js';
import { assertNothingLeft, CLI, startCli } from '../../support/run-cli.js';
import { offerTls } from '../../support/tls-server.js';
import { waitFor } from '../../support/wait-for.js';

const PACKAGE = { executable: process.execPath, before: [CLI] };
const BINARY = { executable: EXECUTABLE, before: [] as string[] };

let server: EmbeddedServer;
let certificates: Certificates;
let sql: postgres.Sql;

(hasOpenssl ? describe : describe.skip)('the guard verifies the server (skipped without openssl)', () => {
  let ca: string;

  beforeAll(async () => {
    server = await startServer();
    certificates = new Certificates();
    const authority = certificates.authority('authority');
    await offerTls(server, certificates.signed('server', authority, 'DNS:localhost'), authority);
    sql = postgres(server.url, { max: 1, onnotice: () => undefined });
    ca = authority.cert;
  });
  afterEach(async () => {
    await assertNothingLeft();
    await sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  });
  afterAll(async () => {
    await sql.end();
    await server.stop();
    certificates.remove();
  });

  const trusting = (env: Record<string, string>) => ({ SSL_CERT_FILE: ca, ...env });
  test.each([
    ['the package', 'NODE_EXTRA_CA_CERTS', PACKAGE, () => ({ NODE_EXTRA_CA_CERTS: ca })],
    [
      'the package',
      'NODE_OPTIONS',
      PACKAGE,
      () => trusting({ NODE_OPTIONS: '--no-warnings --use-openssl-ca' }),
    ],
    ['the executable', 'NODE_EXTRA_CA_CERTS', BINARY, () => ({ NODE_EXTRA_CA_CERTS: ca })],
    ['the executable', 'NODE_USE_SYSTEM_CA', BINARY, () => trusting({ NODE_USE_SYSTEM_CA: '1' })],
  ])('of %s, with %s', async (_, __, { executable, before }, env) => {
    if (!existsSync(executable)) return;
    const DATABASE_URL = `${server.url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full`;
    const args = [...before, 'run', '--ttl', '10m', '--', 'sleep', '1000'];
    const holder = startCli(args, { executable, env: { DATABASE_URL, ...env() } });
    await holder.waitForEvent('child.started');
    holder.kill('SIGKILL');
    const released = () =>
      sql`SELECT FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' AND details ->> 'by' = 'guard'`;
    await waitFor('the release', async () => (await released()).length === 1, { limitMs: 10_000 });
    expect((await holder.done).signal).toBe('SIGKILL');
  });
});
