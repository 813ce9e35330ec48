/**
 * A process with many watchers of one run key (`migrate-lock wait`), on order of its parent: from the sources, as the package does
 * not export them. A thousand processes would measure the memory of this machine.
 * @typedef {import('./waiting-instances.mjs').Order} Order
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const RUN_KEY = 'release-1';
const WAIT_TIMEOUT_MS = 600_000;

const { outputFiles } = await build({
  stdin: {
    contents: `
      export { KeyWatcher } from './watch/watch-key.js';
      export { LockCalls } from './lock/calls.js';
      export { OwnDatabase } from './db/own-database.js';
      export { readConnectionConfig } from './db/settings/connection-config.js';`,
    resolveDir: fileURLToPath(new URL('../src', import.meta.url)),
    loader: 'ts',
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  write: false,
  logLevel: 'error',
});
const text = Buffer.from(outputFiles[0]?.contents ?? []).toString('base64');
const { KeyWatcher, LockCalls, OwnDatabase, readConnectionConfig } = await import(
  `data:text/javascript;base64,${text}`
);
const connection = readConnectionConfig({ env: process.env });
/** @type {Promise<unknown>[]} */
const ends = [];

/** @param {string} word */
const say = (word) => process.send?.(word);

function startToWatch() {
  const watcher = new KeyWatcher(new LockCalls(new OwnDatabase(connection), 'migrate_lock'), {
    runKey: RUN_KEY,
    waitTimeoutMs: WAIT_TIMEOUT_MS,
    failureMemoryMs: null,
    signal: new AbortController().signal,
    emit: () => undefined,
  });
  ends.push(
    watcher.watch().then((/** @type {{ outcome: string }} */ { outcome }) => {
      if (outcome !== 'succeeded') throw new Error(`a wait ended with ${outcome}`);
    }),
  );
}

/** @param {Order} order */
async function follow(order) {
  if ('come' in order) {
    for (let count = 0; count < order.come; count++) {
      startToWatch();
      await sleep(order.everyMs);
    }
    say('waiting');
    return;
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
