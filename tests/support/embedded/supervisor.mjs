/**
 * The process between a database server and its owner. It is the server's parent, runs in its own session
 * (no Ctrl-C reaches it), and listens on a channel to the owner: when the owner ends for any reason,
 * the channel ends too, and server and folder are removed.
 */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder, serverAccount } from './account.mjs';
import { readyBinaries } from './binaries.mjs';
import { Cluster, PortTakenError } from './cluster.mjs';
import { freePort } from './port.mjs';

/**
 * @typedef {{ user: string, password: string, settings: Record<string, string | number | boolean>, installed?: string }} CreateOptions
 * @typedef {{ dataDirectory: string, socketDirectory: string, logFile: string, folder: string, port: number, pid: number, majorVersion: number }} Created
 */

const PORT_ATTEMPTS = 20;
/**
 * Another process can take the port while the server is down. A restart waits for the port, because clients know no
 * other.
 */
const SAME_PORT_LIMIT_MS = 10_000;

const ownerGone = new AbortController();
/** @type {string | null} */
let folder = null;
/** @type {Cluster | null} */
let cluster = null;
let port = 0;

/** The operations that the owner can request, one at a time. */
export const operations = {
  /**
   * @param {CreateOptions} options
   * @returns {Promise<Created>}
   */
  async create({ installed, ...options }) {
    const account = serverAccount();
    folder = makeFolder(account);
    const programs = readyBinaries(account, folder, installed);
    cluster = new Cluster({ folder, programs, account });
    await cluster.create(options);
    const pid = await startOnAnyPort(cluster);
    const majorVersion = await cluster.majorVersion();
    const { dataDirectory, socketDirectory, logFile } = cluster;
    return { dataDirectory, socketDirectory, logFile, folder, port, pid, majorVersion };
  },

  /** @returns {Promise<number>} the new postmaster's process id */
  async start() {
    const limit = performance.now() + SAME_PORT_LIMIT_MS;
    for (;;) {
      try {
        return await existing().start(port, ownerGone.signal);
      } catch (error) {
        if (!(error instanceof PortTakenError) || performance.now() > limit) throw error;
        await sleep(100, undefined, { signal: ownerGone.signal });
      }
    }
  },

  /** @param {import('./cluster.mjs').StopMode} mode */
  async halt(mode) {
    await existing().stop(mode);
  },

  async kill() {
    await existing().kill();
  },

  async remove() {
    try {
      await cluster?.stop('immediate');
    } finally {
      if (folder !== null) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
      folder = null;
    }
  },
};

function existing() {
  if (cluster === null) throw new Error('there is no database server: it was never created, or removed');
  return cluster;
}

/** @param {Cluster} cluster */
async function startOnAnyPort(cluster) {
  for (let attempt = 1; ; attempt++) {
    port = await freePort();
    try {
      return await cluster.start(port, ownerGone.signal);
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/**
 * @typedef {{ id: number, operation: keyof typeof operations, argument: unknown }} Request
 * @typedef {{ id: number, result?: unknown, error?: string }} Reply
 */

/** @param {Request} request */
async function answer({ id, operation, argument }) {
  /** @type {Reply} */
  let reply;
  try {
    reply = { id, result: await operations[operation](/** @type {never} */ (argument)) };
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) };
  }
  // An owner that has ended needs no answer.
  process.send?.(reply, undefined, undefined, () => undefined);
}

let work = Promise.resolve();
process.on('message', (request) => {
  work = work.then(() => answer(/** @type {Request} */ (request)));
});

function leave() {
  ownerGone.abort(new Error('the owner of the database server is gone'));
  work = work.then(operations.remove).finally(() => process.exit());
}
process.once('disconnect', leave);
process.once('SIGTERM', leave);
