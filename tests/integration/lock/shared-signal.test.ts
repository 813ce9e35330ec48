/** Many instances of the library use one AbortSignal. */
import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { MigrationLock } from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait-for.js';

/** Node warns about the eleventh listener. */
const INSTANCES = 15;
let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.drop());

test('many waits on one signal add no listener to it, cause no leak warning, and are all aborted', async () => {
  const abort = new AbortController();
  const { signal } = abort;
  let most = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    add(...args);
    most = Math.max(most, getEventListeners(signal, 'abort').length);
  };
  const make = (schema = 'migrate_lock') => new MigrationLock({ connection: db.url, signal, schema });
  const holder = make();
  await holder.wait();
  const waiting = Array.from({ length: INSTANCES }, () => make().wait());
  const ends = Promise.allSettled(waiting);
  await waitFor('all wait', async () => (await holder.status()).waiters.length === INSTANCES);
  const others = Array.from({ length: INSTANCES }, (_, at) => make(`lock${at}`));
  for (const lock of others) await lock.wait();
  expect(await Promise.all(others.map((lock) => lock.release()))).toEqual(others.map(() => true));
  // One listener for each instance would be too many.
  expect(most).toBe(0);
  abort.abort(new Error('enough'));
  const reasons = (await ends).map((end) => (end.status === 'rejected' ? String(end.reason) : end.status));
  expect(reasons).toEqual(waiting.map(() => 'Error: enough'));
  expect(await holder.release()).toBe(true);
}, 30_000);
