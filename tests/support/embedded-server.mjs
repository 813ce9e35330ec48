/**
 * A PostgreSQL server from the binaries that npm installed. It needs nothing on the machine and leaves nothing there.
 * It works as root, and any number of servers can run at once. A supervisor process (embedded/supervisor.mjs) does the
 * work, and removes server and folder when this process ends for any reason.
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** @typedef {Record<string, string | number | boolean>} Settings lines of postgresql.conf */

/** Fast instead of durable, with many connections, and the same on every machine. */
const DEFAULT_SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  max_connections: 300,
  timezone: 'UTC',
  log_timezone: 'UTC',
};
const SUPERVISOR = fileURLToPath(new URL('./embedded/supervisor.mjs', import.meta.url));

export class EmbeddedServer {
  host = '127.0.0.1';
  user = 'postgres';
  password = randomBytes(18).toString('base64url');
  port = 0;
  /** 18 for PostgreSQL 18. */
  majorVersion = 0;
  /**
   * The postmaster's process id; null while the server is stopped.
   * @type {number | null}
   */
  pid = null;
  /** The temporary folder with all files. */
  folder = '';
  dataDirectory = '';
  socketDirectory = '';
  logFile = '';

  #supervisor;
  #requests = 0;
  /** @type {Map<number, { resolve: (result: unknown) => void, reject: (error: Error) => void }>} */
  #pending = new Map();

  constructor() {
    // No inherited descriptors: a reader of this process's stdout must not wait for the supervisor's end.
    this.#supervisor = fork(SUPERVISOR, {
      detached: true,
      cwd: '/',
      execArgv: [],
      env: supervisorEnvironment(),
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#supervisor.on('message', (message) =>
      this.#settle(/** @type {import('./embedded/supervisor.mjs').Reply} */ (message)),
    );
    this.#supervisor.once('error', (error) => this.#failAll(error));
    this.#supervisor.once('exit', () =>
      this.#failAll(new Error('the supervisor of the database server has ended')),
    );
    this.#rest();
  }

  /** The superuser's connection string, for the database `postgres`. */
  get url() {
    return this.urlOf('postgres');
  }

  get supervisorPid() {
    return this.#supervisor.pid;
  }

  /**
   * The superuser's connection string for another database.
   * @param {string} database
   */
  urlOf(database) {
    return `postgres://${this.user}:${this.password}@${this.host}:${this.port}/${encodeURIComponent(database)}`;
  }

  /**
   * initdb and the first start, on a port of the server's own. `startServer` calls it.
   * @param {{ settings?: Settings, installed?: string }} options
   */
  async create({ settings = {}, ...options }) {
    const { user, password } = this;
    Object.assign(
      this,
      await this.#ask('create', {
        user,
        password,
        settings: { ...DEFAULT_SETTINGS, ...settings },
        ...options,
      }),
    );
  }

  /** Starts a halted or killed server on the same port, and waits until it takes connections. */
  async start() {
    this.pid = /** @type {number} */ (await this.#ask('start'));
  }

  /**
   * Stops the server, but keeps its data and its port for `start`.
   * @param {import('./embedded/cluster.mjs').StopMode} [mode]
   */
  async halt(mode = 'fast') {
    await this.#ask('halt', mode);
    this.pid = null;
  }

  /** @param {import('./embedded/cluster.mjs').StopMode} [mode] */
  async restart(mode = 'fast') {
    await this.halt(mode);
    await this.start();
  }

  /** Kills the postmaster with SIGKILL, as a failing machine does; the data stays for `start`. */
  async kill() {
    await this.#ask('kill');
    this.pid = null;
  }

  /** Ends the server: afterwards no process and no folder is left. May be called again. */
  async stop() {
    const supervisor = this.#supervisor;
    if (supervisor.exitCode !== null || supervisor.signalCode !== null) return;
    const ended = once(supervisor, 'exit');
    try {
      await this.#ask('remove');
      this.pid = null;
    } finally {
      supervisor.ref();
      supervisor.disconnect();
      await ended;
    }
  }

  /**
   * @param {keyof typeof import('./embedded/supervisor.mjs').operations} operation
   * @param {unknown} [argument]
   * @returns {Promise<unknown>}
   */
  #ask(operation, argument) {
    const id = ++this.#requests;
    return new Promise((resolve, reject) => {
      if (!this.#supervisor.connected) {
        reject(new Error('the database server was stopped'));
        return;
      }
      this.#pending.set(id, { resolve, reject });
      this.#supervisor.channel?.ref();
      this.#supervisor.send({ id, operation, argument });
    });
  }

  /** @param {import('./embedded/supervisor.mjs').Reply} reply */
  #settle({ id, result, error }) {
    const request = this.#pending.get(id);
    this.#pending.delete(id);
    this.#rest();
    if (error === undefined) request?.resolve(result);
    else request?.reject(new Error(error));
  }

  /** @param {Error} error */
  #failAll(error) {
    for (const request of this.#pending.values()) request.reject(error);
    this.#pending.clear();
  }

  /** A running server must not keep its owner from exiting. */
  #rest() {
    if (this.#pending.size > 0) return;
    this.#supervisor.unref();
    this.#supervisor.channel?.unref();
  }
}

/**
 * Creates a database cluster in a temporary folder and starts it.
 * @param {{ settings?: Settings, installed?: string }} [options] `settings` are added to postgresql.conf and override
 * the
 * defaults; `installed` is another place of the binaries, for tests
 * @returns {Promise<EmbeddedServer>}
 */
export async function startServer(options = {}) {
  const server = new EmbeddedServer();
  try {
    await server.create(options);
    return server;
  } catch (error) {
    await server.stop().catch(() => undefined);
    throw error;
  }
}

/** Variables that Node would read (such as jest's NODE_OPTIONS) are not meant for the supervisor. */
function supervisorEnvironment() {
  const names = ['PATH', 'TMPDIR', 'TEST_POSTGRESQL'];
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.includes(name)));
}
