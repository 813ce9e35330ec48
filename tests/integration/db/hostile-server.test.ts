/** Servers that lie, on real connections: what they receive, and what they cost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { classify } from '../../../src/db/classify.js';
import { explain } from '../../../src/db/explain.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { Certificates, hasOpenssl, type Certificate } from '../../support/certificates.js';
import {
  beReady,
  int32,
  message,
  request,
  startFakeServer,
  type FakeClient,
  type FakeServer,
} from '../../support/fake-server.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const PASSWORD = 'secret-of-the-database';
const MEGABYTE = 1024 * 1024;
const LIMIT_MS = 6_000;

let certificates: Certificates;
let certificate: Certificate | undefined;
let server: FakeServer;

beforeAll(() => {
  certificates = new Certificates();
  if (hasOpenssl) certificate = certificates.selfSigned('fake', '-newkey', 'rsa:2048');
});
afterEach(() => server.close());
afterAll(() => certificates.remove());
afterAll(() => assertNothingLeft());

const urlOf = (query = '') => `postgres://app:${PASSWORD}@127.0.0.1:${server.port}/app?${query}`;

async function ask(query = ''): Promise<{ exitCode: number; message: string; tookMs: number }> {
  const config = readConnectionConfig({ url: urlOf(query), env: {} });
  const database = new OwnDatabase(config);
  const startedAtMs = performance.now();
  try {
    const call = { name: 'ask', statement: 'SELECT 1 AS answer', parameters: [], limitMs: LIMIT_MS };
    await database.call(call);
    return { exitCode: 0, message: '', tookMs: performance.now() - startedAtMs };
  } catch (error) {
    const { exitCode, message } = explain(error, config.describe, 'migrate_lock');
    return { exitCode, message, tookMs: performance.now() - startedAtMs };
  } finally {
    database.disconnect();
  }
}

const passwordsSaid = () =>
  server.clients.flatMap(({ said }) => said.filter(({ body }) => body.includes(PASSWORD)));

/** Requests SCRAM, and returns the client's first message and nonce. */
async function beginScram(client: FakeClient, mechanisms = ['SCRAM-SHA-256']) {
  await client.next();
  await client.send('R', request(10, [...mechanisms, '', ''].join('\0')));
  const first = (await client.next()).body.toString();
  return { first, nonce: /r=([^,]+)$/.exec(first)?.[1] ?? '' };
}
const SALT = Buffer.alloc(16, 7).toString('base64');

describe('a server that demands less authentication than is required gets no password', () => {
  test.each([
    ['in clear text', 'channel_binding=require', request(3)],
    ['in clear text', 'require_auth=scram-sha-256', request(3)],
    ['in clear text', 'require_auth=%21password', request(3)],
    ['as MD5', 'channel_binding=require', request(5, 'salt')],
    ['as MD5', 'require_auth=scram-sha-256,password', request(5, 'salt')],
    ['not at all', 'channel_binding=require', request(0)],
    ['not at all', 'require_auth=scram-sha-256', request(0)],
    ['by SCRAM without binding', 'channel_binding=require', request(10, 'SCRAM-SHA-256\0\0')],
  ])('the password %s, %s', async (_, query, asked) => {
    server = await startFakeServer(async (client) => {
      await client.next();
      await client.send('R', asked);
    }, certificate);
    const tls = certificate === undefined ? '' : '&sslmode=require';
    expect(await ask(query + tls)).toMatchObject({
      exitCode: 78,
      message: expect.stringContaining(query.includes('channel') ? 'channel_binding' : 'require_auth'),
    });
    expect(server.clients[0]?.said.map(({ type }) => type)).toEqual(['start']);
    expect(passwordsSaid()).toEqual([]);
  });

  test('no request for a password is answered after the session is open', async () => {
    server = await startFakeServer(async (client) => {
      await beReady(client);
      await client.next();
      await client.next();
      await client.send('R', request(3));
      await client.next();
    });
    expect(await ask()).toMatchObject({ exitCode: 78 });
    expect(passwordsSaid()).toEqual([]);
  });

  test.each([
    [7, '', 'GSSAPI'],
    [9, '', 'SSPI'],
    [10, 'OAUTHBEARER\0\0', 'OAUTHBEARER'],
    [2, '', 'Kerberos'],
    [99, '', 'method 99'],
  ])('an unsupported method is refused with its name: %d %j', async (kind, data, name) => {
    server = await startFakeServer(async (client) => {
      await client.next();
      await client.send('R', request(kind, data));
    });
    expect(await ask()).toMatchObject({ exitCode: 78, message: expect.stringContaining(name) });
  });
});

describe('SCRAM with a server that does not know the password', () => {
  test.each<[string, (client: FakeClient) => Promise<unknown>]>([
    [
      'another nonce',
      async (client) => {
        await beginScram(client);
        await client.send('R', request(11, `r=anotherNonceThanOurs,s=${SALT},i=4096`));
      },
    ],
    [
      'our nonce and nothing of its own',
      async (client) => {
        const { nonce } = await beginScram(client);
        await client.send('R', request(11, `r=${nonce},s=${SALT},i=4096`));
      },
    ],
    [
      'a wrong proof',
      async (client) => {
        const { nonce } = await beginScram(client);
        await client.send('R', request(11, `r=${nonce}x,s=${SALT},i=4096`));
        await client.next();
        await client.send('R', request(12, `v=${Buffer.alloc(32).toString('base64')}`));
        await beReady(client);
      },
    ],
    [
      'no proof',
      async (client) => {
        const { nonce } = await beginScram(client);
        await client.send('R', request(11, `r=${nonce}x,s=${SALT},i=4096`));
        await client.next();
        await beReady(client);
      },
    ],
    [
      'an empty proof',
      async (client) => {
        const { nonce } = await beginScram(client);
        await client.send('R', request(11, `r=${nonce}x,s=${SALT},i=4096`));
        await client.next();
        await client.send('R', request(12, 'v='));
        await beReady(client);
      },
    ],
    [
      'accepted before we have said a word',
      async (client) => {
        await beginScram(client);
        await beReady(client);
      },
    ],
    [
      'another request in the midst of it',
      async (client) => {
        await beginScram(client);
        await client.send('R', request(3));
      },
    ],
    [
      'an offer to bind, without TLS',
      async (client) => {
        await beginScram(client, ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']);
      },
    ],
    ...['i=0', 'i=-1', 'i=1e9', 'i=4096,x=y', 'm=x,i=4096', '', 'i=1000001', 'i=2147483647'].map(
      (end): [string, (client: FakeClient) => Promise<unknown>] => [
        `an exchange that ends in "${end}"`,
        async (client) => {
          const { nonce } = await beginScram(client);
          await client.send('R', request(11, `r=${nonce}x,s=${SALT},${end}`));
        },
      ],
    ),
  ])('%s', async (_, serve) => {
    server = await startFakeServer(serve);
    const { exitCode, message: told, tookMs } = await ask();
    expect([exitCode, told]).toEqual([78, expect.stringContaining('is not accepted')]);
    expect(tookMs).toBeLessThan(LIMIT_MS);
    expect(server.clients.flatMap(({ said }) => said).some(({ type }) => type === 'P' || type === 'Q')).toBe(
      false,
    );
    expect(passwordsSaid()).toEqual([]);
  });

  test('the maximum number of iterations does not block the program', async () => {
    server = await startFakeServer(async (client) => {
      const { nonce } = await beginScram(client);
      await client.send('R', request(11, `r=${nonce}x,s=${SALT},i=1000000`));
      await client.next();
    });
    let ticks = 0;
    const clock = setInterval(() => ticks++, 5);
    expect(await ask()).toMatchObject({ exitCode: 69 });
    clearInterval(clock);
    expect(ticks).toBeGreaterThan(20);
  });

  test('a program that is asked for 2147483647 iterations handles signals, and ends by itself', async () => {
    server = await startFakeServer(async (client) => {
      const { nonce } = await beginScram(client);
      await client.send('R', request(11, `r=${nonce}x,s=${SALT},i=2147483647`));
    });
    const run = startCli(['run', '--', 'true'], { env: { DATABASE_URL: urlOf() } });
    const late = setTimeout(() => run.kill('SIGKILL'), 10_000);
    const { code, stderr } = await run.done;
    clearTimeout(late);
    expect(code).toBe(78);
    expect(stderr).not.toContain(PASSWORD);
  });
});

describe('a server that sends too much, or invalid messages', () => {
  const READY_THEN = (serve: (client: FakeClient) => Promise<unknown>) => async (client: FakeClient) => {
    await client.next();
    await beReady(client);
    await client.next();
    await serve(client);
  };
  /** 256 MB in many parts: the server runs in this process. */
  const forever = (letter: string, body: Buffer | string) => async (client: FakeClient) => {
    const one = message(letter, body);
    const many = Buffer.alloc(Math.ceil(65_536 / one.length) * one.length, one);
    for (let sent = 0; sent < 256 * MEGABYTE; sent += many.length) if (!(await client.write(many))) return;
  };
  const ROW_OF_A_TEXT = Buffer.concat([
    Buffer.from([0, 1]),
    Buffer.from('answer\0'),
    Buffer.alloc(6),
    int32(25),
    Buffer.alloc(8),
  ]);
  const parse = async (client: FakeClient, row = ROW_OF_A_TEXT) => {
    await client.send('1');
    await client.send('T', row);
    await client.send('2');
  };
  /** The header of a message of this length, and much of its body. */
  const long = (letter: string, length: number) => async (client: FakeClient) => {
    await client.write(Buffer.concat([Buffer.from(letter), int32(length)]));
    const part = Buffer.alloc(MEGABYTE, 'x');
    for (let sent = 0; sent < length; sent += part.length) if (!(await client.write(part))) return;
  };

  const NOT_THAT = 'what a PostgreSQL server does not send';
  /** The first message is enough to decide. */
  const NOTHING_OF_IT = 'does not speak the PostgreSQL protocol';
  const PARAMETER = `a\0${'x'.repeat(1000)}\0`;
  /** After a valid first message. */
  const ACCEPTED_THEN = (serve: (client: FakeClient) => Promise<unknown>) => async (client: FakeClient) => {
    await client.next();
    await client.send('R', request(0));
    await serve(client);
  };

  test.each<[string, (client: FakeClient) => Promise<unknown>, string?]>([
    ['a start-up without end: parameters at once', forever('S', PARAMETER), NOTHING_OF_IT],
    ['a start-up without end: parameters', ACCEPTED_THEN(forever('S', PARAMETER))],
    ['a start-up without end: notices', forever('N', `M${'x'.repeat(1000)}\0\0`)],
    ['a start-up without end: empty notices', forever('N', '')],
    ['a start-up of one message', long('R', 1024 * MEGABYTE), NOTHING_OF_IT],
    ['a start-up whose second message is too long', ACCEPTED_THEN(long('S', 1024 * MEGABYTE))],
    ['a request to authenticate that is cut off', (client) => client.send('R', 'x')],
    [
      'a start-up that is no protocol',
      (client) => client.send('H', 'TTP/1.1 400 Bad Request\r\n\r\n'),
      NOTHING_OF_IT,
    ],
    ['a length of 0', (client) => client.write(Buffer.from([0x52, 0, 0, 0, 0])), NOTHING_OF_IT],
    ['a later length of 0', ACCEPTED_THEN((client) => client.write(Buffer.from([0x53, 0, 0, 0, 0])))],
    [
      'an answer of one row of 1 GB',
      READY_THEN(async (client) => (await parse(client), long('D', 1024 * MEGABYTE)(client))),
    ],
    [
      'rows without end',
      READY_THEN(
        async (client) => (
          await parse(client),
          forever('D', Buffer.concat([Buffer.from([0, 1]), int32(1000), Buffer.alloc(1000, 'x')]))(client)
        ),
      ),
    ],
    [
      'empty rows without end',
      READY_THEN(async (client) => {
        await parse(client, Buffer.alloc(2));
        await forever('D', Buffer.alloc(2))(client);
      }),
    ],
    ['results without end', READY_THEN(forever('C', 'SELECT 1\0'))],
    [
      'an error of 1 MB',
      READY_THEN((client) => client.send('E', `SERROR\0C42P01\0M${'x'.repeat(MEGABYTE)}\0\0`)),
    ],
    [
      'a description of rows that never ends',
      READY_THEN((client) => client.send('T', Buffer.from([0, 1, 0x61]))),
    ],
    [
      'a description of fewer columns than it says',
      READY_THEN((client) => client.send('T', Buffer.from([0xff, 0xff, 0x61, 0]))),
    ],
    [
      'a notification without a name',
      READY_THEN((client) => client.send('A', Buffer.concat([int32(1), Buffer.from('x')]))),
    ],
    ['messages that there are not', READY_THEN(forever('~', 'x'))],
    ['a copy', READY_THEN((client) => client.send('H', Buffer.from([0, 0, 0])))],
  ])('%s', async (_, serve, said = NOT_THAT) => {
    let sent = 0;
    server = await startFakeServer(async (client) => {
      client.socket.on('close', () => (sent = client.socket.bytesWritten));
      await serve(client);
    });
    const before = process.memoryUsage.rss();
    const { exitCode, message: told, tookMs } = await ask();
    expect([exitCode, told]).toEqual([78, expect.stringContaining(said)]);
    expect(told.length).toBeLessThan(300);
    expect(tookMs).toBeLessThan(LIMIT_MS);
    expect(sent).toBeLessThan(64 * MEGABYTE);
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * MEGABYTE);
  });

  test('endless notices and notifications are not stored, and the time limit is kept', async () => {
    server = await startFakeServer(async (client) => {
      await client.next();
      await beReady(client);
      await client.next();
      const name = Buffer.concat([int32(1), Buffer.from(`x\0${'y'.repeat(60_000)}\0`)]);
      while (await client.send('A', name)) await client.send('N', `M${'x'.repeat(60_000)}\0\0`);
    });
    const before = process.memoryUsage.rss();
    expect(await ask()).toMatchObject({ exitCode: 69 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * MEGABYTE);
  });

  test('a disconnect does not wait for a silent server', async () => {
    const arrived: FakeClient[] = [];
    server = await startFakeServer(async (client) => {
      await client.next();
      arrived.push(client);
    });
    const database = new OwnDatabase(readConnectionConfig({ url: urlOf(), env: {} }));
    const call = { name: 'ask', statement: 'SELECT 1 AS answer', parameters: [], limitMs: 60_000 };
    const asking = database.call(call).catch((error: unknown) => error);
    await waitFor('the client', () => arrived.length === 1);
    database.disconnect();
    expect(classify(await asking)).toBe('unavailable');
    await waitFor('the end of the connection', () => arrived[0]?.socket.destroyed === true);
  });

  test('a message that arrives in parts is read as one', async () => {
    server = await startFakeServer(async (client) => {
      await client.next();
      client.socket.setNoDelay(true);
      for (const byte of Buffer.from('R\0\0\0\x08\0\0\0\0S\0\0\0\x09a\0b\0\0', 'latin1')) {
        client.socket.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      await client.send('E', 'SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0');
    });
    expect(await ask()).toMatchObject({ exitCode: 69, message: expect.stringContaining('starting up') });
  });

  test('the built program exits with 78, and shows no secret', async () => {
    server = await startFakeServer(async (client) => {
      await client.next();
      await client.send('R', request(3));
    });
    const { code, stderr, stdout } = await runCli(['run', '--', 'true'], {
      env: { DATABASE_URL: urlOf('require_auth=scram-sha-256') },
    });
    expect(code).toBe(78);
    expect(stderr).toContain('require_auth forbids that');
    expect(stdout + stderr).not.toContain(PASSWORD);
  });
});
