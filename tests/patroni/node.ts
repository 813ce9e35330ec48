import { mkdirSync, chownSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverAccount } from '../support/embedded/account.mjs';
import { freePort } from '../support/embedded/port.mjs';
import { readPostmasterFile } from '../support/embedded/postmaster.mjs';
import { keepFile } from '../support/pooler.js';
import { childrenOf, isAlive, signalProcess } from '../support/processes.js';
import { waitFor } from '../support/wait-for.js';
import { keep, type Kept } from './keeper.js';
import { PROGRAMS } from './programs.js';

export interface NodeOptions {
  name: string;
  /** The cluster's folder. */
  folder: string;
  etcdPort: number;
  password: string;
  isSynchronous: boolean;
}

/** One machine of the cluster: a Patroni and its PostgreSQL. */
export class PatroniNode {
  #kept: Kept | null = null;

  private constructor(
    readonly name: string,
    readonly folder: string,
    readonly port: number,
    readonly restPort: number,
  ) {}

  static async create(options: NodeOptions): Promise<PatroniNode> {
    const { name } = options;
    const node = new PatroniNode(name, join(options.folder, name), await freePort(), await freePort());
    const account = serverAccount();
    mkdirSync(node.folder, { mode: 0o700 });
    if (account.uid !== undefined && account.gid !== undefined)
      chownSync(node.folder, account.uid, account.gid);
    keepFile(
      account,
      join(node.folder, 'patroni.yml'),
      JSON.stringify(node.#configuration(options), null, 2),
    );
    await node.start();
    return node;
  }

  async start(): Promise<void> {
    const lastWords = `
if read -r postmaster < data/postmaster.pid; then
  kill -CONT "$postmaster" 2> /dev/null
  '${join(PROGRAMS.postgresql, 'pg_ctl')}' stop -D data -m immediate > /dev/null 2>&1
fi`;
    const words = [PROGRAMS.patroni, join(this.folder, 'patroni.yml')];
    this.#kept = await keep(words, join(this.folder, 'log'), this.folder, lastWords);
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  /** Patroni, the server and all of its processes. */
  #processes(): number[] {
    const { pid } = readPostmasterFile(join(this.folder, 'data'));
    return [this.#kept?.pid ?? 0, ...(pid === null ? [] : [pid, ...childrenOf(pid)])].filter((id) => id > 0);
  }

  /** The machine fails. */
  async kill(): Promise<void> {
    const processes = this.#processes();
    for (const pid of processes) signalProcess(pid, 'SIGKILL');
    await waitFor('the end of the node', () => !processes.some(isAlive));
    await this.#kept?.end();
    this.#kept = null;
  }

  /** The machine stands still, until `resume`. */
  pause(): void {
    for (const pid of this.#processes()) signalProcess(pid, 'SIGSTOP');
  }

  resume(): void {
    for (const pid of this.#processes()) signalProcess(pid, 'SIGCONT');
  }

  get isDown(): boolean {
    return this.#kept === null;
  }

  async stop(): Promise<void> {
    this.resume();
    await this.#kept?.end();
    this.#kept = null;
  }

  #configuration({ etcdPort, password, isSynchronous }: NodeOptions) {
    const everybody = ['host all all 127.0.0.1/32 scram-sha-256', 'local all all trust'];
    return {
      scope: 'migrate-lock',
      name: this.name,
      restapi: { listen: `127.0.0.1:${this.restPort}`, connect_address: `127.0.0.1:${this.restPort}` },
      etcd3: { host: `127.0.0.1:${etcdPort}` },
      bootstrap: {
        dcs: {
          // The smallest that Patroni takes: a leader is replaced 20 s after its last sign.
          ...{ ttl: 20, loop_wait: 1, retry_timeout: 3 },
          // Strict: Patroni would otherwise make a primary without a standby asynchronous.
          ...{ synchronous_mode: isSynchronous, synchronous_mode_strict: isSynchronous },
          postgresql: { use_pg_rewind: true },
        },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C' }],
        pg_hba: ['host replication replicator 127.0.0.1/32 scram-sha-256', ...everybody],
      },
      postgresql: {
        listen: `127.0.0.1:${this.port}`,
        connect_address: `127.0.0.1:${this.port}`,
        data_dir: join(this.folder, 'data'),
        bin_dir: PROGRAMS.postgresql,
        pgpass: join(this.folder, 'pgpass'),
        authentication: {
          superuser: { username: 'postgres', password },
          replication: { username: 'replicator', password },
          rewind: { username: 'rewinder', password },
        },
        parameters: { unix_socket_directories: this.folder, shared_buffers: '16MB', max_connections: 100 },
      },
      watchdog: { mode: 'off' },
    };
  }
}
