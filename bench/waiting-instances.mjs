/**
 * A process with many library instances that wait for a lock which they do not get, on order of its parent. They come
 * and go
 * spread over the given time: so many in the same millisecond would be another measurement.
 * @typedef {{ come: number, everyMs: number } | { goEveryMs: number }} Order
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** @type {typeof import('../src/index.js')} */
const { MigrationLock } = await import(new URL('../dist/index.js', import.meta.url).href);

const WAIT_TIMEOUT_MS = 600_000;
const connection = process.env['DATABASE_URL'] ?? '';
/** @type {AbortController[]} */
const waiting = [];
/** @type {Promise<unknown>[]} */
const ends = [];

/** @param {string} word */
const say = (word) => process.send?.(word);

/** @returns {Promise<void>} when its first poll has been answered */
function comeAndWait() {
  const controller = new AbortController();
  waiting.push(controller);
  return new Promise((resolve, reject) => {
    const lock = new MigrationLock({
      connection,
      ttlMs: WAIT_TIMEOUT_MS,
      waitTimeoutMs: WAIT_TIMEOUT_MS,
      signal: controller.signal,
      onEvent: ({ event }) => {
        if (event === 'lock.waiting') resolve();
      },
    });
    const end = lock.wait().then(
      () => reject(new Error('acquired a lock that is held')),
      (error) => {
        if (!controller.signal.aborted) reject(error);
      },
    );
    ends.push(end);
  });
}

/** @param {Order} order */
async function follow(order) {
  if ('come' in order) {
    const firstPolls = [];
    for (let count = 0; count < order.come; count++) {
      firstPolls.push(comeAndWait());
      await sleep(order.everyMs);
    }
    await Promise.all(firstPolls);
    say('waiting');
    return;
  }
  for (const controller of waiting) {
    controller.abort(new Error('told to go'));
    await sleep(order.goEveryMs);
  }
  await Promise.all(ends);
  say('gone');
  process.disconnect();
}

process.on('message', (order) => {
  follow(/** @type {Order} */ (order)).catch((error) => {
    console.error(error);
    process.exit(1);
  });
});
// It ends when its parent has ended.
process.on('disconnect', () => process.exit(0));
say('ready');
