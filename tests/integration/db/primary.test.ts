import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from '../../../src/db/connect.js';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { ReplicatedPair } from '../../adversarial/failover/replicated-pair.js';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';
import { startRelay, type Relay } from '../../support/relay.js';
import { waitFor } from '../../support/wait-for.js';

// Several hosts: a lock is never taken on a replica, in any order of the hosts.

let pair: ReplicatedPair;
let relay: Relay;
let database: OwnDatabase | undefined;

beforeAll(async () => {
  pair = await ReplicatedPair.start();
  relay = await startRelay(pair.standby);
});
afterEach(() => {
  database?.disconnect();
  relay.set('pass');
});
afterAll(() => relay.close());
afterAll(() => pair.stop());

const statement = `SELECT current_setting('port')::int AS answer`;
const ASK = { name: 'ask', statement, parameters: [], limitMs: 6_000 };

function open(ports: number[], env: Record<string, string> = {}): OwnDatabase {
  const { user, password } = pair.primary;
  const PGHOST = ports.map(() => '127.0.0.1').join(',');
  database = new OwnDatabase(
    readConnectionConfig({
      env: {
        PGHOST,
        PGPORT: ports.join(','),
        PGUSER: user,
        PGPASSWORD: password,
        PGDATABASE: 'postgres',
        ...env,
      },
    }),
  );
  return database;
}
const ports = (...servers: EmbeddedServer[]) => servers.map(({ port }) => port);
/** No program listens on it. */
const NOBODY = 1;

describe('the primary is found', () => {
  test.each(['any', 'read-write', 'primary', ''])('target_session_attrs=%j', async (wanted) => {
    const env = { PGTARGETSESSIONATTRS: wanted };
    const { primary, standby } = pair;
    expect(await open(ports(standby, primary), env).call(ASK)).toBe(primary.port);
    database?.disconnect();
    expect(await open(ports(primary, standby), env).call(ASK)).toBe(primary.port);
  });

  test('behind a host that is down, and behind one that does not answer', async () => {
    const { primary } = pair;
    expect(await open([NOBODY, primary.port]).call(ASK)).toBe(primary.port);
    database?.disconnect();
    relay.set('silent');
    expect(await open([relay.port, primary.port]).call(ASK)).toBe(primary.port);
  });

  test('PGTARGETSESSIONATTRS in the environment is not passed to the driver', async () => {
    process.env.PGTARGETSESSIONATTRS = 'any';
    try {
      expect(await open([pair.primary.port]).call(ASK)).toBe(pair.primary.port);
      expect(process.env.PGTARGETSESSIONATTRS).toBe('any');
    } finally {
      delete process.env.PGTARGETSESSIONATTRS;
    }
  });
});

test('without a primary, the error says what each host is, and is retried', async () => {
  await expect(open([pair.standby.port, NOBODY]).call(ASK)).rejects.toMatchObject({
    code: 'NO_PRIMARY',
    message: expect.stringMatching(/:\d+ is a replica; 127\.0\.0\.1:1: .*ECONNREFUSED/),
  });
});

test('a host that refuses the login ends the search', async () => {
  const { primary, standby } = pair;
  await expect(open(ports(standby, primary), { PGPASSWORD: 'wrong' }).call(ASK)).rejects.toMatchObject({
    code: '28P01',
  });
});

test.each(['standby', 'read-only', 'prefer-standby', 'geheim'])(
  'target_session_attrs=%s is refused',
  (wanted) => {
    expect(() => open([NOBODY], { PGTARGETSESSIONATTRS: wanted })).toThrow(/target_session_attrs/);
  },
);

test('a connection that is lost before its first statement fails only that statement', async () => {
  const config = readConnectionConfig({ url: relay.through(pair.standby.url), env: {} });
  const connection = await connect(config, { withSettings: true, limitMs: 5_000 });
  relay.cut();
  await waitFor('it is known to be lost', () => !connection.isOpen());
  await expect(connection.sql.unsafe('SELECT 1')).rejects.toMatchObject({
    code: expect.stringMatching(/ECONNRESET|CONNECTION_CLOSED/),
  });
});
