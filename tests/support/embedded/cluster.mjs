import { execFile, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chownSync, closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { childrenOf, isAlive } from '../process-table.mjs';
import { logAfter, logSize, readPostmasterFile } from './postmaster.mjs';

/** @typedef {'fast' | 'immediate' | 'smart'} StopMode PostgreSQL's names for the ways to stop it */

/** @type {Record<StopMode, NodeJS.Signals>} */
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;
const LOOK_AGAIN_MS = 15;
/** The only variable of the environment: PGDATA, PGPORT, LC_* and others would change the server. */
const ENVIRONMENT = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** Another process took the port between the check and the bind. */
export class PortTakenError extends Error {}

/** One database cluster in one folder: initdb, start and stop. */
export class Cluster {
  /** @type {import('node:child_process').ChildProcess | null} */
  #postmaster = null;

  /**
   * @param {{ folder: string, programs: string, account: import('./account.mjs').Account }} where
   *   `folder` is the account's own, `programs` holds initdb and postgres
   */
  constructor({ folder, programs, account }) {
    this.programs = programs;
    this.account = account;
    this.dataDirectory = join(folder, 'data');
    this.socketDirectory = join(folder, 'socket');
    this.logFile = join(folder, 'server.log');
    this.passwordFile = join(folder, 'password');
  }

  /**
   * @param {{ user: string, password: string, settings: Record<string, string | number | boolean> }} options
   */
  async create({ user, password, settings }) {
    mkdirSync(this.socketDirectory, { mode: 0o700 });
    // The password is passed in a file, because every user can read arguments.
    writeFileSync(this.passwordFile, `${password}\n`, { mode: 0o600 });
    const { uid, gid } = this.account;
    if (uid !== undefined && gid !== undefined) {
      for (const path of [this.socketDirectory, this.passwordFile]) chownSync(path, uid, gid);
    }
    const options = ['--pgdata', this.dataDirectory, '--username', user, '--pwfile', this.passwordFile];
    const locale = ['--encoding=UTF8', '--locale=C'];
    if ((await this.majorVersion()) >= 17)
      locale.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8');
    await this.#run('initdb', [...options, ...locale, '--auth=scram-sha-256', '--no-sync']);
    rmSync(this.passwordFile);
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} = '${String(value).replaceAll(/['\\]/g, '$&$&')}'\n`,
    );
    appendFileSync(join(this.dataDirectory, 'postgresql.conf'), lines.join(''));
  }

  /**
   * Starts the server and waits until it accepts connections.
   * @param {number} port
   * @param {AbortSignal} signal ends the wait
   * @returns {Promise<number>} the postmaster's process id
   * @throws {PortTakenError} and other errors with the end of the server's log
   */
  async start(port, signal) {
    if (this.#postmaster !== null) throw new Error('the server is running already');
    const logged = logSize(this.logFile);
    const log = openSync(this.logFile, 'a', 0o600);
    const postmaster = spawn(
      join(this.programs, 'postgres'),
      ['-D', this.dataDirectory, '-k', this.socketDirectory, '-h', '127.0.0.1', '-p', String(port)],
      { ...this.account, env: ENVIRONMENT, cwd: this.dataDirectory, stdio: ['ignore', log, log] },
    );
    closeSync(log);
    /** @type {Error | null} */
    let failure = null;
    postmaster.once('error', (error) => (failure = error));
    postmaster.once('exit', () => (this.#postmaster = null));
    this.#postmaster = postmaster;

    const limit = performance.now() + START_LIMIT_MS;
    for (;;) {
      if (failure !== null) throw failure;
      const { pid, status } = readPostmasterFile(this.dataDirectory);
      if (
        postmaster.pid !== undefined &&
        pid === postmaster.pid &&
        (status === 'ready' || status === 'standby')
      )
        return pid;
      if (this.#postmaster === null) {
        const log = logAfter(this.logFile, logged);
        if (log.includes('Address already in use')) throw new PortTakenError(`port ${port} is taken`);
        throw new Error(`the database server did not start; its log:\n${log}`);
      }
      signal.throwIfAborted();
      if (performance.now() > limit)
        throw new Error(`the database server is not ready after ${START_LIMIT_MS} ms`);
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /**
   * Stops the server and waits until all its processes are gone; does nothing when it is not running.
   * @param {StopMode} mode
   */
  async stop(mode) {
    if (this.#postmaster === null) return;
    this.#postmaster.kill(STOP_SIGNALS[mode]);
    if (await this.#gone(STOP_LIMIT_MS)) return;
    await this.kill();
    throw new Error(`the database server did not stop (${mode}) within ${STOP_LIMIT_MS} ms and was killed`);
  }

  /** Kills the postmaster with SIGKILL, as a power failure does; its processes end after it. */
  async kill() {
    const pid = this.#postmaster?.pid;
    if (pid === undefined) return;
    const { sharedMemoryId } = readPostmasterFile(this.dataDirectory);
    const children = childrenOf(pid);
    this.#postmaster?.kill('SIGKILL');
    await this.#gone(STOP_LIMIT_MS);
    for (const child of children) if (isAlive(child)) process.kill(child, 'SIGKILL');
    while (children.some(isAlive)) await sleep(LOOK_AGAIN_MS);
    // Files that only a later start would remove, and there may be none.
    if (sharedMemoryId !== null) spawnSync('ipcrm', ['-m', sharedMemoryId], { stdio: 'ignore' });
  }

  /** 18 for PostgreSQL 18. */
  async majorVersion() {
    const said = await this.#run('postgres', ['--version']);
    return Number(/\d+/.exec(said)?.[0]);
  }

  /**
   * @param {string} program
   * @param {string[]} options
   */
  async #run(program, options) {
    const { stdout } = await promisify(execFile)(join(this.programs, program), options, {
      ...this.account,
      env: ENVIRONMENT,
      cwd: this.socketDirectory,
    });
    return stdout;
  }

  /** @param {number} limitMs */
  async #gone(limitMs) {
    const limit = performance.now() + limitMs;
    while (this.#postmaster !== null && performance.now() < limit) await sleep(LOOK_AGAIN_MS);
    return this.#postmaster === null;
  }
}
