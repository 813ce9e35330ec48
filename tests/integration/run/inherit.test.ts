/** The turn that a run inside another one's command takes, at the moments at which it is not yet watched. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sendToHolder } from '../../../src/run/holder/holder-client.js';
import {
  openHolderSocket,
  type Requester,
  type HeldLease,
  type HolderSocket,
} from '../../../src/run/holder/holder-socket.js';
import { inheritLease, type InheritedLease } from '../../../src/run/nested/inherit.js';
import type { LockCalls } from '../../../src/lock/calls.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let calls: LockCalls;
let socket: HolderSocket;
let socketPath: string;
let inherited: InheritedLease | undefined;

beforeEach(async () => {
  db = await createDatabase();
  calls = await openLock(db.url);
  socket = await openHolderSocket({});
  socketPath = socket.path ?? '';
});
afterEach(async () => {
  inherited?.giveUp();
  socket.close();
  calls.database.disconnect();
  await db.drop();
});

async function describeLease(): Promise<HeldLease> {
  const { answer } = await tryToAcquire(calls);
  if (answer.outcome !== 'acquired') throw new Error('the lock is not free');
  const { instanceId, fencingToken, dbRole, expiresAt } = answer.lease;
  return {
    ...{ schema: 'migrate_lock', instanceId, fencingToken, dbRole },
    ...{ expiresAt: expiresAt.toISOString(), termInMs: 20_000, killInMs: 25_000 },
  };
}

const inherit = (signal: AbortSignal) => inheritLease(socketPath, calls, 'mark', 5_000, signal);

test('an extension before the command is started is not missed', async () => {
  const lease = await describeLease();
  let inner: Requester | undefined;
  socket.answerWith((request, requester) => {
    if (request.request === 'inherit') inner = requester;
    return Promise.resolve({ ok: true, lease });
  });
  inherited = await inherit(new AbortController().signal);
  inner?.send({ ok: true, lease: { ...lease, termInMs: 600_000 } });
  await sendToHolder(socketPath, { request: 'describe' }); // what was sent before has arrived
  const changes: HeldLease[] = [];
  inherited.watch(
    (described) => changes.push(described),
    () => undefined,
  );
  await waitFor('the extension', () => changes.length > 0, { limitMs: 5_000 });
  expect(changes).toMatchObject([{ termInMs: 600_000 }]);
});

test('a signal that came before the turn was asked for ends the wait', async () => {
  socket.answerWith(() => new Promise(() => undefined)); // another run has the turn
  const reason = new Error('interrupted');
  await expect(inherit(AbortSignal.abort(reason))).rejects.toBe(reason);
});
